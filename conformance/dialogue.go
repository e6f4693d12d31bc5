package conformance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// dialogue is a case under way.
type dialogue struct {
	ctx      context.Context
	target   *Target
	listener string
	scope    *scope

	conn  net.Conn // TLS, when it has begun
	raw0  net.Conn // as dialled
	r     *bufio.Reader
	out   []byte // to be sent before the next step that waits
	fresh bool   // what is in out, or was sent last, may be answered without an enhanced code
	tls   bool
	utf8  bool // the client has spoken of SMTPUTF8

	ehlo     map[string]string // of the last EHLO: keywords in upper case, and what follows them
	promised bool              // ENHANCEDSTATUSCODES has been announced
	failed   error             // of the last S:, for a S| to forgive
	last     *reply

	messages  [][]byte // of the last deliver
	unchecked bool     // a deliver had nowhere to look
}

// run goes through the steps. The error names the line.
func (d *dialogue) run(c *Case) error {
	defer d.close()
	if err := d.dial(); err != nil {
		return err
	}
	do := actions()
	for _, s := range c.steps {
		if d.failed != nil && s.verb != "S|" {
			break
		}
		more, err := do[s.verb](d, s.arg)
		if err != nil {
			return fmt.Errorf("line %d: %w", s.line, err)
		}
		if d.failed != nil && s.verb == "S:" {
			d.failed = fmt.Errorf("line %d: %w", s.line, d.failed)
		}
		if !more {
			return nil
		}
	}
	return d.failed
}

func (d *dialogue) dial() error {
	conn, err := d.target.dial(d.ctx, d.target.Addr[d.listener])
	if err != nil {
		return err
	}
	d.setConn(conn)
	d.raw0, d.fresh = conn, true
	if d.listener == "submissions" {
		return d.handshake("")
	}
	return nil
}

func (d *dialogue) setConn(conn net.Conn) {
	d.conn = conn
	d.r = bufio.NewReaderSize(conn, 4096)
}

func (d *dialogue) close() {
	if d.conn != nil {
		d.conn.Close()
	}
}

// line sends a line with its CRLF. Lines that follow each other leave in one write.
func (d *dialogue) line(arg string) error { return d.queue(arg, "\r\n") }

// raw sends octets.
func (d *dialogue) raw(arg string) error { return d.queue(arg, "") }

func (d *dialogue) queue(arg, end string) error {
	text, err := d.scope.text(arg)
	if err != nil {
		return err
	}
	upper := strings.ToUpper(text)
	if len(d.out) == 0 {
		d.fresh = false
	}
	for _, hello := range []string{"HELO", "EHLO", "LHLO", "XCLIENT"} {
		d.fresh = d.fresh || strings.HasPrefix(upper, hello)
	}
	d.utf8 = d.utf8 || strings.Contains(upper, "SMTPUTF8")
	d.out = append(d.out, text+end...)
	return nil
}

// flush sends what waits. That the server has hung up shows when it is read from.
func (d *dialogue) flush() error {
	if len(d.out) == 0 {
		return nil
	}
	d.deadline(d.target.timeout())
	_, err := d.conn.Write(d.out)
	d.out = d.out[:0]
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the server reads no more: %w", err)
	}
	return nil
}

func (d *dialogue) deadline(wait time.Duration) {
	by := time.Now().Add(wait)
	if end, ok := d.ctx.Deadline(); ok && end.Before(by) {
		by = end
	}
	_ = d.conn.SetDeadline(by) // a closed connection says so when it is used
}

// pause sends what waits, and gives the server the time to read it alone.
func (d *dialogue) pause(string) error {
	if err := d.flush(); err != nil {
		return err
	}
	const apart = 60 * time.Millisecond
	select {
	case <-time.After(apart):
		return nil
	case <-d.ctx.Done():
		return d.ctx.Err()
	}
}

// read is the next reply, held to the form of replies.
func (d *dialogue) read() (*reply, error) {
	if err := d.flush(); err != nil {
		return nil, err
	}
	d.deadline(d.target.timeout())
	r, err := readReply(d.r)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fmt.Errorf("no reply within %v", d.target.timeout())
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return nil, errors.New("the server has closed the connection")
	case err != nil:
		return nil, err
	}
	d.last = r
	hello := d.fresh && (r.code == "220" || r.enhanced == "")
	if hello && r.code == "250" && len(r.lines) > 0 {
		d.announced(r)
	}
	return r, r.checkForm(d.promised, hello, d.utf8)
}

// announced takes the keywords of an answer to EHLO.
func (d *dialogue) announced(r *reply) {
	d.ehlo = make(map[string]string)
	for _, line := range r.lines[1:] {
		keyword, params, _ := strings.Cut(line, " ")
		d.ehlo[strings.ToUpper(keyword)] = params
	}
	_, d.promised = d.ehlo["ENHANCEDSTATUSCODES"]
	d.scope.size, _ = strconv.ParseInt(d.ehlo["SIZE"], 10, 64) // 0 is no limit
}

// expect wants a reply. Another one is a failure, unless a S| follows and takes it.
func (d *dialogue) expect(arg string) error {
	w, err := d.scope.parseWant(arg)
	if err != nil {
		return err
	}
	r, err := d.read()
	if err != nil {
		return fmt.Errorf("wanted %s: %w", w.source, err)
	}
	if !w.met(r, d.promised) {
		d.failed = fmt.Errorf("wanted %s, got %s", w.source, r)
	}
	return nil
}

// expectMany wants the same reply several times.
func (d *dialogue) expectMany(arg string) error {
	n, w, err := d.scope.parseMany(arg)
	for i := 1; err == nil && i <= n; i++ {
		var r *reply
		if r, err = d.read(); err == nil && !w.met(r, d.promised) {
			err = fmt.Errorf("got %s", r)
		}
		if err != nil {
			err = fmt.Errorf("wanted %s, %d of %d: %w", w.source, i, n, err)
		}
	}
	return err
}

// orElse takes the reply that was not what S: wanted; the case ends well then.
func (d *dialogue) orElse(arg string) (more bool, err error) {
	if d.failed == nil {
		return true, nil
	}
	w, err := d.scope.parseWant(arg)
	if err != nil {
		return false, err
	}
	if w.met(d.last, d.promised) {
		d.failed = nil
		return false, nil
	}
	return true, nil
}

// closed wants the server to hang up and say no more.
func (d *dialogue) closed(string) error {
	if err := d.flush(); err != nil {
		return err
	}
	d.deadline(d.target.timeout())
	_, err := d.r.Peek(1)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("the server does not hang up")
	case err == nil:
		line, _ := d.r.ReadString('\n')
		return fmt.Errorf("the server goes on: %q", line)
	}
	return nil // in whatever way it did
}

// gone wants the server to hang up, whatever it has to say before.
func (d *dialogue) gone(string) error {
	if err := d.flush(); err != nil {
		return err
	}
	d.deadline(d.target.timeout())
	_, err := io.Copy(io.Discard, d.r)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the server does not hang up")
	}
	return nil // in whatever way it did
}

// silent wants the server to say nothing for some time. It may hang up.
func (d *dialogue) silent(arg string) error {
	wait, err := time.ParseDuration(arg)
	if err != nil {
		return err
	}
	if err := d.flush(); err != nil {
		return err
	}
	d.deadline(wait)
	if _, err = d.r.Peek(1); err != nil {
		return nil
	}
	line, _ := d.r.ReadString('\n')
	return fmt.Errorf("the server speaks: %q", line)
}
