package pop3d

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthouse/internal/doortest"
	"posthouse/internal/listen"
	"posthouse/internal/mailbox"
)

func TestTransaction(t *testing.T) {
	h := newHouse(t, nil, simple, simple+"more\r\n")
	size := len(simple)
	c := h.login()
	c.talk(fmt.Sprintf(`
		C: NOOP
		S: +OK ~
		C: STAT
		S: +OK 2 %d
		C: LIST
		S: +OK 2 messages~
		S: 1 %d
		S: 2 %d
		S: .
		C: LIST 2
		S: +OK 2 %d
		C: DELE 1
		S: +OK ~
		C: DELE 1
		S: -ERR ~
		C: RETR 1
		S: -ERR ~
		C: LIST 1
		S: -ERR ~
		C: UIDL 1
		S: -ERR ~
		C: STAT
		S: +OK 1 %d
		C: LIST
		S: +OK 1 messages~
		S: 2 %d
		S: .
		C: RSET
		S: +OK 2 messages
		C: STAT
		S: +OK 2 %d`, 2*size+6, size, size+6, size+6, size+6, size+6, 2*size+6))
	if got := c.fetch("RETR 2"); got != simple+"more\r\n" {
		t.Errorf("RETR gave %q", got)
	}
}

func TestUIDL(t *testing.T) {
	h := newHouse(t, nil, simple, simple)
	c := h.login()
	first := c.fetch("UIDL")
	c.talk("C: DELE 1\nS: +OK ~\nC: QUIT\nS: +OK ~")
	c.closed()
	h.deliver(simple)
	c = h.login()
	lines := strings.Fields(first)
	second := c.fetch("UIDL")
	if !strings.HasPrefix(second, "1 "+lines[3]+"\r\n2 ") {
		t.Errorf("ids changed: %q, then %q", first, second)
	}
	if one := strings.Fields(second)[3]; one == lines[1] || one == lines[3] {
		t.Errorf("an id came again: %q, then %q", first, second)
	}
	c.talk("C: UIDL 1\nS: +OK 1 " + lines[3])
}

func TestTop(t *testing.T) {
	h := newHouse(t, nil, simple, "Subject: no body\r\n", "\r\nonly body\r\n", "Subject: no end\r\n\r\ntext")
	header, body, _ := strings.Cut(simple, "\r\n\r\n")
	header += "\r\n\r\n"
	c := h.login()
	for command, want := range map[string]string{
		"TOP 1 0":    header,
		"TOP 1 1":    header + "line one\r\n",
		"TOP 1 2":    header + "line one\r\nline two\r\n",
		"TOP 1 3":    header + body,
		"TOP 1 9999": header + body,
		"TOP 2 5":    "Subject: no body\r\n",
		"TOP 3 0":    "\r\n",
		"TOP 3 1":    "\r\nonly body\r\n",
		"TOP 4 1":    "Subject: no end\r\n\r\ntext\r\n",
	} {
		if got := c.fetch(command); got != want {
			t.Errorf("%s gave %q, want %q", command, got, want)
		}
	}
	c.talk("C: TOP 1\nS: -ERR ~\nC: TOP 1 -1\nS: -ERR ~\nC: TOP 1 x\nS: -ERR ~\nC: TOP 9 1\nS: -ERR ~\nC: NOOP\nS: +OK ~")
}

// Whatever a message holds, the client finds its end, and no earlier.
func TestByteStuffing(t *testing.T) {
	for _, body := range []string{
		".\r\n", "..\r\n", "a\r\n.\r\nb\r\n", ".a\r\n..b\r\n", "a\n.\nb\n", "a\n.\r\nQUIT\r\n", "\r\n\r\n.", "no end", "lone LF\n", "lone CR\r", "", "a\r.\r\n",
		strings.Repeat("x", chunkSize-15) + "\r\n.\r\n", strings.Repeat("x", chunkSize-14) + "\r\n.\r\n", strings.Repeat(".\r\n", chunkSize/2),
	} {
		t.Run(fmt.Sprintf("%.20q", body), func(t *testing.T) {
			mail := "Subject: x\r\n\r\n" + body
			h := newHouse(t, nil, mail)
			c := h.login()
			want := mail
			if !strings.HasSuffix(want, "\r\n") {
				want += "\r\n"
			}
			if got := c.fetch("RETR 1"); got != want {
				t.Errorf("got  %.100q\nwant %.100q", got, want)
			}
			c.talk("C: NOOP\nS: +OK ~")
		})
	}
}

// A header with UTF-8 is shown as it is to clients that say UTF8, and in ASCII to
// others (RFC 6856 section 2.1); the body is the same.
func TestUTF8Headers(t *testing.T) {
	for name, long := range map[string]string{"short": "", "long": strings.Repeat("X-Fill: fill\r\n", 10000), "endless": strings.Repeat("X-Fill: fill\r\n", 80000)} {
		t.Run(name, func(t *testing.T) {
			mail := long + "Subject: Grüße\r\nTo: ü@x.test\r\n\r\nGrün\r\n"
			ascii := long + "Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\nTo: =?utf-8?b?w7xAeC50ZXN0?= <invalid@internationalized-address.invalid>\r\n\r\nGrün\r\n"
			if name == "endless" {
				ascii = mail
			}
			h := newHouse(t, nil, mail)
			c := h.login()
			c.talk(fmt.Sprintf("C: STAT\nS: +OK 1 %d\nC: LIST 1\nS: +OK 1 %[1]d\nC: LIST\nS: +OK ~\nS: 1 %[1]d\nS: .", len(ascii)))
			if got := c.fetch("RETR 1"); got != ascii {
				t.Errorf("in ASCII ends with %q", got[len(long):])
			}
			if got := c.fetch("TOP 1 0"); got != strings.TrimSuffix(ascii, "Grün\r\n") {
				t.Errorf("TOP in ASCII ends with %q", got[len(long):])
			}
			c.talk("C: QUIT\nS: +OK ~")
			c.closed()
			c = h.dial()
			c.talk("C: UTF8\nS: +OK ~\nC: USER alice\nS: +OK ~\nC: PASS " + password + "\nS: +OK ~")
			c.talk(fmt.Sprintf("C: STAT\nS: +OK 1 %d\nC: LIST 1\nS: +OK 1 %[1]d", len(mail)))
			if got := c.fetch("RETR 1"); got != mail {
				t.Errorf("in UTF-8 ends with %q", got[len(long):])
			}
		})
	}
}

// Sizes are those of the messages as they are sent, also when others between them are gone.
func TestSizes(t *testing.T) {
	const mail, ascii = "Subject: Grüße\r\n\r\nGrün\r\n", "Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\n\r\nGrün\r\n"
	h := newHouse(t, nil, mail, simple, mail, simple, mail)
	c := h.login()
	box, err := h.account().Open(context.Background(), "INBOX")
	must(t, err)
	defer box.Close()
	for _, i := range []int{1, 0} {
		uid := box.Snapshot().At(i).UID
		_, err = box.Expunge(context.Background(), mailbox.UIDSet{{First: uid, Last: uid}}, true)
		must(t, err)
	}
	h.clock.Advance(15 * 24 * time.Hour)
	must(t, h.store.Sweep(t.Context()))
	c.talk("C: RETR 1\nS: -ERR Message was removed by another session")
	c.talk(fmt.Sprintf("C: DELE 4\nS: +OK ~\nC: LIST\nS: +OK ~\nS: 1 %d\nS: 2 %d\nS: 3 %d\nS: 5 %[3]d\nS: .", len(mail), len(simple), len(ascii)))
}

// INBOX is what it was at login, whatever else happens to it.
func TestSnapshot(t *testing.T) {
	h := newHouse(t, nil, simple, simple)
	c := h.login()
	h.deliver(simple)
	c.talk(fmt.Sprintf("C: STAT\nS: +OK 2 %d\nC: LIST 3\nS: -ERR No such message", 2*len(simple)))
	box, err := h.account().Open(context.Background(), "INBOX")
	must(t, err)
	defer box.Close()
	uid := box.Snapshot().At(0).UID
	_, err = box.Expunge(context.Background(), mailbox.UIDSet{{First: uid, Last: uid}}, true)
	must(t, err)
	c.talk(fmt.Sprintf("C: STAT\nS: +OK 2 %d", 2*len(simple)))
	// The body is kept for a while; what matters is that nobody gets another one.
	if got := c.fetch("RETR 2"); got != simple {
		t.Errorf("RETR 2 gave %q", got)
	}
	c.talk("C: DELE 1\nS: +OK ~\nC: DELE 2\nS: +OK ~\nC: QUIT\nS: +OK Bye")
	c.closed()
	if n := h.count(); n != 1 {
		t.Errorf("%d messages are left, want the one that came during the session", n)
	}
}

func TestDeletionsWaitForQuit(t *testing.T) {
	h := newHouse(t, nil, simple, simple, simple)
	c := h.login()
	c.talk("C: DELE 1\nS: +OK ~\nC: DELE 3\nS: +OK ~")
	if n := h.count(); n != 3 {
		t.Errorf("%d messages before QUIT", n)
	}
	c.hangUp()
	if n := h.count(); n != 3 {
		t.Errorf("a dropped connection left %d messages of 3", n)
	}
	c = h.login()
	c.talk("C: DELE 1\nS: +OK ~\nC: DELE 3\nS: +OK ~\nC: QUIT\nS: +OK Bye")
	c.closed()
	if n := h.count(); n != 1 {
		t.Errorf("%d messages after QUIT", n)
	}
}

func TestShutdownDeletesNothing(t *testing.T) {
	h := newHouse(t, nil, simple)
	c := h.login()
	c.talk("C: DELE 1\nS: +OK ~")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	must(t, h.srv.Shutdown(ctx))
	c.want("-ERR [SYS/TEMP] The server is shutting down")
	c.closed()
	if n := h.count(); n != 1 {
		t.Errorf("%d messages after the shutdown", n)
	}
}

func TestOneSessionAtATime(t *testing.T) {
	h := newHouse(t, nil, simple)
	first := h.login()
	second := h.dial()
	second.talk("C: USER alice\nS: +OK ~\nC: PASS " + password + "\nS: -ERR [IN-USE] ~\nC: STAT\nS: -ERR Log in first")
	first.talk("C: QUIT\nS: +OK ~")
	first.closed()
	// The lock is given back before the connection is closed.
	second.talk("C: USER alice\nS: +OK ~\nC: PASS " + password + "\nS: +OK 1 messages")
}

// Commands may come in one go; the answers have their order (RFC 2449 section 6.6).
func TestPipelining(t *testing.T) {
	h := newHouse(t, nil, simple)
	c := h.connect()
	c.send("USER alice\r\nPASS " + password + "\r\nSTAT\r\nRETR 1\r\nXYZ\r\nDELE 1\r\nQUIT\r\nNOOP\r\n")
	c.talk("S: +OK mx.example.test ~\nS: +OK Now ~\nS: +OK 1 messages\nS: +OK 1 ~\nS: +OK ~ octets")
	if got := c.raw(); got != simple {
		t.Errorf("RETR gave %q", got)
	}
	c.talk("S: -ERR Unknown command\nS: +OK Goes ~\nS: +OK Bye")
	c.closed()
}

func TestBadInput(t *testing.T) {
	h := newHouse(t, nil, simple)
	c := h.login()
	for _, line := range []string{
		"", " ", "\x00", "\xff\xfe", "GET / HTTP/1.1", "RETR", "RETR 0", "RETR -1", "RETR 2", "RETR 99999999999999999999", "RETR 1 1", "RETR x",
		"DELE", "LIST x", "UIDL 0", "TOP", strings.Repeat("x", 300), "NOOP " + strings.Repeat("x", 300),
	} {
		c.send(line + "\r\n")
		c.want("-ERR ~")
	}
	c.talk("C: NOOP\nS: +OK ~")
	if n := h.count(); n != 1 {
		t.Errorf("%d messages are left", n)
	}
}

// A command that takes no argument does nothing when it gets one; blanks at the
// end of a line, which some clients send, are none.
func TestNoArgument(t *testing.T) {
	h := newHouse(t, nil, simple, simple)
	c := h.dial()
	c.talk("C: CAPA x\nS: -ERR CAPA takes no argument\nC: UTF8 x\nS: -ERR UTF8 takes no argument\nC: STLS x\nS: -ERR STLS takes no argument")
	c = h.login()
	c.talk(fmt.Sprintf(`
		C: DELE 1
		S: +OK ~
		C: rset 1
		S: -ERR RSET takes no argument
		C: STAT x
		S: -ERR STAT takes no argument
		C: NOOP x
		S: -ERR NOOP takes no argument
		C: QUIT x
		S: -ERR QUIT takes no argument
		C: STAT%[2]s
		S: +OK 1 %[1]d
		C: LIST 2%[2]s
		S: +OK 2 %[1]d
		C: RSET%[2]s
		S: +OK 2 messages`, len(simple), " "))
	if n := h.count(); n != 2 {
		t.Errorf("%d messages are left of 2", n)
	}
}

func TestLimits(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.MaxErrors, c.MaxCommands = 3, 5 })
	c := h.dial()
	c.talk("C: A\nS: -ERR ~\nC: B\nS: -ERR ~\nC: C\nS: -ERR Unknown command; too many errors")
	c.closed()
	c = h.dial()
	c.send(strings.Repeat("LANG *\r\n", 9))
	for range 5 {
		c.want("+OK en ~")
	}
	c.want("-ERR [SYS/TEMP] Too many commands, come again")
	c.closed()
	c = h.dial()
	go io.WriteString(c.c, strings.Repeat("x", 2<<20)) // the server has enough before the end
	c.want("-ERR Endless line")
	c.closed()
}

// Who is one too many hears why, is counted, and has a place when another leaves.
// Who has logged in takes none of those of the address and network.
func TestConnectionLimits(t *testing.T) {
	srvTLS, _ := doortest.TLS(t)
	for name, c := range map[string]struct {
		limits listen.GateLimits
		want   string
		known  bool // logins make room
	}{
		"connections":  {listen.GateLimits{Total: 2}, "Too many connections, try again later", false},
		"address":      {listen.GateLimits{PerAddress: 2}, "Too many connections from your address, ~", true},
		"network":      {listen.GateLimits{PerNetwork: 2}, "Too many connections from your network, ~", true},
		"address rate": {listen.GateLimits{AddressRate: 2}, "Your address connects too often, ~", true},
		"network rate": {listen.GateLimits{NetworkRate: 2}, "Your network connects too often, ~", true},
	} {
		t.Run(name, func(t *testing.T) {
			seen := doortest.NewWatcher()
			h := newHouse(t, func(cfg *Config) { cfg.Gate, cfg.TLS, cfg.Observer = c.limits, srvTLS, seen })
			first := h.dial()
			second := h.dial()
			third := h.connect()
			third.want("-ERR [SYS/TEMP] " + c.want)
			third.closed()
			if got := seen.NextRefused(); got != "pop3 "+name {
				t.Errorf("counted as %q", got)
			}
			first.talk("C: USER alice\nS: +OK ~\nC: PASS " + password + "\nS: +OK ~")
			if c.known {
				second.talk("C: USER bob\nS: +OK ~\nC: PASS " + password + "\nS: +OK ~")
			} else {
				first.hangUp()
				if got := seen.NextEnded(); got != "pop3 closed" {
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
			first, c := connect(), newClient(t, tls.Client(connect(), clTLS))
			c.want("-ERR [SYS/TEMP] Too many connections, ~")
			c.c.Close()
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

// Every session ends for a reason that is counted.
func TestEnds(t *testing.T) {
	seen := doortest.NewWatcher()
	h := newHouse(t, func(c *Config) { c.Observer, c.MaxErrors, c.MaxCommands, c.AuthAttempts = seen, 3, 10, 2 }, simple)
	for text, want := range map[string]string{
		"QUIT\r\n":                       "quit",
		"STA":                            "closed",
		"A\r\nB\r\nC\r\nNOOP\r\n":        "errors",
		strings.Repeat("LANG *\r\n", 20): "commands",
		strings.Repeat("USER x\r\nPASS y\r\n", 3): "logins",
		strings.Repeat("x", 2<<20):                "flood",
	} {
		c := h.dial()
		io.WriteString(c.c, text) // the server may have enough before the end
		c.c.(*net.TCPConn).CloseWrite()
		if got := seen.NextEnded(); got != "pop3 "+want {
			t.Errorf("%.20q ended as %q, want %q", text, got, want)
		}
	}
}

// Who does not log in does not stay, however busy: silent, dripping, or chatting.
// Who has logged in gets ten minutes for each command (RFC 1939 section 3), and
// loses nothing by being late.
func TestPatience(t *testing.T) {
	h := newHouse(t, nil, simple)
	login := "USER alice\r\nPASS " + password + "\r\nDELE 1\r\n"
	for name, c := range map[string]struct {
		doortest.Trying
		want   time.Duration
		places int // in all
	}{
		"silent":             {doortest.Trying{Every: time.Minute}, loginTimeout, 0},
		"dripping":           {doortest.Trying{Then: "x", Every: time.Second}, loginTimeout, 0},
		"chatting":           {doortest.Trying{Then: "LANG *\r\n", Every: time.Minute}, loginPatience, 0},
		"logged in":          {doortest.Trying{First: login, Every: time.Minute}, autologout, 0},
		"crowded":            {doortest.Trying{Every: time.Second}, crowdedTimeout, 1},
		"crowded, logged in": {doortest.Trying{First: login, Every: time.Minute}, autologout, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := New(Config{Hostname: "mx.example.test", AllowPlaintext: true, Limits: Limits{Gate: listen.GateLimits{Total: c.places}}}, people{h.store})
				if took := c.Last(srv.start); took < c.want || took > c.want+c.Every {
					t.Errorf("hung up after %s, want %s", took, c.want)
				}
				must(t, srv.Shutdown(t.Context()))
			})
			if n := h.count(); n != 1 {
				t.Errorf("%d messages are left", n)
			}
		})
	}
}

// Who has heard the last words has given the place back, and may come again at
// once (RFC 1939 section 6).
func TestAgainAtOnce(t *testing.T) {
	h := newHouse(t, func(c *Config) {
		c.Gate, c.MaxErrors = listen.GateLimits{Total: 1, PerAddress: 1, PerNetwork: 1}, 2
	})
	for range 100 {
		h.login().talk("C: QUIT\nS: +OK ~")
		h.dial().talk("C: A\nS: -ERR ~\nC: B\nS: -ERR ~")
	}
}
