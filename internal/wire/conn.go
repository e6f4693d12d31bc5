// Package wire is the line-based connection under SMTP, LMTP, POP3 and the
// courier: bounded lines, a deadline on every read and write, replies that
// leave in batches, and an upgrade to TLS that drops what was sent before it.
package wire

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrLineTooLong means that a line was longer than asked for. It was read to
// its end (or to MaxDrain bytes) and thrown away.
var ErrLineTooLong = errors.New("wire: line too long")

// ErrFlood means that a line went on for more than MaxDrain bytes; the
// connection is of no more use.
var ErrFlood = errors.New("wire: endless line")

// ErrBareLF means that a line ended with LF alone although CRLFOnly was asked
// for. It was read and thrown away.
var ErrBareLF = errors.New("wire: line ends with bare LF")

// ErrInterrupted means that Interrupt was called.
var ErrInterrupted = errors.New("wire: interrupted")

// MaxDrain is how much of an overlong line is read to find its end, in bytes.
const MaxDrain = 1 << 20

// Buffer sizes. Small, because ten thousand idle connections hold them.
const (
	readBuffer  = 4 << 10
	writeBuffer = 4 << 10
)

// Conn is not safe for concurrent use, but one goroutine may read while another
// writes, and any may call Interrupt and Cut.
type Conn struct {
	base net.Conn // as it was given to New
	conn net.Conn // with TLS on top, perhaps
	in   *bufio.Reader
	out  *bufio.Writer
	tls  *tls.ConnectionState
	back []byte // input that was given back; comes before the connection's

	interrupted atomic.Bool

	// ReadTimeout bounds each wait for input, WriteTimeout each write; 0 is none.
	ReadTimeout, WriteTimeout time.Duration
	// CRLFOnly makes a line that ends with a bare LF an error, ErrBareLF.
	CRLFOnly bool
	// Received and Sent count octets, those of TLS not included. They belong to the
	// goroutine that reads and the one that writes.
	Received, Sent int64
	// ReadBy is when all waiting for input ends, however it drips in; zero is never.
	ReadBy time.Time
}

// New wraps c.
func New(c net.Conn, read, write time.Duration) *Conn {
	w := &Conn{base: c, ReadTimeout: read, WriteTimeout: write}
	w.reset(c)
	return w
}

func (c *Conn) reset(n net.Conn) {
	c.conn = n
	c.in = bufio.NewReaderSize(deadlineReader{c}, readBuffer)
	c.out = bufio.NewWriterSize(deadlineWriter{c}, writeBuffer)
}

type deadlineReader struct{ c *Conn }

func (r deadlineReader) Read(p []byte) (int, error) {
	if len(r.c.back) > 0 {
		n := copy(p, r.c.back)
		if r.c.back = r.c.back[n:]; len(r.c.back) == 0 {
			r.c.back = nil
		}
		return n, nil
	}
	if r.c.ReadTimeout > 0 || !r.c.ReadBy.IsZero() {
		if err := r.c.conn.SetReadDeadline(r.c.readDeadline()); err != nil {
			return 0, err
		}
	}
	// After the deadline is set, so that it cannot undo that of Interrupt.
	if r.c.interrupted.Load() {
		return 0, ErrInterrupted
	}
	n, err := r.c.conn.Read(p)
	r.c.Received += int64(n)
	if err != nil && r.c.interrupted.Load() {
		err = ErrInterrupted
	}
	return n, err
}

// readDeadline is the earlier of the two bounds.
func (c *Conn) readDeadline() time.Time {
	if c.ReadTimeout <= 0 {
		return c.ReadBy
	}
	d := time.Now().Add(c.ReadTimeout)
	if !c.ReadBy.IsZero() && c.ReadBy.Before(d) {
		d = c.ReadBy
	}
	return d
}

type deadlineWriter struct{ c *Conn }

func (w deadlineWriter) Write(p []byte) (int, error) {
	if w.c.WriteTimeout > 0 {
		if err := w.c.conn.SetWriteDeadline(time.Now().Add(w.c.WriteTimeout)); err != nil {
			return 0, err
		}
	}
	n, err := w.c.conn.Write(p)
	w.c.Sent += int64(n)
	return n, err
}

// ReadLine reads a line of at most max bytes, its end not counted, and returns
// it without its CRLF or LF. The slice is valid until the next read. A final
// line without an end is an error. With ErrLineTooLong and ErrFlood comes the
// beginning of the line, of max bytes.
func (c *Conn) ReadLine(max int) ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	if err == nil {
		return c.whole(line, max, !bytes.HasSuffix(line, crlf))
	}
	if err != bufio.ErrBufferFull {
		return nil, err
	}
	return c.readLongLine(append([]byte(nil), line...), max)
}

// readLongLine goes on with a line that did not fit the buffer.
func (c *Conn) readLongLine(line []byte, max int) ([]byte, error) {
	cr := bytes.HasSuffix(line, crlf[:1]) // the last piece ended with CR
	for total := len(line); total <= MaxDrain; {
		more, err := c.in.ReadSlice('\n')
		total += len(more)
		if len(line) <= max+2 {
			line = append(line, more...)
		}
		if err == nil {
			return c.whole(line, max, !bytes.HasSuffix(more, crlf) && !(cr && len(more) == 1))
		}
		if err != bufio.ErrBufferFull {
			return nil, err
		}
		cr = bytes.HasSuffix(more, crlf[:1])
	}
	return line[:min(max, len(line))], ErrFlood
}

var crlf = []byte("\r\n")

// whole judges a line that has come to its end, and takes the end off.
func (c *Conn) whole(line []byte, max int, bare bool) ([]byte, error) {
	if bare && c.CRLFOnly {
		return nil, ErrBareLF
	}
	line = trimEnd(line)
	if len(line) > max {
		return line[:max], ErrLineTooLong
	}
	return line, nil
}

func trimEnd(line []byte) []byte {
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line
}

// Reader is the buffered input, for data that is not lines.
func (c *Conn) Reader() *bufio.Reader { return c.in }

// Writer is the buffered output; see Flush.
func (c *Conn) Writer() *bufio.Writer { return c.out }

// Buffered is how many bytes of input have come and not been read: while it is
// not 0 a pipelining server need not flush its replies (RFC 2920).
func (c *Conn) Buffered() int { return c.in.Buffered() + len(c.back) }

// Arrived reports whether there is input that has not been read, without waiting for
// any: also such as the system still holds, where the connection is one of its own.
// With TLS it may be no more than a record of the protocol's.
func (c *Conn) Arrived() bool {
	if c.Buffered() > 0 {
		return true
	}
	base := c.base
	if t, ok := base.(*tls.Conn); ok {
		base = t.NetConn()
	}
	sc, ok := base.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	arrived := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		arrived = err == nil && n > 0
	})
	return err == nil && arrived
}

// LineBuffered reports whether the next ReadLine will not wait.
func (c *Conn) LineBuffered() bool {
	in, _ := c.in.Peek(c.in.Buffered())
	return bytes.IndexByte(in, '\n') >= 0 || bytes.IndexByte(c.back, '\n') >= 0
}

// Unread gives back input that was read from Reader in large pieces and belongs
// to what follows. Nothing may be left in Reader: a read into at least 4 KB
// leaves nothing. p is copied.
func (c *Conn) Unread(p []byte) {
	if len(p) > 0 {
		c.back = append(append([]byte(nil), p...), c.back...)
	}
}

// Interrupt ends a wait for input, and all later ones, with ErrInterrupted. What
// has come and what is to be written is not affected.
func (c *Conn) Interrupt() {
	c.interrupted.Store(true)
	c.base.SetReadDeadline(time.Unix(1, 0)) // fails only when it is closed
}

// Cut ends all reading and writing at once: whoever is at it gets an error, and the
// client no goodbye. Close is still to be called.
func (c *Conn) Cut() {
	c.interrupted.Store(true)
	base := c.base
	if t, ok := base.(*tls.Conn); ok {
		base = t.NetConn() // closing t may wait for the client
	}
	base.Close()
}

// Flush sends what was written.
func (c *Conn) Flush() error { return c.out.Flush() }

// Close closes the connection without flushing.
func (c *Conn) Close() error { return c.conn.Close() }

// Linger says that nothing more will come from us, and waits a moment for the
// client to read our last words and hang up: a connection that is closed over
// unread input is reset, and the words are lost. Close is still to be called.
func (c *Conn) Linger() {
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	const patience, most = 2 * time.Second, 1 << 20
	// Past deadlineReader, so that also who was interrupted before hears us.
	if c.conn.SetReadDeadline(time.Now().Add(patience)) == nil {
		_, _ = io.CopyN(io.Discard, c.conn, most) // any end will do
	}
}

// NetConn is the connection below, TLS included.
func (c *Conn) NetConn() net.Conn { return c.conn }

// ErrPlaintextAfterStartTLS means that input was waiting when TLS was to begin:
// somebody may have put commands in front of the encrypted session
// (CVE-2011-0411).
var ErrPlaintextAfterStartTLS = errors.New("wire: input before the TLS handshake")

// StartTLS makes the handshake as server. Input that came before it is an error.
func (c *Conn) StartTLS(cfg *tls.Config) error {
	if c.Buffered() > 0 {
		return ErrPlaintextAfterStartTLS
	}
	return c.handshake(tls.Server(c.conn, cfg))
}

// StartTLSClient makes the handshake as client.
func (c *Conn) StartTLSClient(cfg *tls.Config) error {
	if c.Buffered() > 0 {
		return ErrPlaintextAfterStartTLS
	}
	return c.handshake(tls.Client(c.conn, cfg))
}

func (c *Conn) handshake(t *tls.Conn) error {
	if c.ReadTimeout > 0 {
		if err := c.conn.SetDeadline(time.Now().Add(c.ReadTimeout)); err != nil {
			return err
		}
	}
	if c.interrupted.Load() { // as in deadlineReader
		return ErrInterrupted
	}
	if err := t.Handshake(); err != nil {
		return err
	}
	if err := c.conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	state := t.ConnectionState()
	c.reset(t)
	c.tls = &state
	return nil
}

// TLS is the state of the TLS connection, nil without TLS. For a listener with
// implicit TLS the handshake is made by the first call or read.
func (c *Conn) TLS() *tls.ConnectionState {
	if c.tls == nil {
		if t, ok := c.conn.(*tls.Conn); ok {
			if c.handshakeImplicit(t) == nil {
				state := t.ConnectionState()
				c.tls = &state
			}
		}
	}
	return c.tls
}

func (c *Conn) handshakeImplicit(t *tls.Conn) error {
	if c.ReadTimeout > 0 {
		if err := c.conn.SetDeadline(time.Now().Add(c.ReadTimeout)); err != nil {
			return err
		}
		defer c.conn.SetDeadline(time.Time{})
	}
	if c.interrupted.Load() {
		return ErrInterrupted
	}
	return t.Handshake()
}
