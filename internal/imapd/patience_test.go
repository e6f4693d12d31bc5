package imapd

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// Who does not log in does not stay, however busy: silent, dripping, or chatting.
// Who has logged in has half an hour for each command, but a whole one (RFC 9051
// section 5.4).
func TestPatience(t *testing.T) {
	h := newHouse(t)
	login := "a LOGIN alice secret\r\n"
	for name, c := range map[string]struct {
		first, then string
		every       time.Duration
		want        time.Duration
	}{
		"silent":              {"", "", time.Minute, loginTimeout},
		"dripping":            {"", "x", time.Second, loginTimeout},
		"dripping a literal":  {"a LOGIN {4000}\r\n", "x", time.Second, loginTimeout},
		"dripping SASL":       {"a AUTHENTICATE PLAIN\r\n", "x", 10 * time.Second, loginPatience},
		"chatting":            {"", "a NOOP\r\n", 30 * time.Second, loginPatience},
		"logged in, silent":   {login, "", time.Minute, idleTimeout},
		"logged in, dripping": {login, "x", time.Minute, idleTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, cl := net.Pipe()
				over := make(chan struct{})
				began := time.Now()
				s := newSession(New(Config{AllowPlaintext: true}, people{h.store}), loopback{server})
				go s.run()
				go func() {
					io.Copy(io.Discard, cl)
					close(over)
				}()
				say := func(text string) {
					cl.SetWriteDeadline(time.Now().Add(time.Second))
					io.WriteString(cl, text)
				}
				say(c.first)
				for open := true; open; {
					select {
					case <-over:
						open = false
					case <-time.After(c.every):
						say(c.then)
					}
				}
				if took := time.Since(began); took < c.want || took > c.want+c.every {
					t.Errorf("hung up after %s, want %s", took, c.want)
				}
			})
		})
	}
}
