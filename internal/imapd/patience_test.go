package imapd

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"posthouse/internal/listen"
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
		places      int // in all
	}{
		"silent":              {"", "", time.Minute, loginTimeout, 0},
		"dripping":            {"", "x", time.Second, loginTimeout, 0},
		"dripping a literal":  {"a LOGIN {4000}\r\n", "x", time.Second, loginTimeout, 0},
		"dripping SASL":       {"a AUTHENTICATE PLAIN\r\n", "x", 10 * time.Second, loginPatience, 0},
		"chatting":            {"", "a NOOP\r\n", 30 * time.Second, loginPatience, 0},
		"logged in, silent":   {login, "", time.Minute, idleTimeout, 0},
		"logged in, dripping": {login, "x", time.Minute, idleTimeout, 0},
		"crowded":             {"", "", time.Second, crowdedTimeout, 1},
		"crowded, logged in":  {login, "", time.Minute, idleTimeout, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, cl := net.Pipe()
				over := make(chan struct{})
				began := time.Now()
				srv := New(Config{AllowPlaintext: true, Limits: Limits{Gate: listen.GateLimits{Total: c.places}}}, people{h.store})
				srv.start(loopback{server})
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
				must(t, srv.Shutdown(t.Context()))
			})
		})
	}
}
