package conformance

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"posthouse/internal/nettest"
)

const sound = `== name
rfc: 5321 4.2
on: mx
`

func TestParse(t *testing.T) {
	list, err := Parse("subject", "# comment\n\n== One\nrfc: 5321 4.2\nrfc: 2034 4\non: mx lmtp\nrequires: SIZE !DSN\n"+
		"postfix: does\npostfix: otherwise\nGREET\nC: NOOP\nS: 250 2.0.0 /ok/\n== Two\nrfc: 1 1\non: mx\nclosed\n")
	if err != nil {
		t.Fatal(err)
	}
	c := list[0]
	if len(list) != 2 || c.Name != "One" || c.Line != 3 || len(c.RFC) != 2 || len(c.On) != 2 || len(c.Requires) != 2 ||
		c.Notes["postfix"] != "does otherwise" || len(c.steps) != 3 || c.steps[2] != (step{12, "S:", "250 2.0.0 /ok/"}) {
		t.Errorf("%+v", c)
	}
	for _, bad := range []string{
		"C: NOOP", "== \n", "== x\n", "== x\nrfc: 1\nC: x\n", sound, sound + "FROB\n", sound + "S: 25\n", sound + "S: 250 2.1\n",
		sound + "S: 250 /(/\n", sound + "C: $nothing\n", sound + "C: ${repeat x y}\n", sound + "C: \\q\n", sound + "C: ${b64 x\n",
		sound + "deliver $local\n", sound + "deliver $local many\n", sound + "silent long\n", sound + "TLS 2.0\n", sound + "SCRAM MD5\n",
		sound + "READY now\n", sound + "S* 250\n", sound + "keyword\n", sound + "missing\n", sound + "header x\n",
		"== name\nrfc: 1\non: imap\nGREET\n", sound + "GREET\n" + sound + "GREET\n",
	} {
		if _, err := Parse("subject", bad); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "subject.txt:") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestExpand(t *testing.T) {
	sc := &scope{vars: map[string]string{"user": "a.b@c", "pass": "x"}, size: 100, now: time.Unix(0, 0)}
	for in, want := range map[string]string{
		`plain`:                       "plain",
		`$user $$user $1 $`:           "a.b@c $user $1 $",
		`\r\n\0\x7f\\`:                "\r\n\x00\x7f\\",
		`${user}s`:                    "a.b@cs",
		`${b64 \0$user\0${pass}}`:     "AGEuYkBjAHg=",
		`${repeat 3 ${repeat 2 a}b}`:  "aabaabaab",
		`${size 1} ${size -1}`:        "101 99",
		`${upper abc}`:                "ABC",
		`${time 1h}`:                  "1970-01-01T01:00:00Z",
		`{x}`:                         "{x}",
		`C:\\`:                        `C:\`,
		`${repeat 2 \r\n}`:            "\r\n\r\n",
		`<"a>b\\"c"@x>`:               `<"a>b\"c"@x>`,
		`${b64 n,a=x,\x01auth=B\x01}`: "bixhPXgsAWF1dGg9QgE=",
	} {
		if got, err := sc.text(in); err != nil || got != want {
			t.Errorf("%q: %q %v, want %q", in, got, err, want)
		}
	}
	if got, err := sc.text("${fill -10}"); err != nil || len(got) != 90 || strings.Count(got, "\r\n") != 1 {
		t.Errorf("fill: %q %v", got, err)
	}
	re, err := sc.pattern("/^$user$/")
	if err != nil || !re.MatchString("a.b@c") || re.MatchString("axb@c") {
		t.Errorf("pattern: %v %v", re, err)
	}
}

// fake is a server that answers by rote. A reply that ends with "..." is its last:
// it says nothing more, and the client's time runs out.
func fake(t *testing.T, greeting string, replies map[string]string) *Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	silent := make(chan struct{})
	silence := sync.OnceFunc(func() { close(silent) })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				c.Write([]byte(greeting))
				for r := bufio.NewScanner(c); r.Scan(); {
					verb, _, _ := strings.Cut(r.Text(), " ")
					reply, known := replies[verb]
					reply, last := strings.CutSuffix(reply, "...")
					switch {
					case !known:
						c.Write([]byte("250 2.0.0 Ok\r\n"))
					case reply == "":
						return
					default:
						c.Write([]byte(reply))
					}
					if last {
						silence()
						c.(*net.TCPConn).CloseWrite()
					}
				}
			}()
		}
	}()
	return &Target{
		Addr: map[string]string{"mx": l.Addr().String()}, Local: "bob@x.test", Timeout: time.Minute,
		dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return nettest.Hurry(c, silent), nil
		},
	}
}

// The suite finds what is wrong with a server.
func TestFindsFaults(t *testing.T) {
	const greeting, ehlo = "220 mx.test ESMTP\r\n", "250-mx.test\r\n250-SIZE 1000\r\n250 ENHANCEDSTATUSCODES\r\n"
	for name, c := range map[string]struct {
		greeting, reply, steps string
		why                    string // "" when the case passes
	}{
		"right":            {greeting, "250 2.0.0 Ok\r\n", "READY\nC: NOOP\nS: 250 2.0.0 /^2.0.0 Ok$/", ""},
		"several lines":    {greeting, "250-2.0.0 One\r\n250 2.0.0 Two\r\n", "READY\nC: NOOP\nS: 250 2.0.0", ""},
		"code":             {greeting, "500 5.0.0 No\r\n", "READY\nC: NOOP\nS: 250", "wanted 250, got"},
		"enhanced code":    {greeting, "250 2.1.0 Ok\r\n", "READY\nC: NOOP\nS: 250 2.0.0", "wanted 250 2.0.0, got"},
		"text":             {greeting, "250 2.0.0 No\r\n", "READY\nC: NOOP\nS: 250 /Ok/", "wanted 250 /Ok/, got"},
		"no enhanced code": {greeting, "250 Ok\r\n", "READY\nC: NOOP\nS: 250", "no enhanced code"},
		"none before EHLO": {greeting, "250 Ok\r\n", "GREET\nC: NOOP\nS: 250 2.0.0", ""},
		"another class":    {greeting, "250 5.0.0 Ok\r\n", "READY\nC: NOOP\nS: 250", "of another class"},
		"one line without": {greeting, "250-2.0.0 One\r\n250 Two\r\n", "READY\nC: NOOP\nS: 250", "a line without"},
		"codes differ":     {greeting, "250-2.0.0 One\r\n251 2.0.0 Two\r\n", "READY\nC: NOOP\nS: 250", "different codes"},
		"bare LF":          {greeting, "250 2.0.0 Ok\n", "READY\nC: NOOP\nS: 250", "does not end with CRLF"},
		"not a reply":      {greeting, "hello\r\n", "READY\nC: NOOP\nS: 250", "not a reply"},
		"eight bits":       {greeting, "250 2.0.0 \xff\r\n", "READY\nC: NOOP\nS: 250", "not text"},
		"long line":        {greeting, "250 2.0.0 " + strings.Repeat("x", 600) + "\r\n", "READY\nC: NOOP\nS: 250", "over 512 octets"},
		"silence":          {greeting, "250-2.0.0 One\r\n...", "READY\nC: NOOP\nS: 250", "no reply within"},
		"hangs up":         {greeting, "", "READY\nC: NOOP\nS: 250", "closed the connection"},
		"does not hang up": {greeting, "221 2.0.0 Bye\r\n...", "READY\nC: NOOP\nS: 221\nclosed", "does not hang up"},
		"goes on":          {greeting, "221 2.0.0 Bye\r\n250 2.0.0 Ok\r\n", "READY\nC: NOOP\nS: 221\nclosed", "goes on"},
		"two for one":      {greeting, "250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n", "READY\nC: NOOP\nS: 250\nsilent 1m", "speaks"},
		"fewer than asked": {greeting, "250 2.0.0 Ok\r\n...", "READY\nC: RSET\nC: NOOP\nS* 3 250", "3 of 3: no reply"},
		"greeting":         {"554 no\r\n", "", "GREET", "wanted 220"},
		"keyword":          {greeting, "", "READY\nkeyword DSN", "not announced"},
		"keyword's value":  {greeting, "", "READY\nkeyword SIZE /^2000$/", "does not match"},
		"missing":          {greeting, "", "READY\nmissing SIZE", "is announced"},
		"another reply":    {greeting, "550 5.0.0 No\r\n", "READY\nC: NOOP\nS: 250\nS| 4xx\nS| 5xx\nC: RSET\nS: 559", ""},
		"no other reply":   {greeting, "350 No\r\n", "READY\nC: NOOP\nS: 250\nS| 4xx\nS| 5xx", "wanted 250, got"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := fake(t, c.greeting, map[string]string{"EHLO": ehlo, "NOOP": c.reply})
			list, err := Parse("x", sound+c.steps)
			if err != nil {
				t.Fatal(err)
			}
			r := target.runCase(t.Context(), list[0], "mx", nil)
			if c.why == "" && r.Outcome != Pass || c.why != "" && (r.Outcome != Fail || !strings.Contains(r.Why, c.why)) {
				t.Errorf("%s, wanted %q", r.String(), c.why)
			}
		})
	}
}

// Notes excuse differences of the server they name, and are stale without one.
func TestNotes(t *testing.T) {
	target := fake(t, "220 mx.test\r\n", map[string]string{"NOOP": "500 5.0.0 No\r\n", "EHLO": "250-mx.test\r\n250 DSN x y\r\n"})
	for text, want := range map[string]Outcome{
		sound + "postfix: why\nREADY\nC: NOOP\nS: 250":                           Known,
		sound + "postfix: why\nREADY\nC: RSET\nS: 250":                           Stale,
		sound + "dovecot: why\nREADY\nC: NOOP\nS: 250":                           Fail,
		sound + "requires: DSN=y\nREADY\nC: RSET\nS: 250":                        Pass,
		sound + "requires: DSN=z\nREADY\nC: RSET\nS: 250":                        Skip,
		sound + "requires: !DSN\nREADY\nC: RSET\nS: 250":                         Skip,
		sound + "requires: !SIZE\nREADY\nC: RSET\nS: 250":                        Pass,
		"== name\nrfc: 1\non: lmtp mx\npostfix: why\nREADY\nC: NOOP\nS: 250 /x/": Known,
	} {
		target.Known = "postfix"
		list, err := Parse("x", text)
		if err != nil {
			t.Fatal(err)
		}
		results, err := target.Run(t.Context(), list, 2)
		if err != nil || len(results) != 1 || results[0].Outcome != want {
			t.Errorf("%s: %v %v, want %s", text, results, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sound + "READY\nC: MAIL FROM:<${repeat 3 x}@$domain>\nS: 250 2.x.x|5.1.1 /x/\nS| 5xx\nTLS refused 1.1\n")
	f.Add(sound + "requires: !A B=c\npostfix: x\nR: \\x00\\r\\n${b64 \\0$user}\nsilent 5ms\ndeliver $local 0-1 anywhere\nbody= $$\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := Parse("x", text)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("%v", err)
			}
			return
		}
		for _, c := range list {
			if c.Name == "" || len(c.steps) == 0 || len(c.On) == 0 {
				t.Errorf("%+v", c)
			}
		}
	})
}

// naive takes every line with a dot for the end of a message, whatever the line
// ends are.
func naive(c net.Conn) {
	defer c.Close()
	say := func(s string) { c.Write([]byte(s + "\r\n")) }
	say("220 mx.test ESMTP")
	content := false
	for r := bufio.NewScanner(c); r.Scan(); {
		switch {
		case content && r.Text() != ".":
		case content:
			content = false
			say("250 2.0.0 Ok")
		case r.Text() == "DATA":
			content = true
			say("354 Go on")
		default:
			say("250 2.0.0 Ok")
		}
	}
}

// A server that can be smuggled past is found.
func TestFindsSmuggling(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go naive(c)
		}
	}()
	cases, err := Cases()
	if err != nil {
		t.Fatal(err)
	}
	target := &Target{Addr: map[string]string{"mx": l.Addr().String()}, Local: "bob@x.test", Timeout: time.Minute}
	wants := map[string]Outcome{
		"DATA with <LF>.<LF>": Fail, "DATA with <LF>.<CRLF>": Fail, "DATA with <CRLF>.<LF>": Fail,
		"A server waits for the true end": Fail, "DATA with <CR>.<CR>": Pass,
	}
	for _, c := range cases {
		want, ok := wants[c.Name]
		if c.File != "smuggling" || !ok {
			continue
		}
		delete(wants, c.Name)
		for i := range c.steps {
			if want == Fail && c.steps[i].verb == "silent" {
				c.steps[i].arg = "1m" // it speaks, be it late
			}
		}
		if r := target.runCase(t.Context(), c, "mx", nil); r.Outcome != want {
			t.Errorf("%s: %s, want %s", c.Name, r.String(), want)
		}
	}
	if len(wants) > 0 {
		t.Errorf("there are no such cases: %v", wants)
	}
}
