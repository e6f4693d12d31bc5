package imapd

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthouse/internal/doortest"
	"posthouse/internal/listen"
)

// Who is one too many hears why, is counted, and has a place when another leaves.
// Who has logged in takes none of those of the address and network.
func TestConnectionLimits(t *testing.T) {
	for name, c := range map[string]struct {
		limits listen.GateLimits
		want   string
		known  bool // logins make room
	}{
		"connections":  {listen.GateLimits{Total: 2}, "[UNAVAILABLE] Too many connections, try again later", false},
		"address":      {listen.GateLimits{PerAddress: 2}, "[LIMIT] Too many connections from your address, ~", true},
		"network":      {listen.GateLimits{PerNetwork: 2}, "[LIMIT] Too many connections from your network, ~", true},
		"address rate": {listen.GateLimits{AddressRate: 2}, "[LIMIT] Your address connects too often, ~", true},
		"network rate": {listen.GateLimits{NetworkRate: 2}, "[LIMIT] Your network connects too often, ~", true},
	} {
		t.Run(name, func(t *testing.T) {
			seen := doortest.NewWatcher()
			h := newHouse(t, func(cfg *Config) { cfg.Gate, cfg.Observer = c.limits, seen })
			first := h.dial()
			second := h.dial()
			h.turnedAway("S: * BYE " + c.want)
			if got := seen.NextRefused(); got != "imap "+name {
				t.Errorf("counted as %q", got)
			}
			first.ok("LOGIN alice secret")
			if c.known {
				second.ok("LOGIN alice secret")
			} else {
				first.ok("LOGOUT")
				first.closed()
				if got := seen.NextEnded(); got != "imap quit" {
					t.Errorf("ended as %q", got)
				}
			}
			h.dial()
		})
	}
	t.Run("TLS", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srvTLS, clTLS := doortest.TLS(t)
			srv := New(Config{Limits: Limits{Gate: listen.GateLimits{Total: 1}}}, people{})
			connect := func() net.Conn {
				server, c := net.Pipe()
				srv.start(tls.Server(doortest.Loopback{Conn: server}, srvTLS))
				synctest.Wait()
				return c
			}
			first, conn := connect(), tls.Client(connect(), clTLS)
			(&client{t, conn, bufio.NewReader(conn)}).talk("S: * BYE [UNAVAILABLE] Too many connections, ~")
			conn.Close()
			first.Close()
			must(t, srv.Shutdown(t.Context()))
		})
	})
	t.Run("trusted", func(t *testing.T) {
		h := newHouse(t, func(c *Config) {
			c.Gate = listen.GateLimits{Total: 1, PerAddress: 1, PerNetwork: 1, AddressRate: 1, NetworkRate: 1}
			c.Trusted = netip.Addr.IsLoopback
		})
		h.dial()
		h.dial()
	})
}

// Who has heard the last words has given the place back, that of the gate and that
// of the account, and may come again at once.
func TestAgainAtOnce(t *testing.T) {
	h := newHouse(t, func(cfg *Config) {
		cfg.Gate, cfg.MaxPerAccount = listen.GateLimits{Total: 1, PerAddress: 1, PerNetwork: 1}, 1
	})
	for range 50 {
		c := h.login("INBOX")
		c.ok("LOGOUT")
		c = h.dial()
		c.send(strings.Repeat("a WHAT\r\n", maxBadStranger))
		for !strings.HasPrefix(c.line(), "* BYE ") {
		}
	}
}

// turnedAway checks what a client that is one too many hears.
func (h *house) turnedAway(script string) {
	h.t.Helper()
	conn, err := net.Dial("tcp", h.addr)
	must(h.t, err)
	defer conn.Close()
	must(h.t, conn.SetDeadline(time.Now().Add(5*time.Minute)))
	c := &client{h.t, conn, bufio.NewReader(conn)}
	c.talk(script)
	c.closed()
}

// Every session ends for a reason that is counted.
func TestEnds(t *testing.T) {
	seen := doortest.NewWatcher()
	h := newHouse(t, func(c *Config) { c.Observer = seen })
	for text, want := range map[string]string{
		"a LOGOUT\r\n":                      "quit",
		"a NO":                              "closed",
		strings.Repeat("a WHAT\r\n", 100):   "errors",
		strings.Repeat("x", 2<<20):          "flood",
		"a APPEND INBOX {9999999+}\r\nxxxx": "flood",
	} {
		c := h.dial()
		io.WriteString(c.c, text) // the server may have enough before the end
		c.c.(*net.TCPConn).CloseWrite()
		if got := seen.NextEnded(); got != "imap "+want {
			t.Errorf("%.20q ended as %q, want %q", text, got, want)
		}
	}
}
