package smtpd

import (
	"bytes"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"posthouse/internal/envelope"
)

// bareEnd finds a CR or LF that is not part of a <CRLF>.
var bareEnd = regexp.MustCompile(`\r[^\n]|\r$|[^\r]\n|^\n`)

func isBare(content []byte) bool { return bareEnd.Match(content) }

// smuggled is content with every known false end, each with commands behind it.
func smuggled() []string {
	var all []string
	for _, a := range smuggling {
		all = append(all, "a"+a+"MAIL FROM:<evil@x.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n")
		for _, b := range []string{"\x00", "\n", "\r", ".", "\r\n", "x"} {
			all = append(all, b+a+b+"NOOP\r\n", a+b+a+"NOOP\r\n")
		}
	}
	return all
}

// endsWithin reports whether content has a true end, by the standard's reckoning.
func endsWithin(content string) bool { return strings.Contains("\r\n"+content, "\r\n.\r\n") }

// Whatever is sent, it is one message or one refusal, and the session is in step
// afterwards.
func TestSmuggling(t *testing.T) {
	for name, rule := range map[string]Newlines{"refuse": RefuseBare, "normalise": NormaliseBare, "accept": AcceptBare} {
		for _, verb := range []string{"DATA", "BDAT"} {
			t.Run(name+" "+verb, func(t *testing.T) {
				h := &house{}
				_, addr := serve(t, Config{Newlines: rule, Limits: Limits{Errors: -1}}, h)
				p := dial(t, addr)
				for _, content := range smuggled() {
					if verb == "DATA" && endsWithin(content) {
						continue
					}
					smuggle(t, p, h, rule, verb, content)
				}
			})
		}
	}
}

func smuggle(t *testing.T, p *peer, h *house, rule Newlines, verb, content string) {
	t.Helper()
	before := len(h.all())
	p.begin()
	want := []byte(content)
	if verb == "DATA" {
		p.do("DATA", "354")
		p.send(content + ".\r\n")
		want, _, _ = naive([]byte(content + ".\r\n"))
	} else {
		p.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(content), content))
	}
	messages := 1
	if rule == RefuseBare && isBare(want) {
		p.want("550 5.6.11 ")
		messages = 0
	} else {
		p.want("250 2.0.0 Ok: queued")
	}
	p.do("RCPT TO:<x@y.test>", "503 5.5.1") // in step, and no transaction open
	all := h.all()
	if len(all) != before+messages {
		t.Fatalf("%q: %d messages, want %d", content, len(all)-before, messages)
	}
	if messages == 0 {
		return
	}
	got := all[before].body
	switch {
	case rule == NormaliseBare && isBare(got):
		t.Fatalf("%q: not normalised: %q", content, got)
	case (rule == AcceptBare || !isBare(want)) && !bytes.Equal(got, want):
		t.Fatalf("%q: body %q, want %q", content, got, want)
	}
}

// The end may be behind a CR that is content.
func TestEndBehindBareCR(t *testing.T) {
	h := &house{}
	_, addr := serve(t, Config{Newlines: AcceptBare}, h)
	p := dial(t, addr)
	p.begin()
	p.do("DATA", "354")
	p.send("a\r\r\n.\r\nNOOP\r\n")
	p.want("250 2.0.0 Ok: queued")
	p.want("250 2.0.0 Ok\r\n")
	if m := only(t, h); string(m.body) != "a\r\r\n" {
		t.Errorf("body %q", m.body)
	}
}

func TestNormalise(t *testing.T) {
	for _, c := range []struct{ sent, data, bdat string }{
		{"a\nb\n", "a\r\nb\r\n", "a\r\nb\r\n"},
		{"a\r\nb\n", "a\r\nb\r\n", "a\r\nb\r\n"},
		{"Subject: x\r\r\nFrom: y\r\n", "Subject: x \r\nFrom: y\r\n", "Subject: x \r\nFrom: y\r\n"},
		{"a\rb\r\n", "a b\r\n", "a b\r\n"},
		{"a\n..b\n.\nc\n", "a\r\n.b\r\n\r\nc\r\n", "a\r\n..b\r\n.\r\nc\r\n"},
		{"\n\n\r\n", "\r\n\r\n\r\n", "\r\n\r\n\r\n"},
		{"plain\r\n", "plain\r\n", "plain\r\n"},
		{"\r.\r\r\n", " . \r\n", " . \r\n"},
	} {
		h := &house{}
		// The client is an old one of our network; strangers are refused.
		_, addr := serve(t, Config{NormaliseFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, h)
		p := dial(t, addr)
		p.begin()
		p.do("DATA", "354")
		// Octet by octet: what belongs together comes apart.
		for i := range len(c.sent) {
			p.send(c.sent[i : i+1])
		}
		if !strings.HasSuffix(c.sent, "\r\n") {
			c.data += "\r\n"
			p.send("\r\n")
		}
		p.send(".\r\n")
		p.want("250")
		p.begin()
		for i := range len(c.sent) {
			p.send("BDAT 1\r\n" + c.sent[i:i+1])
			p.want("250 2.0.0 1 octets")
		}
		p.do("BDAT 0 LAST", "250")
		all := h.all()
		if string(all[0].body) != c.data || string(all[1].body) != c.bdat {
			t.Errorf("%q: DATA %q, want %q; BDAT %q, want %q", c.sent, all[0].body, c.data, all[1].body, c.bdat)
		}
	}
}

// A CR that is content of a chunk, and the LF of the next, are one line end; at
// the end of everything a CR is bare.
func TestNewlinesAcrossChunks(t *testing.T) {
	h := &house{}
	_, addr := serve(t, Config{}, h)
	p := dial(t, addr)
	p.begin()
	p.send("BDAT 2\r\na\rBDAT 2\r\n\nbBDAT 2 LAST\r\n\r\n")
	p.want("250")
	p.want("250")
	p.want("250 2.0.0 Ok: queued")
	p.begin()
	p.send("BDAT 2\r\na\rBDAT 1 LAST\r\nb")
	p.want("250")
	p.want("550 5.6.11")
	p.begin()
	p.send("BDAT 2 LAST\r\na\r")
	p.want("550 5.6.11")
	p.begin()
	p.send("BDAT 2\r\n\naBDAT 1\r\naBDAT 1 LAST\r\na")
	p.want("550 5.6.11")
	p.want("503 5.5.1")
	p.want("503 5.5.1")
	p.do("NOOP", "250")
	if m := only(t, h); string(m.body) != "a\r\nb\r\n" {
		t.Errorf("body %q", m.body)
	}
}

// Binary content has no lines (RFC 3030 section 3).
func TestBinaryHasNoLines(t *testing.T) {
	s := session{newlines: RefuseBare}
	l := s.ruleFor(&envelope.Envelope{Body: envelope.BodyBinary})
	for _, p := range []string{"\n.\n\r.\r", "\x00\r"} {
		if got, ok := l.next([]byte(p)); !ok || string(got) != p {
			t.Errorf("%q becomes %q, %v", p, got, ok)
		}
	}
	if rest, ok := l.end(); !ok || len(rest) != 0 {
		t.Errorf("end gives %q, %v", rest, ok)
	}
}

// NUL is content like any other octet (RFC 5321 section 4.1.1.4), as for Postfix.
func TestNUL(t *testing.T) {
	h := &house{}
	_, addr := serve(t, Config{}, h)
	p := dial(t, addr)
	p.begin()
	p.do("DATA", "354")
	want := "a\x00b\r\n\x00.\r\n.\x00\r\n\x00\r\n"
	p.send(strings.ReplaceAll(want, "\r\n.", "\r\n..") + ".\r\n")
	p.want("250")
	if m := only(t, h); string(m.body) != want {
		t.Errorf("body %q, want %q", m.body, want)
	}
}

// A client that ends its message with a bare LF learns soon why there is no
// answer, and nothing of it is read as commands.
func TestBareEndIsAnswered(t *testing.T) {
	for _, end := range []string{"\n.\n", "\r\n.\n", "\n.\r\n", "\r.\r"} {
		synctest.Test(t, func(t *testing.T) {
			w, h := newWatcher(), &house{}
			s := New(Config{Hostname: "mx.example.test", Observer: w}, h)
			p := piped(t, s)
			p.begin()
			p.do("DATA", "354")
			began := time.Now()
			p.send("Subject: x\n\nhello" + end)
			p.want("550 5.6.11 ")
			p.closed()
			if d := time.Since(began); d != 10*time.Second {
				t.Errorf("%q: after %v", end, d)
			}
			if sum := <-w.ends; sum.End != "bare newline" || sum.Messages != 0 || h.aborts() != 1 {
				t.Errorf("%q: session %+v, %d aborted", end, sum, h.aborts())
			}
			s.Shutdown(t.Context())
		})
	}
}

// A bare LF never makes two commands of one line.
func TestBareLFInCommands(t *testing.T) {
	for _, line := range []string{
		"MAIL FROM:<a@b.test>\nRCPT TO:<alice@example.test>\r\n", "NOOP\nQUIT\r\n", "NOOP " + strings.Repeat("x", 20_000) + "\nRSET\r\n", "\n\n",
	} {
		w := newWatcher()
		_, addr := serve(t, Config{Observer: w}, &house{})
		p := dial(t, addr)
		p.do("EHLO x", "250")
		p.send(line)
		p.want("521 5.5.2 ")
		p.closed()
		p.conn.Close()
		if sum := <-w.ends; sum.End != "bare newline" || sum.Commands != 1 {
			t.Errorf("%.40q: session %+v", line, sum)
		}
	}
	// 521 is no code of submission (RFC 6409 section 7).
	_, addr := serve(t, Config{Mode: Submission}, &house{})
	p := dial(t, addr)
	p.do("EHLO x", "250")
	p.send("NOOP\nQUIT\r\n")
	p.want("554 5.5.2 ")
	p.closed()
	_, addr = serve(t, Config{Newlines: NormaliseBare}, &house{})
	p = dial(t, addr)
	p.send("EHLO x\n")
	p.want("250")
	p.send("NOOP\n")
	p.want("250")
	p.do("MAIL FROM:<a\r@b.test>", "500 5.5.2")
}

// ruled gives content to a rule in pieces of the given sizes.
func ruled(l lineRule, content, sizes []byte) (out []byte, ok bool) {
	for i := 0; len(content) > 0; i++ {
		n := 1
		if len(sizes) > 0 {
			n = min(1+int(sizes[i%len(sizes)]), len(content))
		}
		p, ok := l.next(content[:n])
		if !ok {
			return nil, false
		}
		out = append(out, p...)
		content = content[n:]
	}
	p, ok := l.end()
	return append(out, p...), ok
}

// FuzzLineRule: content is refused exactly when it has a bare CR or LF, and what
// is normalised has none; however it is cut.
func FuzzLineRule(f *testing.F) {
	for _, s := range smuggled() {
		f.Add([]byte(s), []byte{1, 0, 7}, true)
	}
	f.Add([]byte("a\r\n"), []byte{}, false)
	f.Fuzz(func(t *testing.T, content, sizes []byte, dots bool) {
		out, ok := ruled(lineRule{}, content, sizes)
		if ok == isBare(content) || ok && !bytes.Equal(out, content) {
			t.Fatalf("%q in %v: %q, %v", content, sizes, out, ok)
		}
		out, ok = ruled(lineRule{newlines: NormaliseBare, dots: dots}, content, sizes)
		whole, _ := ruled(lineRule{newlines: NormaliseBare, dots: dots}, content, []byte{255})
		if !ok || isBare(out) || !bytes.Equal(out, whole) {
			t.Fatalf("%q in %v: %q, %v; whole %q", content, sizes, out, ok, whole)
		}
		if !isBare(content) && !bytes.Equal(out, content) {
			t.Fatalf("%q was changed: %q", content, out)
		}
	})
}
