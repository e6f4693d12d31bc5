package smtpd

import (
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"strings"
	"testing"

	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

func TestMessage(t *testing.T) {
	h := &house{}
	_, addr := serve(t, Config{}, h)
	p := dial(t, addr)
	p.begin()
	p.do("RCPT TO:<Bob@example.test>", "550 5.1.1")
	p.do("RCPT TO:<bob@example.test>", "250 2.1.5")
	p.do("DATA", "354 ")
	p.send("Subject: hello\r\n\r\n..dot\r\nend\r\n.\r\n")
	r := p.want("250 2.0.0 Ok: queued as ")
	p.do("QUIT", "221 2.0.0")
	p.closed()
	m := only(t, h)
	if want := "Subject: hello\r\n\r\n.dot\r\nend\r\n"; string(m.body) != want {
		t.Errorf("body %q, want %q", m.body, want)
	}
	if m.env.From != address(t, "s@remote.test") || len(m.env.Rcpts) != 2 || m.env.Rcpts[1].To != address(t, "bob@example.test") {
		t.Errorf("envelope %+v", m.env)
	}
	o := m.env.Origin
	if o.Door != "smtp" || o.Protocol != "ESMTP" || o.Helo != "client.test" || !o.Remote.Addr().IsLoopback() || !o.Session.Valid() || !m.env.ID.Valid() {
		t.Errorf("origin %+v", o)
	}
	if !strings.Contains(r, string(m.id)) {
		t.Errorf("reply %q does not name %s", r, m.id)
	}
}

// A step is a command and the beginning of its reply.
type step struct{ say, want string }

func TestConversations(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for name, steps := range map[string][]step{
		"order": {
			{"MAIL FROM:<a@b.test>", "503 5.5.1"}, {"RCPT TO:<alice@example.test>", "503 5.5.1"}, {"DATA", "503 5.5.1"}, {"BDAT 0", "503 5.5.1"},
			{"EHLO x", "250"}, {"RCPT TO:<alice@example.test>", "503 5.5.1"}, {"DATA", "503 5.5.1"},
			{"MAIL FROM:<a@b.test>", "250"}, {"MAIL FROM:<a@b.test>", "503 5.5.1"}, {"DATA", "554 5.5.1"},
			{"RCPT TO:<nobody@example.test>", "550 5.1.1"}, {"DATA", "554 5.5.1"},
		},
		"hello": {
			{"HELO", "501 5.5.4"}, {"EHLO", "501 5.5.4"}, {"EHLO a b", "501 5.5.4"}, {"EHLO [300.1.1.1]", "501 5.5.4"},
			{"LHLO x", "500 5.5.1"}, {"HELO [127.0.0.1]", "250 mx.example.test\r\n"}, {"EHLO [IPv6:::1]", "250-mx.example.test\r\n"},
		},
		"reset by hello": {{"EHLO x", "250"}, {"MAIL FROM:<>", "250"}, {"EHLO x", "250"}, {"MAIL FROM:<>", "250"}, {"RSET", "250 2.0.0"}, {"RSET x", "501 5.5.4"}, {"MAIL FROM:<>", "250"}},
		"others": {
			{"NOOP", "250 2.0.0"}, {"NOOP with words", "250 2.0.0"}, {"HELP", "214 2.0.0"}, {"VRFY alice", "252 2."}, {"VRFY", "501 5.5.4"},
			{"EXPN staff", "502 5.5.1"}, {"TURN", "502 5.5.1"}, {"ETRN x.test", "503 5.5.1"}, {"EHLO x", "250"}, {"ETRN", "501 5.5.4"}, {"ETRN x.test", "459 4.7.1"},
			{"STARTTLS", "502 5.5.1"}, {"AUTH PLAIN", "502 5.5.1"}, {"FOO", "500 5.5.2"}, {"", "500 5.5.2"}, {"\x00", "500 5.5.2"}, {"NOOP " + long, "500 5.5.2"}, {"QUIT now", "501 5.5.4"},
		},
		"case": {{"eHlO x", "250"}, {"mail from:<>", "250"}, {"Rcpt To:<alice@example.test>", "250"}},
		"addresses": {
			{"EHLO x", "250"}, {"MAIL FROM:<postmaster>", "501 5.1.7"}, {"MAIL FROM:<a@>", "501 5.1.7"}, {"MAIL FROM:<a b@x>", "501 5.1.7"}, {"MAIL FROM", "501 5.5.4"}, {"MAIL TO:<a@b>", "501 5.5.4"},
			{"MAIL FROM:<spammer@x.test>", "550 5.7.1"}, {"MAIL FROM:<a@b.test>x", "501 5.5.4"},
			{"MAIL FROM: a@b.test", "250"}, {"RCPT TO:<>", "501 5.1.3"}, {"RCPT TO:<" + strings.Repeat("l", 65) + "@x>", "501 5.1.3"},
			{"RCPT TO:<@relay.test:alice@example.test>", "250"}, {"RCPT TO:<Postmaster>", "550"}, {"RCPT TO:<postmaster>", "250"}, {"RCPT TO:<busy@example.test>", "451 4.3.0"},
		},
		"parameters": {
			{"EHLO x", "250"}, {"MAIL FROM:<> SIZE=1000000000", "552 5.3.4"}, {"MAIL FROM:<> SIZE=99999999999999999999", "552 5.3.4"}, {"MAIL FROM:<> SIZE=x", "501 5.5.4"}, {"MAIL FROM:<> SIZE", "501 5.5.4"},
			{"MAIL FROM:<> BODY=9BIT", "501 5.5.4"}, {"MAIL FROM:<> AUTH=<>", "555 5.5.4"}, {"MAIL FROM:<> SIZE=1 SIZE=1", "501 5.5.4"},
			{"MAIL FROM:<> SMTPUTF8=yes", "501 5.5.4"}, {"MAIL FROM:<gr\u00fcn@x.test>", "553 5.6.7"},
			{"MAIL FROM:<a@b.test> SIZE=10 BODY=8bitmime", "250"}, {"RCPT TO:<alice@example.test> SIZE=5", "555 5.5.4"}, {"RCPT TO:<gr\u00fcn@example.test>", "553 5.6.7"},
		},
		"no parameters after HELO": {{"HELO x", "250"}, {"MAIL FROM:<> SIZE=10", "555 5.5.4"}, {"MAIL FROM:<>", "250"}},
		"bad chunks":               {{"EHLO x", "250"}, {"BDAT 5 FOO\r\nNOOP\r", "501 5.5.4"}, {"BDAT x", "501 5.5.4"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, addr := serve(t, Config{}, &house{})
			p := dial(t, addr)
			for _, s := range steps {
				if strings.HasPrefix(s.say, "BDAT 5 FOO") {
					p.send("BDAT 5 FOO\r\nNOOP\n")
					p.want(s.want)
					continue
				}
				p.do(s.say, s.want)
			}
		})
	}
}

func TestExtensions(t *testing.T) {
	srvTLS, cliTLS := certificate(t)
	parse := func(text string) smtp.Extensions {
		r := smtp.Reply{Code: 250}
		for _, line := range strings.Split(strings.TrimSpace(text), "\r\n") {
			r.Lines = append(r.Lines, line[4:])
		}
		return smtp.ParseEHLO(r)
	}
	_, addr := serve(t, Config{Mode: Submission, TLS: srvTLS, Limits: Limits{MessageSize: 1234}}, &house{})
	p := dial(t, addr)
	ext := parse(p.do("EHLO x", "250"))
	for _, key := range []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES", "STARTTLS"} {
		if !ext.Has(key) {
			t.Errorf("%s is not offered", key)
		}
	}
	if ext.Size() != 1234 || ext.Has("AUTH") {
		t.Errorf("in the clear: %v", ext)
	}
	p.startTLS(cliTLS)
	ext = parse(p.do("EHLO x", "250"))
	if ext.Has("STARTTLS") || strings.Join(ext.Auth(), " ") != "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN" {
		t.Errorf("in TLS: %v", ext)
	}
}

func TestProtocolNames(t *testing.T) {
	srvTLS, cliTLS := certificate(t)
	for _, c := range []struct {
		mode       Mode
		tls, login bool
		hello      string
		utf8       string
		want       string
	}{
		{MX, false, false, "HELO x", "", "SMTP"},
		{MX, false, false, "EHLO x", "", "ESMTP"},
		{MX, true, false, "EHLO x", "", "ESMTPS"},
		{MX, true, false, "EHLO x", " SMTPUTF8", "UTF8SMTPS"},
		{Submission, false, true, "EHLO x", "", "ESMTPA"},
		{Submission, true, true, "EHLO x", "", "ESMTPSA"},
		{Submission, true, true, "EHLO x", " SMTPUTF8", "UTF8SMTPSA"},
		{LMTP, false, false, "LHLO x", "", "LMTP"},
		{LMTP, true, false, "LHLO x", " SMTPUTF8", "UTF8LMTPS"},
	} {
		t.Run(c.want, func(t *testing.T) {
			h := &house{}
			_, addr := serve(t, Config{Mode: c.mode, TLS: srvTLS, AllowPlaintextAuth: true}, h)
			p := dial(t, addr)
			p.do(c.hello, "250")
			if c.tls {
				p.startTLS(cliTLS)
				p.do(c.hello, "250")
			}
			if c.login {
				p.do("AUTH PLAIN "+plain("alice@example.test", "posthouse"), "235 2.7.0")
			}
			p.do("MAIL FROM:<alice@example.test>"+c.utf8, "250")
			p.do("RCPT TO:<bob@example.test>", "250")
			p.do("DATA", "354")
			p.do("x\r\n.", "250")
			o := only(t, h).env.Origin
			if o.Protocol != c.want {
				t.Errorf("protocol %q, want %q", o.Protocol, c.want)
			}
			if strings.HasPrefix(o.TLS, "TLS1.3 TLS_") != c.tls {
				t.Errorf("TLS is %q", o.TLS)
			}
			if (o.Account == 7 && o.Login == "alice@example.test") != c.login {
				t.Errorf("login is %d %q", o.Account, o.Login)
			}
		})
	}
}

func plain(login, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + login + "\x00" + password))
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestAuth(t *testing.T) {
	good := plain("alice@example.test", "posthouse")
	for name, steps := range map[string][]step{
		"plain":            {{"AUTH PLAIN " + good, "235 2.7.0"}, {"AUTH PLAIN " + good, "503 5.5.1"}, {"MAIL FROM:<alice@example.test> AUTH=<>", "250"}},
		"plain asked":      {{"auth plain", "334 \r\n"}, {good, "235 2.7.0"}},
		"login":            {{"AUTH LOGIN", "334 " + b64("Username:")}, {b64("alice@example.test"), "334 " + b64("Password:")}, {b64("posthouse"), "235"}},
		"login initial":    {{"AUTH LOGIN " + b64("alice@example.test"), "334 " + b64("Password:")}, {b64("posthouse"), "235"}},
		"wrong":            {{"AUTH PLAIN " + plain("alice@example.test", "x"), "535 5.7.8"}, {"MAIL FROM:<a@x>", "530 5.7.0"}, {"AUTH PLAIN " + good, "235"}},
		"cancel":           {{"AUTH LOGIN", "334"}, {"*", "501 5.7.0"}, {"NOOP", "250"}},
		"not base64":       {{"AUTH PLAIN !!!", "501 5.5.2"}, {"AUTH PLAIN", "334"}, {"%%", "501 5.5.2"}},
		"empty":            {{"AUTH PLAIN =", "501 5.5.2"}},
		"unknown":          {{"AUTH CRAM-MD5", "504 5.5.4"}, {"AUTH", "501 5.5.4"}, {"AUTH PLAIN a b", "501 5.5.4"}, {"AUTH SCRAM-SHA-256-PLUS", "504 5.5.4"}},
		"too long":         {{"AUTH PLAIN", "334"}, {strings.Repeat("A", 13000), "500 5.5.6"}, {"NOOP", "250"}},
		"long but right":   {{"AUTH PLAIN " + plain("alice@example.test", strings.Repeat("p", 8000)), "535"}},
		"throttled":        {{"AUTH PLAIN " + plain("slow@example.test", "x"), "454 4.7.0"}},
		"required":         {{"MAIL FROM:<a@x>", "530 5.7.0"}, {"NOOP", "250"}, {"VRFY a", "252"}},
		"too many":         {{"AUTH PLAIN " + plain("a@x", "1"), "535"}, {"AUTH PLAIN " + plain("a@x", "2"), "535"}, {"AUTH PLAIN " + plain("a@x", "3"), "421 4.7.0"}},
		"in a transaction": {{"AUTH PLAIN " + good, "235"}, {"MAIL FROM:<alice@example.test>", "250"}, {"AUTH PLAIN " + good, "503"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, addr := serve(t, Config{Mode: Submission, AllowPlaintextAuth: true, Limits: Limits{AuthAttempts: 3}}, &house{})
			p := dial(t, addr)
			p.do("AUTH PLAIN "+good, "503 5.5.1") // before EHLO
			p.do("EHLO x", "250")
			for _, s := range steps {
				p.do(s.say, s.want)
			}
		})
	}
}

func TestAuthNeedsTLS(t *testing.T) {
	srvTLS, cliTLS := certificate(t)
	_, addr := serve(t, Config{Mode: Submission, TLS: srvTLS}, &house{})
	p := dial(t, addr)
	p.do("EHLO x", "250")
	p.do("AUTH PLAIN "+plain("alice@example.test", "posthouse"), "504 5.5.4")
	p.do("MAIL FROM:<alice@example.test>", "530 5.7.0 Must issue a STARTTLS")
	p.startTLS(cliTLS)
	p.do("MAIL FROM:<alice@example.test>", "503 5.5.1") // the hello is forgotten
	p.do("EHLO x", "250")
	p.do("STARTTLS", "503 5.5.1")
	p.do("MAIL FROM:<alice@example.test>", "530 5.7.0 Authentication")
	p.do("AUTH PLAIN "+plain("alice@example.test", "posthouse"), "235")
	p.do("MAIL FROM:<alice@example.test>", "250")
}

func TestStartTLSInjection(t *testing.T) {
	srvTLS, _ := certificate(t)
	p := dialPipes(t, Config{TLS: srvTLS}, &house{})
	p.do("EHLO x", "250")
	p.send("STARTTLS\r\nMAIL FROM:<evil@x.test>\r\n")
	p.want("554 5.5.0")
	p.closed()
}

func TestImplicitTLS(t *testing.T) {
	srvTLS, cliTLS := certificate(t)
	h := &house{}
	_, addr := serve(t, Config{Mode: Submission, Door: "submissions", TLS: srvTLS, ImplicitTLS: true}, h)
	conn, err := tls.Dial("tcp", addr, cliTLS)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p := newPeer(t, conn)
	p.want("220 mx.example.test ESMTP")
	if r := p.do("EHLO x", "250"); strings.Contains(r, "STARTTLS") {
		t.Errorf("offered in TLS: %q", r)
	}
	p.do("AUTH PLAIN "+plain("alice@example.test", "posthouse"), "235")
	p.do("MAIL FROM:<alice@example.test>", "250")
	p.do("QUIT", "221")
	p.closed()
}

func TestLMTP(t *testing.T) {
	h := &house{}
	_, addr := serve(t, Config{Mode: LMTP}, h)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p := newPeer(t, conn)
	p.want("220 mx.example.test LMTP")
	p.do("EHLO x", "500 5.5.1")
	p.do("HELO x", "500 5.5.1")
	p.do("LHLO x", "250")
	p.do("MAIL FROM:<>", "250")
	p.do("DATA", "503 5.5.1")
	for _, to := range []string{"alice", "broken", "bob"} {
		p.do("RCPT TO:<"+to+"@example.test>", "250")
	}
	p.do("RCPT TO:<nobody@example.test>", "550")
	p.do("DATA", "354")
	p.do("x\r\n.", "250 2.0.0 <alice@example.test>")
	p.want("452 4.2.2")
	p.want("250 2.0.0 <bob@example.test>")
	// A message refused whole is refused for each.
	p.do("MAIL FROM:<>", "250")
	p.do("RCPT TO:<alice@example.test>", "250")
	p.do("RCPT TO:<bob@example.test>", "250")
	p.send("BDAT 9 LAST\r\nrefuse me")
	p.want("554 5.7.1")
	p.want("554 5.7.1")
	p.do("NOOP", "250")
}

// BDAT LAST has a reply for each recipient whatever went wrong, so that who sends
// in groups stays in step (RFC 2033 section 4.3).
func TestLMTPFailedChunks(t *testing.T) {
	const two = "MAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\nRCPT TO:<bob@example.test>\r\n"
	full := status.New(452, 3, 1, "Disk full")
	for name, c := range map[string]struct {
		h    *house
		say  string
		want []string
	}{
		"an earlier chunk":    {&house{}, two + "BDAT 4\r\na\nbcBDAT 2\r\n\r\nBDAT 2 LAST\r\n\r\n", []string{"250", "250", "250", "550 5.6.11", "503 5.5.1", "550 5.6.11", "550 5.6.11"}},
		"no room for a chunk": {&house{failWrite: true}, two + "BDAT 4\r\nabcdBDAT 2 LAST\r\n\r\n", []string{"250", "250", "250", "452 4.3.1", "452 4.3.1", "452 4.3.1"}},
		"no room at all":      {&house{dataErr: full}, two + "BDAT 5 LAST\r\nQUIT\n", []string{"250", "250", "250", "452 4.3.1", "452 4.3.1"}},
		"no room, two chunks": {&house{dataErr: full}, two + "BDAT 5\r\nQUIT\nBDAT 0 LAST\r\n", []string{"250", "250", "250", "452 4.3.1", "452 4.3.1", "452 4.3.1"}},
		"nobody":              {&house{}, "MAIL FROM:<>\r\nBDAT 2 LAST\r\n\r\nRSET\r\n", []string{"250", "503 5.5.1", "250"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := dialPipes(t, Config{Mode: LMTP}, c.h)
			p.do("LHLO x", "250")
			go io.WriteString(p.conn, c.say+"MAIL FROM:<>\r\nNOOP\r\n")
			for _, want := range append(c.want, "250 2.1.0", "250 2.0.0 Ok\r\n") {
				p.want(want)
			}
			if n := len(c.h.all()); n != 0 {
				t.Errorf("%d messages", n)
			}
		})
	}
}
