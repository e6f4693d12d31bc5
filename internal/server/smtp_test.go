package server

import (
	"slices"
	"strings"
	"testing"
	"time"

	"posthouse/internal/queue"
)

// TestEHLO compares what every SMTP listener says of itself with a table of what
// is implemented, so that nothing is announced by accident: in the clear, in
// TLS, and after a login. FUTURERELEASE's date is left out.
func TestEHLO(t *testing.T) {
	const everywhere = "SIZE 52428800|PIPELINING|8BITMIME|SMTPUTF8|CHUNKING|BINARYMIME|ENHANCEDSTATUSCODES|DSN|DELIVERBY 600|MT-PRIORITY|LIMITS MAILMAX=10000 RCPTMAX=1000|RRVS"
	const auth = "AUTH SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN"
	addrs := doorsUp(t, "[smtp]\netrn = [\"example.net\"]\nno_soliciting = [\"net.example:ADV\", \"net.example:x\"]\n[limits]\ndeliver_by_min = \"10m\"\n", "alice@example.test")
	const solicit = "|NO-SOLICITING net.example:ADV,net.example:x"
	for _, c := range []struct{ listener, clear, inTLS, loggedIn string }{
		{"smtp", everywhere + solicit + "|STARTTLS|ETRN", everywhere + solicit + "|REQUIRETLS|ETRN", ""},
		{"submission", everywhere + "|NO-SOLICITING|FUTURERELEASE 604800|STARTTLS", everywhere + "|NO-SOLICITING|REQUIRETLS|FUTURERELEASE 604800|" + auth, everywhere + "|NO-SOLICITING|REQUIRETLS|FUTURERELEASE 604800|VRFY|EXPN|" + auth},
		{"submissions", "", everywhere + "|NO-SOLICITING|REQUIRETLS|FUTURERELEASE 604800|" + auth, everywhere + "|NO-SOLICITING|REQUIRETLS|FUTURERELEASE 604800|VRFY|EXPN|" + auth},
		{"lmtp", everywhere + solicit + "|STARTTLS", everywhere + solicit + "|REQUIRETLS", ""},
	} {
		p := dial(t, addrs[c.listener], c.clear == "")
		hello := "EHLO client.test"
		if c.listener == "lmtp" {
			hello = "LHLO client.test"
		}
		compare := func(state, want string) {
			t.Helper()
			if got, want := offered(p.do(hello, "250")), strings.Split(want, "|"); !slices.Equal(got, sorted(want)) {
				t.Errorf("%s %s offers\n%q, want\n%q", c.listener, state, got, sorted(want))
			}
		}
		if c.clear != "" {
			compare("in the clear", c.clear)
			p.do("STARTTLS", "220 2.0.0")
			p.tls()
		}
		compare("in TLS", c.inTLS)
		if c.loggedIn != "" {
			p.login("alice@example.test")
			compare("after a login", c.loggedIn)
		}
	}
}

// What is not configured is not there.
func TestSolicitingIsNobodysBusiness(t *testing.T) {
	p := dial(t, doorsUp(t, "")["smtp"], false)
	if got := offered(p.do("EHLO client.test", "250")); slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "NO-S") || s == "ETRN" }) {
		t.Errorf("%q", got)
	}
	p.do("MAIL FROM:<s@example.org> SOLICIT=net.example:ADV", "555 5.5.4")
}

func TestAnnouncePlus(t *testing.T) {
	for protocols, want := range map[string]string{
		"":       "AUTH SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN",
		`"imap"`: "AUTH SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN",
		`"smtp"`: "AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN",
		`"pop3"`: "AUTH SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN",
	} {
		addrs := doorsUp(t, "[auth]\nannounce_plus = ["+protocols+"]\n")
		got := offered(dial(t, addrs["submissions"], true).do("EHLO client.test", "250"))
		if !slices.Contains(got, want) {
			t.Errorf("announce_plus = [%s]: %q, want %q among them", protocols, got, want)
		}
	}
}

// offered is the lines of a reply to EHLO behind the first, sorted.
func offered(reply string) []string {
	var list []string
	for _, line := range strings.Split(strings.TrimSpace(reply), "\r\n")[1:] {
		line = line[4:]
		if strings.HasPrefix(line, "FUTURERELEASE ") {
			line = line[:strings.LastIndexByte(line, ' ')]
		}
		list = append(list, line)
	}
	return sorted(list)
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

func TestDesk(t *testing.T) {
	addrs := doorsUp(t, "[auth]\nallow_plaintext = true\n",
		"alice@example.test", "bob@example.test", "both@example.test > alice@example.test, bob@example.test", "away@example.test > carol@example.net", "sales@example.test > alice@example.test")
	p := dial(t, addrs["submission"], false)
	p.do("EHLO x", "250")
	p.login("alice@example.test")
	for _, s := range []struct{ say, want string }{
		{"VRFY Alice+tag@example.test", "250 2.1.5 <alice@example.test>"}, {"VRFY bob", "250 2.1.5 <bob@example.test>"}, {"VRFY both", "250 2.1.5 <both@example.test>"},
		{"VRFY sales", "250 2.1.5 <sales@example.test>"}, {"VRFY away", "251 2.1.5 User not local; will forward to <carol@example.net>"},
		{"VRFY nobody", "550 5.1.1"}, {"VRFY carol@example.net", "252 2.0.0"}, {"VRFY postmaster", "250 2.1.5 <alice@example.test>"},
		{"EXPN both", "250-2.1.5 <alice@example.test>\r\n250 2.1.5 <bob@example.test>\r\n"}, {"EXPN away", "250 2.1.5 <carol@example.net>"},
		{"EXPN alice", "250 2.1.5 <alice@example.test>"}, {"EXPN nobody", "550 5.1.1"}, {"EXPN carol@example.net", "550 5.7.1"},
	} {
		p.do(s.say, s.want)
	}
}

// TestETRN starts the queue for a domain, and for all below it.
func TestETRN(t *testing.T) {
	house, addrs := houseUp(t, "[auth]\nallow_plaintext = true\n[smtp]\netrn = [\"example.net\"]\n[outbound]\n[[outbound.route]]\nmatch = \"*\"\nvia = \"smtp://127.0.0.1:1\"\n", "alice@example.test")
	p := dial(t, addrs["submission"], false)
	p.do("EHLO x", "250")
	p.login("alice@example.test")
	p.do("MAIL FROM:<alice@example.test>", "250")
	for _, to := range []string{"carol@example.net", "dave@deep.below.example.net", "erin@example.org", "fred@notexample.net"} {
		p.do("RCPT TO:<"+to+">", "250")
	}
	p.do("DATA", "354")
	p.do("x\r\n.", "250")
	tried := func(e queue.Entry) bool { return e.State == queue.Waiting }
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		// Nobody listens at the route's port; those who were not tried wait for it.
		list, err := house.API().Queue(t.Context(), queue.Selector{}, queue.Page{})
		if err != nil || time.Now().After(end) {
			t.Fatalf("%+v, %v", list, err)
		}
		if len(list) == 4 && slices.ContainsFunc(list, tried) {
			break
		}
	}
	p = dial(t, addrs["smtp"], false)
	p.do("EHLO x", "250")
	p.do("ETRN example.org", "459 4.7.1")
	p.do("ETRN elsewhere.example.net", "251 2.0.0 No messages")
	p.do("ETRN @example.net", "253 2.0.0 2 pending messages for node example.net")
}

func TestXCLIENTLogin(t *testing.T) {
	addrs := doorsUp(t, "[smtp]\nxclient = [\"127.0.0.0/8\"]\n", "alice@example.test")
	p := dial(t, addrs["smtp"], false)
	if !strings.Contains(p.do("EHLO x", "250"), "XCLIENT ") {
		t.Error("XCLIENT is not offered")
	}
	p.do("XCLIENT ADDR=192.0.2.7 LOGIN=nobody@example.test", "501 5.5.4")
	p.do("XCLIENT ADDR=192.0.2.7 LOGIN=alice@example.test", "220 ")
	p.do("EHLO client.test", "250")
	p.do("MAIL FROM:<bob@example.test>", "553 5.7.1") // alice is not bob
	p.do("MAIL FROM:<alice@example.test>", "250")
	p.do("RCPT TO:<far@remote>", "554 5.1.2") // not fully qualified
	p.do("RCPT TO:<far@[192.0.2.1]>", "250")
	p.do("RCPT TO:<far@remote.test>", "250")
	p.do("RSET", "250")
	p.do("XCLIENT LOGIN=[UNAVAILABLE]", "220 ")
	p.do("EHLO client.test", "250")
	p.do("MAIL FROM:<alice@example.test>", "250")
	p.do("RCPT TO:<far@remote.test>", "550 5.7.1")
}

// TestTrace follows one message by one ID: in the reply, in its Received field,
// which tells of TLS and login, and in the journal.
func TestTrace(t *testing.T) {
	addrs := doorsUp(t, "[auth]\nallow_plaintext = true\n", "alice@example.test")
	p := dial(t, addrs["submission"], false)
	p.do("EHLO client.test", "250")
	p.do("STARTTLS", "220")
	p.tls()
	p.do("EHLO client.test", "250")
	p.login("alice@example.test")
	p.do("MAIL FROM:<alice@example.test> MT-PRIORITY=2", "250")
	p.do("RCPT TO:<alice@example.test>", "250")
	p.do("DATA", "354")
	_, id, _ := strings.Cut(strings.TrimSpace(p.do("Subject: hello\r\n\r\ntext\r\n.", "250 2.0.0 Ok: queued as ")), "queued as ")
	got := strings.ReplaceAll(firstMail(t, addrs["pop3"], "alice@example.test"), "\n\t", " ")
	for _, want := range []string{
		"Return-Path: <alice@example.test>\nReceived: from client.test ([127.0.0.1]) by mx.example.test (Posthouse) with ESMTPSA id " + id + " PRIORITY 2 (TLS1.3 TLS_",
		") for <alice@example.test>; ", "\nDate: ", "\nMessage-ID: <" + id + "@mx.example.test>\n", "\nSubject: hello\n\ntext\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}
