package cli

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"time"

	"posthouse/internal/config"
	"posthouse/internal/id"
	"posthouse/internal/smtp"
)

// firstStep is one step of the first message with how long it took.
type firstStep struct {
	name string
	took time.Duration
	text string
}

// firstTrip is the way of the first message as its sender and reader saw it.
type firstTrip struct {
	from, to, messageID string
	steps               []firstStep
	since               time.Time
}

func (t *firstTrip) step(name, format string, args ...any) {
	now := time.Now()
	t.steps = append(t.steps, firstStep{name, now.Sub(t.since), fmt.Sprintf(format, args...)})
	t.since = now
}

// sendFirst sends a message over SMTP and reads it back over IMAP; nil when the
// doors for that are not open.
func sendFirst(ctx context.Context, cfg *config.Config, from, to smtp.Address) (*firstTrip, error) {
	if len(cfg.Listen.SMTP) == 0 {
		return nil, nil
	}
	t := &firstTrip{from: from.String(), to: to.String(), since: time.Now()}
	t.messageID = "<" + string(id.New(t.since)) + "@" + devDomain + ">"
	if err := t.send(ctx, cfg.Listen.SMTP[0]); err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	if len(cfg.Listen.IMAP) == 0 || !cfg.Auth.AllowPlaintext {
		return t, nil
	}
	if err := t.read(ctx, cfg.Listen.IMAP[0]); err != nil {
		return t, fmt.Errorf("read: %w", err)
	}
	return t, nil
}

func dialText(ctx context.Context, address string) (*textproto.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		c.SetDeadline(deadline)
	}
	return textproto.NewConn(c), nil
}

func (t *firstTrip) send(ctx context.Context, address string) error {
	c, err := dialText(ctx, address)
	if err != nil {
		return err
	}
	defer c.Close()
	_, greeting, err := c.ReadResponse(220)
	if err != nil {
		return err
	}
	t.step("connect", "%s: %s", address, greeting)
	reply := ""
	for _, cmd := range []struct {
		code int
		line string
	}{
		{250, "EHLO localhost"}, {250, "MAIL FROM:<" + t.from + ">"}, {250, "RCPT TO:<" + t.to + ">"}, {354, "DATA"},
	} {
		if reply, err = command(c, cmd.code, cmd.line); err != nil {
			return err
		}
	}
	t.step("commands", "EHLO, MAIL, RCPT, DATA: %s", reply)
	w := c.DotWriter()
	fmt.Fprintf(w, "From: Posthouse <%s>\nTo: <%s>\nSubject: Welcome to your post house\nDate: %s\nMessage-ID: %s\n\n"+
		"This message came in by SMTP, was filed in your INBOX in the transaction that\n"+
		"accepted it, and waits there for IMAP and POP3.\n",
		t.from, t.to, time.Now().Format(time.RFC1123Z), t.messageID)
	if err := w.Close(); err != nil {
		return err
	}
	if _, reply, err = c.ReadResponse(250); err != nil {
		return err
	}
	t.step("transfer", "on stable storage: %s", reply)
	_, err = command(c, 221, "QUIT")
	t.since = time.Now()
	return err
}

func command(c *textproto.Conn, code int, line string) (string, error) {
	if err := c.PrintfLine("%s", line); err != nil {
		return "", err
	}
	_, reply, err := c.ReadResponse(code)
	return reply, err
}

// read finds the message over IMAP.
func (t *firstTrip) read(ctx context.Context, address string) error {
	c, err := dialText(ctx, address)
	if err != nil {
		return err
	}
	defer c.Close()
	found := ""
	for i, line := range []string{
		"", fmt.Sprintf("LOGIN %q %q", t.to, devPassword), "SELECT INBOX",
		fmt.Sprintf("UID SEARCH HEADER Message-ID %q", t.messageID), "LOGOUT",
	} {
		if line == "" { // the greeting
			_, err = c.ReadLine()
		} else {
			found, err = imapCommand(c.Writer.W, c, i, line, found)
		}
		if err != nil {
			return err
		}
	}
	if strings.TrimSpace(found) == "" {
		return fmt.Errorf("the message is not in INBOX")
	}
	t.step("read", "IMAP finds it in INBOX of %s, UID %s", t.to, found)
	return nil
}

// imapCommand gives one command; an untagged SEARCH among its responses replaces found.
func imapCommand(w *bufio.Writer, c *textproto.Conn, n int, line, found string) (string, error) {
	tag := fmt.Sprintf("a%d", n)
	fmt.Fprintf(w, "%s %s\r\n", tag, line)
	if err := w.Flush(); err != nil {
		return "", err
	}
	for {
		l, err := c.ReadLine()
		if err != nil {
			return "", err
		}
		if rest, ok := strings.CutPrefix(l, "* SEARCH"); ok {
			found = strings.TrimSpace(rest)
		}
		if rest, ok := strings.CutPrefix(l, tag+" "); ok {
			if !strings.HasPrefix(rest, "OK") {
				return "", fmt.Errorf("%s: %s", strings.Fields(line)[0], rest)
			}
			return found, nil
		}
	}
}
