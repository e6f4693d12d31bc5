package smtpd

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// countingConn counts the writes of the server.
type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// countingListener gives out countingConns.
type countingListener struct {
	net.Listener
	writes atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countingConn{c, &l.writes}, nil
}

func TestPipelining(t *testing.T) {
	inner, h := newPipes(), &house{}
	l := &countingListener{Listener: inner}
	serveOn(t, l, Config{}, h)
	p := inner.dial(t)
	p.do("EHLO x", "250")
	before := l.writes.Load()
	// As a client that pipelines sends it (RFC 2920 section 3.1).
	p.send("MAIL FROM:<a@b.test>\r\n" + strings.Repeat("RCPT TO:<alice@example.test>\r\n", 50) + "RCPT TO:<nobody@example.test>\r\nDATA\r\n")
	p.want("250 2.1.0")
	for range 50 {
		p.want("250 2.1.5")
	}
	p.want("550 5.1.1")
	p.want("354")
	if n := l.writes.Load() - before; n != 1 {
		t.Errorf("a group of commands was answered in %d writes, want 1", n)
	}
	before = l.writes.Load()
	p.send("x\r\n.\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<alice@example.test>\r\nRSET\r\nQUIT\r\n")
	for _, want := range []string{"250 2.0.0 Ok: queued", "250 2.1.0", "250 2.1.5", "250 2.0.0 Ok\r\n", "221"} {
		p.want(want)
	}
	if n := l.writes.Load() - before; n != 1 {
		t.Errorf("the end of data and what followed was answered in %d writes, want 1", n)
	}
	if m := only(t, h); len(m.env.Rcpts) != 50 {
		t.Errorf("%d recipients", len(m.env.Rcpts))
	}
}

// A command that has come in part must not hold back the replies before it.
func TestPartOfACommand(t *testing.T) {
	_, addr := serve(t, Config{}, &house{})
	p := dial(t, addr)
	p.send("NOOP\r\nNO")
	p.want("250")
	p.send("OP\r\n")
	p.want("250")
}

// piped starts a session over net.Pipe, for virtual time.
func piped(t *testing.T, s *Server) *peer {
	t.Helper()
	client, server := net.Pipe()
	if !s.start(server) {
		t.Fatal("server is closed")
	}
	p := newPeer(t, client)
	client.SetDeadline(time.Time{})
	p.want("220 ")
	return p
}

func TestTimeouts(t *testing.T) {
	for name, c := range map[string]struct {
		timeouts Timeouts
		say      string
		drip     string // said again every minute
		want     string
		after    time.Duration
	}{
		"command":        {Timeouts{}, "", "", "421 4.4.2", 5 * time.Minute},
		"half a command": {Timeouts{Command: time.Minute}, "NO", "", "421 4.4.2", time.Minute},
		"data":           {Timeouts{Data: 3 * time.Minute}, "DATA\r\nhalf", "", "421 4.4.2", 3 * time.Minute},
		"chunk":          {Timeouts{Data: 2 * time.Minute}, "BDAT 10\r\nhalf", "", "421 4.4.2", 2 * time.Minute},
		"slow message":   {Timeouts{Message: 10 * time.Minute}, "DATA\r\n", strings.Repeat("steady\r\n", 5000), "421 4.4.2", 10 * time.Minute},
		"slow-loris":     {Timeouts{}, "DATA\r\n", "drip\r\n", "421 4.4.2", 5 * time.Minute},
		"slower loris":   {Timeouts{}, "DATA\r\n", strings.Repeat("drip\r\n", 100), "421 4.4.2", 5*time.Minute + 5*time.Second},
		"slow command":   {Timeouts{}, "", "x", "421 4.4.2", 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWatcher()
				h := &house{}
				s := New(Config{Hostname: "mx.example.test", Timeouts: c.timeouts, Observer: w}, h)
				p := piped(t, s)
				inContent := strings.HasPrefix(c.say, "DATA") || strings.HasPrefix(c.say, "BDAT")
				if inContent {
					p.begin()
				}
				say, isData := strings.CutPrefix(c.say, "DATA\r\n")
				if isData {
					p.do("DATA", "354")
				}
				began := time.Now()
				said := make(chan struct{})
				go func() {
					defer close(said)
					io.WriteString(p.conn, say)
					for c.drip != "" {
						time.Sleep(time.Minute)
						if _, err := io.WriteString(p.conn, c.drip); err != nil {
							return
						}
					}
				}()
				p.want(c.want)
				if d := time.Since(began); d != c.after {
					t.Errorf("after %v, want %v", d, c.after)
				}
				p.closed()
				if sum := <-w.ends; sum.End != "timeout" {
					t.Errorf("session %+v", sum)
				}
				if inContent && h.aborts() != 1 {
					t.Error("the transfer was not aborted")
				}
				s.Shutdown(t.Context())
				p.conn.Close()
				<-said
			})
		})
	}
}

// A client that does not read its replies holds nothing up for ever.
func TestClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatcher()
		s := New(Config{Hostname: "mx.example.test", Observer: w}, &house{})
		p := piped(t, s)
		began := time.Now()
		p.send("NOOP\r\n")
		if sum := <-w.ends; time.Since(began) < time.Minute || sum.Commands != 1 {
			t.Errorf("ended after %v: %+v", time.Since(began), sum)
		}
		s.Shutdown(t.Context())
	})
}

func TestShutdown(t *testing.T) {
	h := &house{block: make(chan struct{}), started: make(chan struct{})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, addr := serveOn(t, l, Config{}, h), l.Addr().String()
	idle, busy := dial(t, addr), dial(t, addr)
	idle.do("EHLO x", "250")
	busy.begin()
	busy.do("DATA", "354")
	busy.send("half ")
	over := make(chan error, 1)
	go func() { over <- s.Shutdown(context.Background()) }()
	idle.want("421 4.3.2")
	idle.closed()
	// The message that was under way is taken and answered.
	busy.send("and whole\r\n.\r\n")
	<-h.started
	select {
	case err := <-over:
		t.Fatalf("Shutdown did not wait: %v", err)
	default:
	}
	close(h.block)
	busy.want("250 2.0.0 Ok: queued")
	busy.want("421 4.3.2")
	busy.closed()
	if err := <-over; err != nil {
		t.Error(err)
	}
	if m := only(t, h); string(m.body) != "half and whole\r\n" {
		t.Errorf("body %q", m.body)
	}
	if err := l.(*net.TCPListener).SetDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("still listening: %v", err)
	}
}

func TestShutdownDeadline(t *testing.T) {
	h := &house{}
	s, addr := serve(t, Config{}, h)
	p := dial(t, addr)
	p.begin()
	p.do("DATA", "354")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	if h.aborts() != 1 {
		t.Error("the transfer was not aborted")
	}
	// Where nobody is cut off, late is early enough.
	for range 10 {
		if err := New(Config{Hostname: "mx.example.test"}, h).Shutdown(ctx); err != nil {
			t.Errorf("Shutdown of an empty house: %v", err)
		}
	}
}

// A session between two chunks of a message is in the middle of it: a shutdown
// lets it go on to the end of the message, and no further.
func TestShutdownBetweenChunks(t *testing.T) {
	type line struct{ say, want string }
	for name, c := range map[string]struct {
		before, after []line
		body          string // "" for no message
	}{
		"last":         {nil, []line{{"BDAT 2 LAST\r\nde", "250 2.0.0 Ok: queued"}}, "abcde"},
		"several":      {nil, []line{{"NOOP\r\n", "250 2.0.0"}, {"BDAT 1\r\nd", "250 2.0.0 1 octets"}, {"BDAT 0 LAST\r\n", "250 2.0.0 Ok: queued"}}, "abcd"},
		"reset":        {nil, []line{{"RSET\r\n", "250 2.0.0"}}, ""},
		"fails now":    {nil, []line{{"BDAT 8\r\ndefghijk", "552 5.3.4"}}, ""},
		"failed":       {[]line{{"BDAT 8\r\ndefghijk", "552 5.3.4"}}, nil, ""},
		"was reset":    {[]line{{"RSET\r\n", "250 2.0.0"}}, nil, ""},
		"was complete": {[]line{{"BDAT 0 LAST\r\n", "250 2.0.0 Ok: queued"}}, nil, "abc"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &house{}
				s := New(Config{Hostname: "mx.example.test", Limits: Limits{MessageSize: 10}}, h)
				p := piped(t, s)
				p.begin()
				for _, l := range append([]line{{"BDAT 3\r\nabc", "250 2.0.0 3 octets"}}, c.before...) {
					p.send(l.say)
					p.want(l.want)
				}
				synctest.Wait() // it waits for the next command
				over := make(chan error, 1)
				go func() { over <- s.Shutdown(t.Context()) }()
				synctest.Wait()
				for _, l := range c.after {
					time.Sleep(time.Second)
					synctest.Wait()
					p.send(l.say)
					p.want(l.want)
				}
				p.want("421 4.3.2")
				p.closed()
				if err := <-over; err != nil {
					t.Error(err)
				}
				p.conn.Close()
				if c.body == "" {
					if len(h.all()) != 0 || h.aborts() != 1 {
						t.Errorf("%d messages, %d aborted", len(h.all()), h.aborts())
					}
				} else if m := only(t, h); string(m.body) != c.body {
					t.Errorf("body %q", m.body)
				}
			})
		})
	}
}

// A client that sends no more chunks holds a shutdown up for as long as it may.
func TestShutdownDeadlineBetweenChunks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &house{}
		s := New(Config{Hostname: "mx.example.test"}, h)
		p := piped(t, s)
		p.begin()
		p.send("BDAT 3\r\nabc")
		p.want("250 2.0.0 3 octets")
		synctest.Wait()
		rest := make(chan string, 1)
		go func() {
			text, _ := io.ReadAll(p.in)
			rest <- string(text)
		}()
		const patience = 25 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		began := time.Now()
		if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != patience {
			t.Errorf("Shutdown: %v after %v", err, time.Since(began))
		}
		if text := <-rest; text != "" {
			t.Errorf("the client was told %q", text)
		}
		p.conn.Close()
		if h.aborts() != 1 || len(h.all()) != 0 {
			t.Errorf("%d messages, %d aborted", len(h.all()), h.aborts())
		}
	})
}
