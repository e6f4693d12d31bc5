package imapd

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"net"
	"strings"
	"testing"

	"posthouse/internal/doortest"
)

func TestLogin(t *testing.T) {
	h := newHouse(t)
	h.dial().talk(`
		C: a CAPABILITY
		S: * CAPABILITY IMAP4rev2 IMAP4rev1 ~ AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-1 AUTH=PLAIN AUTH=LOGIN
		S: a OK CAPABILITY completed
		C: b SELECT INBOX
		S: b BAD SELECT is not possible before login
		C: c LOGIN alice wrong
		S: c NO [AUTHENTICATIONFAILED] ~
		C: d LOGIN slow secret
		S: d NO [UNAVAILABLE] ~
		C: e login "alice" {6}
		S: + OK
		C: secret
		S: e OK [CAPABILITY IMAP4rev2 ~] Logged in
		C: f LOGIN alice secret
		S: f BAD ~
		C: g LOGOUT
		S: * BYE ~
		S: g OK LOGOUT completed
	`)
}

func TestAuthenticate(t *testing.T) {
	h := newHouse(t)
	h.dial().talk(`
		C: a AUTHENTICATE PLAIN AGFsaWNlAHdyb25n
		S: a NO [AUTHENTICATIONFAILED] ~
		C: b AUTHENTICATE PLAIN
		S: +~
		C: *
		S: b BAD ~
		C: c AUTHENTICATE NTLM
		S: c NO [CANNOT] ~
		C: d AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==
		S: d OK [CAPABILITY ~] Logged in
	`)
	h.dial().talk(`
		C: a AUTHENTICATE LOGIN
		S: + VXNlcm5hbWU6
		C: YWxpY2U=
		S: + UGFzc3dvcmQ6
		C: c2VjcmV0
		S: a OK [CAPABILITY ~] Logged in
	`)
}

func TestPlaintextRefused(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.AllowPlaintext = false })
	h.dial().talk(`
		C: a CAPABILITY
		S: * CAPABILITY ~ LOGINDISABLED
		S: a OK ~
		C: b LOGIN alice secret
		S: b NO [PRIVACYREQUIRED] ~
		C: c AUTHENTICATE PLAIN
		S: c NO [PRIVACYREQUIRED] ~
		C: d STARTTLS
		S: d BAD STARTTLS is not offered
	`)
}

func TestStartTLS(t *testing.T) {
	server, cfg := doortest.TLS(t)
	h := newHouse(t, func(c *Config) { c.AllowPlaintext, c.TLS = false, server })
	c := h.dial()
	c.talk(`
		C: a CAPABILITY
		S: * CAPABILITY ~ STARTTLS LOGINDISABLED
		S: a OK ~
		C: b STARTTLS
		S: b OK ~
	`)
	tc := tls.Client(c.c, cfg)
	must(t, tc.Handshake())
	c.c, c.r = tc, bufio.NewReader(tc)
	c.talk(`
		C: a CAPABILITY
		S: * CAPABILITY ~ AUTH=SCRAM-SHA-256-PLUS ~ AUTH=PLAIN ~
		S: a OK ~
		C: b STARTTLS
		S: b BAD TLS is active already
		C: c LOGIN alice secret
		S: c OK ~
	`)
}

func TestStartTLSInjection(t *testing.T) {
	server, _ := doortest.TLS(t)
	h := newHouse(t, func(c *Config) { c.TLS = server })
	c := h.dial()
	c.send("a STARTTLS\r\nb NOOP\r\n")
	c.talk("S: * BYE ~")
	c.closed()
}

func TestImplicitTLS(t *testing.T) {
	server, cfg := doortest.TLS(t)
	h := newHouse(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	done := make(chan error, 1)
	go func() { done <- h.srv.Serve(tls.NewListener(l, server)) }()
	c, err := tls.Dial("tcp", l.Addr().String(), cfg)
	must(t, err)
	defer c.Close()
	cl := &client{t, c, bufio.NewReader(c)}
	cl.talk(`
		S: * OK [CAPABILITY ~ AUTH=PLAIN ~
		C: a LOGIN alice secret
		S: a OK ~
		C: b LOGOUT
		S: * BYE ~
		S: b OK ~
	`)
	l.Close()
	<-done
}

func TestBadCommands(t *testing.T) {
	h := newHouse(t)
	c := h.dial()
	c.talk(`
		C: GET / HTTP/1.1
		S: GET BAD ~
		C: a1
		S: a1 BAD ~
		C: a2 NOSUCH
		S: a2 BAD Unknown command NOSUCH
		C: +
		S: * BAD ~
		C: a3 LOGIN alice
		S: a3 BAD ~
		S: * BYE Too many bad commands
	`)
	c.closed()
}

// The limits on mistakes are the configuration's.
func TestMistakesAllowed(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.MaxErrors, c.AuthAttempts = 3, 2 })
	c := h.dial()
	c.talk(`
		C: a LOGIN alice wrong
		S: a NO [AUTHENTICATIONFAILED] ~
		C: b AUTHENTICATE PLAIN ` + base64.StdEncoding.EncodeToString([]byte("\x00alice\x00wrong")) + `
		S: b NO [AUTHENTICATIONFAILED] ~
		S: * BYE Too many failed logins
	`)
	c.closed()
	c = h.login("")
	for range 3 {
		c.do("NOSUCH")
	}
	c.talk("S: * BYE Too many bad commands")
	c.closed()
}

// Who also gives good commands may make mistakes for as long as he likes.
func TestMistakesInARow(t *testing.T) {
	h := newHouse(t)
	c := h.login("")
	for range 60 {
		if _, tagged := c.do("NOSUCH"); !strings.HasPrefix(tagged, "BAD ") {
			t.Fatal(tagged)
		}
		c.ok("NOOP")
	}
	for range 20 {
		c.do("NOSUCH")
	}
	c.talk("S: * BYE Too many bad commands")
	c.closed()
}

func TestPipelining(t *testing.T) {
	h := newHouse(t)
	c := h.dial()
	c.send("a LOGIN alice secret\r\nb SELECT INBOX\r\nc FETCH 1:* FLAGS\r\nd NOOP\r\ne LOGOUT\r\n")
	var tags []string
	for len(tags) < 5 {
		if l := c.line(); l[0] != '*' {
			tags = append(tags, l[:4])
		}
	}
	if got := strings.Join(tags, ","); got != "a OK,b OK,c OK,d OK,e OK" {
		t.Error(got)
	}
}

func TestLiteralBounds(t *testing.T) {
	h := newHouse(t)
	c := h.dial()
	c.talk(`
		C: a LOGIN {5000}
		S: a BAD [TOOBIG] ~
		C: b LOGIN {5+}
		C: alice {6+}
		C: secret
		S: b OK ~
		C: c CREATE {100000}
		S: c BAD [TOOBIG] ~
	`)
	c.send("d CREATE {100000+}\r\n" + strings.Repeat("x", 100000) + "\r\n")
	c.talk("S: d BAD [TOOBIG] ~")
	c.talk(`
		C: e CREATE {9999999+}
		S: * BYE [TOOBIG] ~
	`)
	c.closed()
	for _, d := range []*client{h.dial(), h.login("")} { // nothing follows a BYE
		d.talk(`
			C: f APPEND INBOX {9999999+}
			S: * BYE [TOOBIG] ~
		`)
		d.closed()
	}
}

func TestSessionsPerAccount(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.MaxPerAccount = 1 })
	h.login("")
	h.dial().talk(`
		C: a LOGIN alice secret
		S: a NO [LIMIT] ~
		C: b LOGIN bob secret
		S: b OK ~
	`)
}

func TestShutdownSaysGoodbye(t *testing.T) {
	h := newHouse(t)
	idle, busy := h.login("INBOX"), h.login("")
	idle.send("i IDLE\r\n")
	idle.talk("S: + idling")
	go h.srv.Shutdown(t.Context())
	idle.talk("S: * BYE ~")
	busy.talk("S: * BYE ~")
	idle.closed()
	busy.closed()
}

func TestIDAndEnable(t *testing.T) {
	h := newHouse(t)
	h.login("").talk(`
		C: a ID ("name" "x" "version" NIL)
		S: * ID ("name" "Posthouse" "version" "test")
		S: a OK ID completed
		C: b ENABLE CONDSTORE X-WHAT IMAP4rev2
		S: * ENABLED CONDSTORE IMAP4rev2
		S: b OK ENABLE completed
		C: b2 ENABLE condstore CONDSTORE
		S: * ENABLED CONDSTORE
		S: b2 OK ~
		C: b3 ENABLE X-WHAT
		S: * ENABLED
		S: b3 OK ~
		C: c NAMESPACE
		S: * NAMESPACE (("" "/")) NIL NIL
		S: c OK ~
	`)
}

// What enables CONDSTORE without a word does not make ENABLE say that it failed; a
// command that is BAD enables nothing.
func TestEnableAgain(t *testing.T) {
	h := newHouse(t)
	h.login("").talk(`
		C: a STATUS INBOX (HIGHESTMODSEQ)
		S: * STATUS INBOX (HIGHESTMODSEQ ~)
		S: a OK ~
		C: b ENABLE CONDSTORE
		S: * ENABLED CONDSTORE
		S: b OK ~
		C: c ENABLE IMAP4rev2 (
		S: c BAD ~
		C: d EXAMINE INBOX
		S: ~FLAGS~
		S: ~PERMANENTFLAGS~
		S: * 0 EXISTS
		S: * 0 RECENT
		S: * OK [UIDVALIDITY ~
		S: * OK [UIDNEXT ~
		S: * OK [HIGHESTMODSEQ ~
		S: * OK [MAILBOXID ~
		S: d OK ~
	`)
}

// Every announced capability has something that answers for it.
func TestCapabilitiesAnswer(t *testing.T) {
	h := newHouse(t)
	c := h.login("INBOX")
	c.appendMail("INBOX", "", simple)
	c.ok("DELETE Archive")
	probes := map[string]string{
		"IMAP4rev2": "ENABLE IMAP4rev2", "IMAP4rev1": "LSUB \"\" *", "ID": "ID NIL", "ENABLE": "ENABLE X",
		"NAMESPACE": "NAMESPACE", "LITERAL+": "STATUS {5+}\r\nINBOX (MESSAGES)", "CHILDREN": "LIST \"\" % RETURN (CHILDREN)",
		"SPECIAL-USE": "LIST (SPECIAL-USE) \"\" *", "CREATE-SPECIAL-USE": "CREATE Archiv/24 (USE (\\Archive))",
		"LIST-EXTENDED": "LIST (SUBSCRIBED) \"\" (a b) RETURN (CHILDREN)", "LIST-STATUS": "LIST \"\" % RETURN (STATUS (MESSAGES))",
		"STATUS=SIZE": "STATUS INBOX (SIZE)", "ESEARCH": "SEARCH RETURN (MIN MAX COUNT ALL) ALL",
		"SEARCHRES": "SEARCH RETURN (SAVE) ALL", "WITHIN": "SEARCH OLDER 10 YOUNGER 10", "BINARY": "FETCH 1 (BINARY.PEEK[1] BINARY.SIZE[1])",
		"CONDSTORE": "FETCH 1 (FLAGS) (CHANGEDSINCE 1)", "OBJECTID": "FETCH 1 (EMAILID THREADID)", "SAVEDATE": "FETCH 1 SAVEDATE",
		"UIDPLUS": "UID EXPUNGE 999", "MOVE": "UID MOVE 999 Trash", "IDLE": "IDLE\r\nDONE",
		"SASL-IR": "", "UNSELECT": "UNSELECT", "APPENDLIMIT=1048576": "STATUS INBOX (APPENDLIMIT)",
	}
	for _, name := range strings.Fields(h.srv.caps.base) {
		probe, known := probes[name]
		if !known {
			t.Errorf("%s is announced and nothing here tests it", name)
		}
		delete(probes, name)
		if probe == "" {
			continue
		}
		if c.ok(probe); name == "UNSELECT" {
			c.ok("SELECT INBOX")
		}
	}
	for name := range probes {
		t.Errorf("%s is tested and not announced", name)
	}
}
