package pop3d

import (
	"crypto/tls"
	"slices"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"posthouse/internal/doortest"
	"posthouse/internal/sasl"
)

func b64(s string) string { return sasl.Encode([]byte(s)) }

func TestUserPass(t *testing.T) {
	h := newHouse(t, nil, simple)
	h.dial().talk(`
		C: STAT
		S: -ERR Log in first
		C: PASS x
		S: -ERR USER first
		C: user nobody
		S: +OK ~
		C: PASS ` + password + `
		S: -ERR [AUTH] ~
		C: PASS again
		S: -ERR USER first
		C: USER alice
		S: +OK ~
		C: PASS wrong
		S: -ERR [AUTH] ~
		C: uSeR alice
		S: +OK ~
		C: pass ` + password + `
		S: +OK 1 messages
		C: USER alice
		S: -ERR You are logged in already
		C: AUTH PLAIN
		S: -ERR You are logged in already
		C: QUIT
		S: +OK Bye`)
	h.dial().talk("C: USER gr\xc3\xbcn\nS: +OK ~\nC: PASS " + password + "\nS: +OK 0 messages")
	h.dial().talk("C: USER gr\xfcn\nS: -ERR USER needs a name, in UTF-8")
}

// RFC 3206: a client may ask for the password again only after [AUTH].
func TestLoginResponseCodes(t *testing.T) {
	h := newHouse(t, nil)
	h.dial().talk(`
		C: USER slow
		S: +OK ~
		C: PASS x
		S: -ERR [SYS/TEMP] Too many failed logins~
		C: USER broken
		S: +OK ~
		C: PASS x
		S: -ERR [SYS/TEMP] Cannot check~`)
}

func TestAuthAttempts(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.AuthAttempts = 2 })
	c := h.dial()
	c.talk(`
		C: USER alice
		S: +OK ~
		C: PASS x
		S: -ERR [AUTH] ~
		C: AUTH PLAIN ` + b64("\x00alice\x00x") + `
		S: -ERR [AUTH] ~`)
	c.closed()
}

func TestAuth(t *testing.T) {
	h := newHouse(t, nil, simple)
	plain := b64("\x00alice\x00" + password)
	for name, script := range map[string]string{
		"plain":         "C: AUTH plain " + plain + "\nS: +OK 1 messages",
		"plain asked":   "C: AUTH PLAIN\nS: + \nC: " + plain + "\nS: +OK 1 messages",
		"login":         "C: AUTH LOGIN\nS: + " + b64("Username:") + "\nC: " + b64("alice") + "\nS: + " + b64("Password:") + "\nC: " + b64(password) + "\nS: +OK 1 messages",
		"long":          "C: AUTH PLAIN " + b64("\x00alice\x00"+strings.Repeat("x", 600)) + "\nS: -ERR [AUTH] ~",
		"too long":      "C: AUTH PLAIN\nS: + \nC: " + strings.Repeat("A", sasl.MaxLine+4) + "\nS: -ERR Malformed response\nC: NOOP\nS: -ERR Log in first",
		"cancelled":     "C: AUTH PLAIN\nS: + \nC: *\nS: -ERR Cancelled",
		"empty initial": "C: AUTH PLAIN =\nS: -ERR Malformed response",
		"not base64":    "C: AUTH PLAIN\nS: + \nC: !\nS: -ERR Malformed response",
		"bad initial":   "C: AUTH PLAIN !\nS: -ERR The initial response is not base64",
		"unknown":       "C: AUTH CRAM-MD5\nS: -ERR No such mechanism here",
		"not bound":     "C: AUTH SCRAM-SHA-256-PLUS\nS: -ERR No such mechanism here",
		"somebody else": "C: AUTH PLAIN " + b64("bob\x00alice\x00"+password) + "\nS: -ERR [AUTH] ~",
		"list":          "C: AUTH\nS: +OK ~\nS: SCRAM-SHA-256\nS: SCRAM-SHA-1\nS: PLAIN\nS: LOGIN\nS: .",
	} {
		t.Run(name, func(t *testing.T) {
			c := h.dial()
			c.t = t
			c.talk(script)
			c.hangUp()
		})
	}
}

// authenticate carries out a SCRAM exchange with a client made by others.
func (c *client) authenticate(mech string, conv *scram.ClientConversation) string {
	c.t.Helper()
	first, err := conv.Step("")
	must(c.t, err)
	c.send("AUTH " + mech + " " + b64(first) + "\r\n")
	for !conv.Done() {
		challenge := c.line()
		text, asked := strings.CutPrefix(challenge, "+ ")
		if !asked {
			return challenge
		}
		in, err := sasl.Decode([]byte(text))
		must(c.t, err)
		out, err := conv.Step(string(in))
		must(c.t, err)
		c.send(b64(out) + "\r\n")
	}
	if !conv.Valid() {
		c.t.Error("the server did not show that it knows the secret")
	}
	return c.line()
}

func TestScram(t *testing.T) {
	h := newHouse(t, nil, simple)
	for pass, want := range map[string]string{password: "+OK 1 messages", "wrong": "-ERR [AUTH] ~"} {
		cl, err := scram.SHA256.NewClient("alice", pass, "")
		must(t, err)
		c := h.dial()
		if got := c.authenticate(sasl.ScramSHA256, cl.NewConversation()); !doortest.Glob(want, got) {
			t.Errorf("%s: %q, want %q", pass, got, want)
		}
		c.hangUp()
	}
}

func capa(c *client) []string {
	c.t.Helper()
	return strings.Split(strings.TrimSuffix(c.fetch("CAPA"), "\r\n"), "\r\n")
}

func TestCapa(t *testing.T) {
	server, trust := doortest.TLS(t)
	h := newHouse(t, func(c *Config) { c.TLS, c.AllowPlaintext = server, false })
	always := []string{"TOP", "UIDL", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "EXPIRE NEVER", "UTF8 USER", "LANG"}
	c := h.dial()
	if got, want := capa(c), append(slices.Clone(always), "STLS", "IMPLEMENTATION Posthouse"); !slices.Equal(got, want) {
		t.Errorf("in the clear %q, want %q", got, want)
	}
	c.talk(`
		C: USER alice
		S: -ERR Logins need TLS
		C: AUTH PLAIN ` + b64("\x00alice\x00"+password) + `
		S: -ERR Logins need TLS
		C: STLS now
		S: -ERR ~
		C: STLS
		S: +OK Begin TLS`)
	secure := newClient(t, tls.Client(c.c, trust))
	got, want := capa(secure), append(slices.Clone(always), "USER", "SASL SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN", "IMPLEMENTATION Posthouse")
	if !slices.Equal(got, want) {
		t.Errorf("with TLS %q, want %q", got, want)
	}
	secure.talk("C: STLS\nS: -ERR TLS is not possible now")
	cl, err := scram.SHA256.NewClient("alice", password, "")
	must(t, err)
	state := secure.c.(*tls.Conn).ConnectionState()
	binding, err := scram.NewTLSExporterBinding(&state)
	must(t, err)
	if got := secure.authenticate(sasl.ScramSHA256Plus, cl.NewConversationWithChannelBinding(binding)); got != "+OK 0 messages" {
		t.Errorf("bound login: %q", got)
	}
	if again := capa(secure); !slices.Equal(again, want) {
		t.Errorf("after the login %q, want %q", again, want)
	}
}

// What stands behind STLS could have been put there by somebody else.
func TestNothingBeforeTheHandshake(t *testing.T) {
	server, _ := doortest.TLS(t)
	h := newHouse(t, func(c *Config) { c.TLS = server })
	c := h.dial()
	c.send("STLS\r\nUSER alice\r\n")
	c.want("-ERR Nothing may follow STLS before the handshake")
	c.closed()
}

// A name given in the clear is not the one that logs in under TLS.
func TestStartTLSForgets(t *testing.T) {
	server, trust := doortest.TLS(t)
	h := newHouse(t, func(c *Config) { c.TLS = server })
	c := h.dial()
	c.talk("C: USER alice\nS: +OK ~\nC: STLS\nS: +OK ~")
	secure := newClient(t, tls.Client(c.c, trust))
	secure.talk("C: PASS " + password + "\nS: -ERR USER first")
}

func TestUTF8AndLang(t *testing.T) {
	h := newHouse(t, nil)
	c := h.dial()
	c.talk(`
		C: UTF8 x
		S: -ERR ~
		C: UTF8
		S: +OK ~
		C: LANG
		S: +OK ~
		S: en English
		S: .
		C: LANG *
		S: +OK en ~
		C: LANG EN
		S: +OK en ~
		C: LANG mul
		S: -ERR ~
		C: USER alice
		S: +OK ~
		C: PASS ` + password + `
		S: +OK ~
		C: UTF8
		S: -ERR ~
		C: LANG en
		S: +OK en ~`)
}
