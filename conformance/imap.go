package conformance

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// mailbox is an INBOX, read by IMAP.
type mailbox struct {
	conn net.Conn
	r    *bufio.Reader
	tag  int
	wait time.Duration
}

// openMailbox logs in to the INBOX of an account of the target.
func (t *Target) openMailbox(ctx context.Context, address string) (*mailbox, error) {
	dialer := &net.Dialer{Timeout: t.timeout()}
	addr, secure := strings.CutPrefix(t.IMAP, "imaps://")
	addr = strings.TrimPrefix(addr, "imap://")
	var conn net.Conn
	var err error
	if secure {
		// Certificates are another subject.
		td := tls.Dialer{NetDialer: dialer, Config: &tls.Config{InsecureSkipVerify: true}}
		conn, err = td.DialContext(ctx, "tcp", addr)
	} else {
		conn, err = dialer.DialContext(ctx, "tcp", addr)
	}
	if err != nil {
		return nil, err
	}
	m := &mailbox{conn: conn, r: bufio.NewReader(conn), wait: t.timeout()}
	m.deadline()
	if _, err = m.r.ReadString('\n'); err == nil {
		_, _, err = m.command(fmt.Sprintf("LOGIN %q %q", address, t.Pass))
	}
	if err == nil {
		_, _, err = m.command("EXAMINE INBOX")
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return m, nil
}

func (m *mailbox) close() { m.conn.Close() }

func (m *mailbox) deadline() { _ = m.conn.SetDeadline(time.Now().Add(m.wait)) }

// search gives the messages that meet criteria, in order.
func (m *mailbox) search(criteria string) ([][]byte, error) {
	lines, _, err := m.command("UID SEARCH " + criteria)
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for _, line := range lines {
		rest, ok := strings.CutPrefix(line, "* SEARCH")
		if !ok {
			continue
		}
		for _, uid := range strings.Fields(rest) {
			_, literals, err := m.command("UID FETCH " + uid + " BODY.PEEK[]")
			if err != nil {
				return nil, err
			}
			all = append(all, literals...)
		}
	}
	return all, nil
}

// command gives a command and collects the untagged lines and all literals.
func (m *mailbox) command(line string) (lines []string, literals [][]byte, err error) {
	m.tag++
	tag := "t" + strconv.Itoa(m.tag) + " "
	m.deadline()
	if _, err := io.WriteString(m.conn, tag+line+"\r\n"); err != nil {
		return nil, nil, err
	}
	for {
		text, err := m.r.ReadString('\n')
		if err != nil {
			return nil, nil, err
		}
		text = strings.TrimRight(text, "\r\n")
		if n, ok := literalSize(text); ok {
			b := make([]byte, n)
			if _, err := io.ReadFull(m.r, b); err != nil {
				return nil, nil, err
			}
			literals = append(literals, b)
		}
		rest, mine := strings.CutPrefix(text, tag)
		switch {
		case !mine:
			lines = append(lines, text)
		case strings.HasPrefix(rest, "OK"):
			return lines, literals, nil
		default:
			return nil, nil, fmt.Errorf("%s: %s", strings.Fields(line)[0], rest)
		}
	}
}

// literalSize is the size of the literal that follows a line.
func literalSize(line string) (int, bool) {
	open := strings.LastIndexByte(line, '{')
	if open < 0 || !strings.HasSuffix(line, "}") {
		return 0, false
	}
	n, err := strconv.Atoi(line[open+1 : len(line)-1])
	const most = 256 << 20
	return n, err == nil && n >= 0 && n <= most
}
