package smtpd

import (
	"bufio"
	"bytes"
	"net"
	"strings"
	"sync"
	"testing"
)

// parting is a connection that calls over before its client can know that the
// session is: by words of the server's, or because it hangs up.
type parting struct {
	*net.TCPConn
	words string // the last ones; "" when there are none
	over  func()
}

func (p parting) Write(b []byte) (int, error) {
	if p.words != "" && bytes.Contains(b, []byte(p.words)) {
		p.over()
	}
	return p.TCPConn.Write(b)
}

func (p parting) CloseWrite() error {
	p.over()
	return p.TCPConn.CloseWrite()
}

func (p parting) Close() error {
	p.over()
	return p.TCPConn.Close()
}

// partings is a listener whose first connection is a parting.
type partings struct {
	net.Listener
	words string
	over  func()
	first sync.Once
}

func (l *partings) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.first.Do(func() { c = parting{c.(*net.TCPConn), l.words, l.over} })
	return c, nil
}

// ended is an Observer that calls over when a session is.
type ended struct {
	*watcher
	over func()
}

func (e ended) Closed(door string, s Summary) {
	e.over()
	e.watcher.Closed(door, s)
}

// Whoever learns that a session is over, its client or the Observer, finds its
// place free, and need not wait for it.
func TestPlaceIsFreeAtOnce(t *testing.T) {
	srvTLS, _ := certificate(t)
	for name, c := range map[string]struct {
		say, words string
		end        string
	}{
		"quit":           {"QUIT\r\n", "221 ", "quit"},
		"wrong protocol": {"GET / HTTP/1.1\r\n", "421 ", "not SMTP"},
		"no last words":  {"NOOP\r\n", "", "closed"},
		"in content":     {"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.test>\r\nBDAT 5\r\nxx", "", "closed"},
		"handshake":      {"STARTTLS\r\n", "", "handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			inner, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			over := sync.OnceFunc(func() {
				conn, err := net.Dial("tcp", inner.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				if r, err := bufio.NewReader(conn).ReadString('\n'); !strings.HasPrefix(r, "220 ") {
					t.Errorf("who comes at once is told %q, %v", r, err)
				}
			})
			w := newWatcher()
			serveOn(t, &partings{Listener: inner, words: c.words, over: over},
				Config{TLS: srvTLS, Limits: Limits{ConnectionsPerIP: 1}, Observer: ended{w, over}}, &house{})
			p := dial(t, inner.Addr().String())
			for line := range strings.Lines(c.say) {
				p.send(line)
				if strings.HasSuffix(line, "\r\n") && !strings.HasPrefix(line, "BDAT") {
					p.reply()
				}
			}
			p.conn.Close()
			sum := <-w.ends
			if sum.Commands == 0 { // that of who came at once
				sum = <-w.ends
			}
			if sum.End != c.end {
				t.Errorf("session %+v", sum)
			}
		})
	}
}
