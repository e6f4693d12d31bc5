package e2e

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// clientTimeout bounds everything that a test client waits for.
const clientTimeout = 2 * time.Minute

// SMTP is a plain SMTP client.
type SMTP struct {
	conn net.Conn
	text *textproto.Conn
}

// DialSMTP connects and says EHLO; with a login it authenticates.
func DialSMTP(addr, login string) (*SMTP, error) {
	conn, err := net.DialTimeout("tcp", addr, clientTimeout)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(clientTimeout))
	c := newSMTP(conn)
	if _, _, err = c.text.ReadResponse(220); err == nil {
		_, err = c.Cmd(250, "EHLO client.test")
	}
	if err == nil && login != "" {
		_, err = c.Cmd(235, "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+login+"\x00"+Password)))
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func newSMTP(conn net.Conn) *SMTP { return &SMTP{conn: conn, text: textproto.NewConn(conn)} }

// Cmd gives a command and wants a reply code.
func (c *SMTP) Cmd(code int, line string) (string, error) {
	c.conn.SetDeadline(time.Now().Add(clientTimeout))
	if err := c.text.PrintfLine("%s", line); err != nil {
		return "", err
	}
	_, reply, err := c.text.ReadResponse(code)
	return reply, err
}

// Send sends one message; nil means that it was acknowledged.
func (c *SMTP) Send(from string, to []string, msg []byte) error {
	_, err := c.SendReply(from, to, msg)
	return err
}

// SendReply is Send with the text of the final reply.
func (c *SMTP) SendReply(from string, to []string, msg []byte) (string, error) {
	if _, err := c.Cmd(250, "MAIL FROM:<"+from+">"); err != nil {
		return "", err
	}
	for _, r := range to {
		if _, err := c.Cmd(250, "RCPT TO:<"+r+">"); err != nil {
			return "", err
		}
	}
	if _, err := c.Cmd(354, "DATA"); err != nil {
		return "", err
	}
	if _, err := c.conn.Write(DotStuff(msg)); err != nil {
		return "", err
	}
	_, reply, err := c.text.ReadResponse(250)
	return reply, err
}

// DotStuff makes a message ready for DATA: dots doubled at the start of lines,
// the final dot added. msg must end with CRLF or be empty.
func DotStuff(msg []byte) []byte {
	s := strings.ReplaceAll(string(msg), "\r\n.", "\r\n..")
	if strings.HasPrefix(s, ".") {
		s = "." + s
	}
	return []byte(s + ".\r\n")
}

// Close hangs up.
func (c *SMTP) Close() { c.text.Close() }

// IMAP is a plain IMAP client.
type IMAP struct {
	conn net.Conn
	r    *bufio.Reader
	tag  int
}

// Response is one untagged response: its text with literals cut out, and the
// literals in order.
type Response struct {
	Text     string
	Literals [][]byte
}

// DialIMAP connects and logs in.
func DialIMAP(addr, login string) (*IMAP, error) {
	conn, err := net.DialTimeout("tcp", addr, clientTimeout)
	if err != nil {
		return nil, err
	}
	c := &IMAP{conn: conn, r: bufio.NewReaderSize(conn, 64<<10)}
	conn.SetDeadline(time.Now().Add(clientTimeout))
	if _, err = c.response(); err == nil {
		_, _, err = c.Cmd("LOGIN %q %q", login, Password)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// response reads one response line with its literals.
func (c *IMAP) response() (Response, error) {
	var r Response
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return r, err
		}
		line = strings.TrimRight(line, "\r\n")
		open := strings.LastIndexByte(line, '{')
		if open < 0 || !strings.HasSuffix(line, "}") {
			r.Text += line
			return r, nil
		}
		n, err := strconv.Atoi(line[open+1 : len(line)-1])
		if err != nil {
			r.Text += line
			return r, nil
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(c.r, b); err != nil {
			return r, err
		}
		r.Text += line[:open] + "{}"
		r.Literals = append(r.Literals, b)
	}
}

// Cmd gives a command and collects its untagged responses and the text after
// OK. NO and BAD are errors.
func (c *IMAP) Cmd(format string, args ...any) ([]Response, string, error) {
	return c.run(fmt.Sprintf(format, args...), nil)
}

// Append appends a message with a non-synchronising literal.
func (c *IMAP) Append(mailbox, flags string, msg []byte) (string, error) {
	_, ok, err := c.run(fmt.Sprintf("APPEND %q (%s) {%d+}", mailbox, flags, len(msg)), msg)
	return ok, err
}

func (c *IMAP) run(line string, literal []byte) ([]Response, string, error) {
	c.tag++
	tag := "t" + strconv.Itoa(c.tag) + " "
	c.conn.SetDeadline(time.Now().Add(clientTimeout))
	out := append([]byte(tag+line+"\r\n"), literal...)
	if literal != nil {
		out = append(out, "\r\n"...)
	}
	if _, err := c.conn.Write(out); err != nil {
		return nil, "", err
	}
	var all []Response
	for {
		r, err := c.response()
		if err != nil {
			return all, "", err
		}
		rest, mine := strings.CutPrefix(r.Text, tag)
		if !mine {
			all = append(all, r)
			continue
		}
		if text, ok := strings.CutPrefix(rest, "OK "); ok {
			return all, text, nil
		}
		return all, "", fmt.Errorf("%s: %s", strings.Fields(line)[0], rest)
	}
}

// Close hangs up.
func (c *IMAP) Close() { c.conn.Close() }
