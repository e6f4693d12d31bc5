package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// POP3 is a plain POP3 client that keeps every octet.
type POP3 struct {
	conn net.Conn
	r    *bufio.Reader
}

// DialPOP3 connects and logs in.
func DialPOP3(addr, login string) (*POP3, error) {
	conn, err := net.DialTimeout("tcp", addr, clientTimeout)
	if err != nil {
		return nil, err
	}
	c := &POP3{conn: conn, r: bufio.NewReaderSize(conn, 64<<10)}
	conn.SetDeadline(time.Now().Add(clientTimeout))
	if _, err = c.status(); err == nil {
		_, err = c.Cmd("USER " + login)
	}
	if err == nil {
		_, err = c.Cmd("PASS " + Password)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *POP3) status() (string, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return "", err
	}
	text, ok := strings.CutPrefix(strings.TrimSpace(line), "+OK")
	if !ok {
		return "", errors.New(strings.TrimSpace(line))
	}
	return strings.TrimSpace(text), nil
}

// Cmd gives a command with an answer of one line.
func (c *POP3) Cmd(line string) (string, error) {
	c.conn.SetDeadline(time.Now().Add(clientTimeout))
	if _, err := c.conn.Write([]byte(line + "\r\n")); err != nil {
		return "", err
	}
	return c.status()
}

// Retrieve reads message n, dots removed. The line end before the final dot is
// part of the message only if the server meant it so: POP3 cannot tell.
func (c *POP3) Retrieve(n int) ([]byte, error) {
	if _, err := c.Cmd(fmt.Sprintf("RETR %d", n)); err != nil {
		return nil, err
	}
	var msg []byte
	for start := true; ; {
		line, err := c.r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		if start && string(line) == ".\r\n" {
			return msg, nil
		}
		if start && len(line) > 0 && line[0] == '.' {
			line = line[1:]
		}
		msg = append(msg, line...)
		start = bytes.HasSuffix(msg, []byte("\r\n"))
	}
}

// Close hangs up without QUIT.
func (c *POP3) Close() { c.conn.Close() }
