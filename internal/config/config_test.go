package config

import (
	"bytes"
	"encoding"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// example is the file of the project's contract.
const example = `hostname = "mx.example.org"       # the name in the greeting and in HELO
data     = "/var/lib/posthouse"   # everything the house keeps

[listen]                          # address lists; empty or absent = not offered
smtp        = ["0.0.0.0:25"]      # MX
submission  = ["0.0.0.0:587"]     # STARTTLS
submissions = ["0.0.0.0:465"]     # implicit TLS
lmtp        = []                  # also "unix:/run/posthouse/lmtp.sock"
imap        = ["0.0.0.0:143"]
imaps       = ["0.0.0.0:993"]
pop3        = ["0.0.0.0:110"]
pop3s       = ["0.0.0.0:995"]
http        = ["127.0.0.1:8080"]  # admin API, metrics at /metrics, health at /healthz and /readyz
https       = []

[tls]
mode = "acme"                     # "acme" | "files" | "self-signed"
cert = ""                         # for "files": reloaded when they change
key  = ""

[auth]
allow_plaintext = false           # true: AUTH and LOGIN without TLS, accepted only from loopback clients

[limits]                          # all have defaults; sizes as "25M"
message_size = "50M"
recipients   = 1000
trusted      = []

[dns]
servers = []                      # default: the system's resolvers; "127.0.0.1:5353" in tests

[outbound]
port    = 25                      # port of remote MX hosts; other values serve tests
[[outbound.route]]                # first match wins; no match = MX lookup
match = "*.example.net"           # a domain, "*.domain", or "*"
via   = "smtp://127.0.0.1:2600"   # smtp: or smtps:, optional user:password@

[log]
level  = "info"
format = "text"                   # "text" | "json"
`

func TestContractExample(t *testing.T) {
	c, err := Parse("posthouse.toml", []byte(example), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Hostname = "mx.example.org"
	want.Listen = Listen{
		SMTP: []string{"0.0.0.0:25"}, Submission: []string{"0.0.0.0:587"}, Submissions: []string{"0.0.0.0:465"},
		LMTP: []string{}, IMAP: []string{"0.0.0.0:143"}, IMAPS: []string{"0.0.0.0:993"},
		POP3: []string{"0.0.0.0:110"}, POP3S: []string{"0.0.0.0:995"}, HTTP: []string{"127.0.0.1:8080"}, HTTPS: []string{},
	}
	want.TLS.Mode = ModeACME
	want.Limits.Trusted = []Network{}
	want.DNS.Servers = []string{}
	want.Outbound.Route = []Route{{Match: "*.example.net", Via: Relay{Host: "127.0.0.1", Port: 2600}}}
	if c.at = nil; !reflect.DeepEqual(c, want) {
		t.Errorf("have %+v\nwant %+v", c, want)
	}
}

// TestEveryKeyIsDocumented reads the struct's source: a key without a comment
// would be a key that nobody can know.
func TestEveryKeyIsDocumented(t *testing.T) {
	src, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]bool{"listen": true, "tls": true, "auth": true, "smtp": true, "greylist": true, "limits": true, "dns": true,
		"outbound": true, "store": true, "log": true}
	keys := 0
	ast.Inspect(src, func(n ast.Node) bool {
		f, ok := n.(*ast.Field)
		if !ok || f.Tag == nil {
			return true
		}
		keys++
		tag, _ := strconv.Unquote(f.Tag.Value)
		key := reflect.StructTag(tag).Get("toml")
		if !sections[key] && !strings.HasPrefix(f.Doc.Text(), f.Names[0].Name+" ") {
			t.Errorf("%s: no comment that begins with the name of the field", key)
		}
		return true
	})
	if keys < 40 {
		t.Errorf("only %d keys found in the source", keys)
	}
}

func TestErrorsNameTheirPlace(t *testing.T) {
	for _, tt := range []struct{ doc, want string }{
		{"\n[limits]\n  message_sise = \"1M\"", `posthouse.toml:3:3: limits.message_sise: unknown key`},
		{"[limit]\nrecipients = 5", `posthouse.toml:1:2: limit: unknown key`},
		{"[limits]\nrecipients = \"many\"", `posthouse.toml:2:14: limits.recipients: want a number`},
		{"[limits]\nrecipients = 5", `posthouse.toml:2:14: limits.recipients: 5 is not between 100 and 100000`},
		{"[limits]\nmessage_size = \"50 megs\"", `posthouse.toml:2:16: limits.message_size: "50 megs" is not a size such as "25M"`},
		{"[smtp]\nno_soliciting = [\"net.example:ADV\", \"not this\"]", `posthouse.toml:2:1: smtp.no_soliciting: want classes such as "net.example:ADV", 450 characters together`},
		{"[limits]\nmessage_size = \"2G\"", `posthouse.toml:2:16: limits.message_size: 2G is not between 1K and 1G`},
		{"limits.trusted = [\"127.0.0.0/8\",\n \"lan\"]", `posthouse.toml:2:2: limits.trusted[1]: "lan" is not a network such as "10.0.0.0/8"`},
		{"[listen]\nsmtp = \"0.0.0.0:25\"", `posthouse.toml:2:8: listen.smtp: want a list of strings`},
		{"[listen]\nsmtp = [\"0.0.0.0:25\", \"nowhere\"]", `posthouse.toml:2:23: listen.smtp[1]: "nowhere" is not an address such as "0.0.0.0:25"`},
		{"[listen]\nsmtp = [\":25\"]\nimap = [\":25\"]", `posthouse.toml:3:9: listen.imap[0]: ":25" is taken by listen.smtp`},
		{"[tls]\nmode = \"file\"", `posthouse.toml:2:8: tls.mode: "file" is none of self-signed, files, acme`},
		{"[tls]\nmode = \"files\"\ncert = \"c.pem\"", `posthouse.toml: tls.key: mode "files" needs the file of a key`},
		{"[auth.oidc]\nissuer = \"http://issuer.example\"\naudience = \"mail\"", `posthouse.toml:2:10: auth.oidc.issuer: "http://issuer.example" is not an https URL`},
		{"[auth.oidc]\nissuer = \"https://issuer.example/?x\"\naudience = \"mail\"", `posthouse.toml:2:10: auth.oidc.issuer: "https://issuer.example/?x" is not an https URL`},
		{"[auth.oidc]\nissuer = \"https://issuer.example\"", `posthouse.toml: auth.oidc.audience: an issuer needs an audience: tokens for others must not log in here`},
		{"[auth.oidc]\naudience = \"mail\"", `posthouse.toml:2:12: auth.oidc.audience: there is no issuer`},
		{"[auth]\nannounce_plus = [\"smtp\", \"lmtp\"]", `posthouse.toml:2:26: auth.announce_plus[1]: "lmtp" is none of smtp, imap, pop3`},
		{"[smtp]\nbare_newlines = \"reject\"", `posthouse.toml:2:17: smtp.bare_newlines: "reject" is none of refuse, normalise, accept`},
		{"[smtp]\ngreet_delay = \"1m\"", `posthouse.toml:2:15: smtp.greet_delay: 1m is not between 0s and 30s`},
		{"[greylist]\ndomains = [\"a.test\", \"b test\"]", `posthouse.toml:2:22: greylist.domains[1]: "b test" is not a domain, "*.domain" or "*"`},
		{"[greylist]\ndelay = \"1h\"\nwindow = \"1h\"", `posthouse.toml:3:10: greylist.window: 1h is not more than greylist.delay, 1h`},
		{"[outbound]\nretry = 5", `posthouse.toml:2:9: outbound.retry: want a length of time such as "5m" or "5d"`},
		{"[outbound]\ngive_up = \"1m\"", `posthouse.toml:2:11: outbound.give_up: 1m is not more than outbound.retry, 5m`},
		{"[[outbound.route]]\nmatch = \"a.test\"\nvia = \"smtp://h\"\n[[outbound.route]]\nmatch = \"b test\"\nvia = \"smtp://h\"",
			`posthouse.toml:5:9: outbound.route[1].match: "b test" is not a domain, "*.domain" or "*"`},
		{"[[outbound.route]]\nmatch = \"*\"\nvia = \"http://h\"", `posthouse.toml:3:7: outbound.route[0].via: scheme "http", want smtp or smtps`},
		{"[[outbound.tls]]\nmatch = \"a.test\"\npolicy = \"strict\"",
			`posthouse.toml:3:10: outbound.tls[0].policy: "strict" is none of auto, none, may, encrypt, verify, secure, dane, dane-only`},
		{"[[outbound.tls]]\nmatch = \"a.test\"\npolicy = \"dane-only\"",
			`posthouse.toml:3:10: outbound.tls[0].policy: DANE needs a resolver that checks DNSSEC: set dns.validating`},
		{"[[outbound.tls]]\nmatch = \"a test\"\npolicy = \"may\"", `posthouse.toml:2:9: outbound.tls[0].match: "a test" is not a domain, "*.domain" or "*"`},
		{"[outbound.tls_reports]\nenabled = true", `posthouse.toml: outbound.tls_reports.contact: "" is not a mail address`},
		{"[[outbound.route]]\nmatch = \"*\"", `posthouse.toml:1:3: outbound.route[0].via: want a URL such as "smtp://host:25"`},
		{"dns = {servers = [\"one\"]}", `posthouse.toml:1:19: dns.servers[0]: "one" is not "address" or "address:port"`},
		{"hostname = \"a b\"", `posthouse.toml:1:12: hostname: "a b" is not a host name`},
		{"hostname = \"192.0.2.1\"", `posthouse.toml:1:12: hostname: "192.0.2.1" is not a host name`},
	} {
		_, err := Parse("posthouse.toml", []byte(tt.doc), nil)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s\nhave %v\nwant %s", tt.doc, err, tt.want)
		}
	}
}

func TestErrorsFoundLater(t *testing.T) {
	c, err := Parse("f", []byte("[listen]\nsmtp = [\":25\",\n \":26\"]"), []string{"POSTHOUSE_LISTEN_IMAP=:143"})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"listen.smtp[1]": "f:3:2: listen.smtp[1]: in use",
		"listen.imap[0]": "POSTHOUSE_LISTEN_IMAP: listen.imap[0]: in use",
		"data":           "configuration: data: in use",
	} {
		if err := c.Errorf(key, "in use"); err.Error() != want {
			t.Errorf("have %v, want %s", err, want)
		}
	}
}

func TestSyntaxErrorsNameTheirPlace(t *testing.T) {
	for _, doc := range []string{"hostname = \n", "[listen\n", "hostname = \"a\"\nhostname = \"b\"\n", "\x00"} {
		_, err := Parse("f", []byte(doc), nil)
		if err == nil || !strings.HasPrefix(err.Error(), "f:") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", doc, err)
		}
	}
}

func TestPasswordsStayOutOfErrors(t *testing.T) {
	doc := "[[outbound.route]]\nmatch = \"*\"\nvia = \"smtp://me:secret@h/path\""
	if _, err := Parse("f", []byte(doc), nil); err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
	r := Relay{TLS: true, Host: "h", Port: 465, User: "me", Password: "secret"}
	if strings.Contains(r.String(), "secret") {
		t.Error(r.String())
	}
}

func TestEnvironmentOverridesEveryKey(t *testing.T) {
	c, err := Parse("f", []byte("[listen]\nsmtp=[\"127.0.0.1:1\"]\n"), []string{
		"HOME=/root",
		"POSTHOUSE_HOSTNAME=env.example",
		"POSTHOUSE_LISTEN_SMTP=127.0.0.1:2525, [::1]:2525",
		"POSTHOUSE_LIMITS_TRUSTED=127.0.0.0/8,::1",
		"POSTHOUSE_LIMITS_RECIPIENTS=200",
		"POSTHOUSE_LIMITS_MESSAGE_SIZE=1M",
		"POSTHOUSE_AUTH_ALLOW_PLAINTEXT=true",
		"POSTHOUSE_OUTBOUND_GIVE_UP=2d",
		"POSTHOUSE_OUTBOUND_ROUTE=*.a.test=smtp://127.0.0.1:26,*=smtps://u:p@relay.test",
		"POSTHOUSE_OUTBOUND_TLS=*.a.test=encrypt, b.test = secure",
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Hostname != "env.example" || !reflect.DeepEqual(c.Listen.SMTP, []string{"127.0.0.1:2525", "[::1]:2525"}) ||
		len(c.Limits.Trusted) != 2 || c.Limits.Recipients != 200 || c.Limits.MessageSize != 1<<20 ||
		!c.Auth.AllowPlaintext || c.Outbound.GiveUp.Duration != 48*time.Hour {
		t.Errorf("%+v", c)
	}
	want := []Route{
		{"*.a.test", Relay{Host: "127.0.0.1", Port: 26}},
		{"*", Relay{TLS: true, Host: "relay.test", Port: 465, User: "u", Password: "p"}},
	}
	if !reflect.DeepEqual(c.Outbound.Route, want) {
		t.Errorf("routes %+v", c.Outbound.Route)
	}
	if !reflect.DeepEqual(c.Outbound.TLS, []TLSRule{{"*.a.test", "encrypt"}, {"b.test", "secure"}}) {
		t.Errorf("rules %+v", c.Outbound.TLS)
	}
	names := make(map[string]bool)
	for _, f := range fields(Default()) {
		if names[f.env()] {
			t.Errorf("%s stands for two keys", f.env())
		}
		names[f.env()] = true
	}
}

// Variables that share our prefix by chance keep nothing from starting.
func TestEnvironmentOfOthers(t *testing.T) {
	env := []string{
		"POSTHOUSE_BIN=/usr/bin/posthouse", "POSTHOUSE=1", "POSTHOUSE_SERVICE_HOST=10.0.0.1", "POSTHOUSE_PORT=tcp://10.0.0.1:25",
		"POSTHOUSE_SMTP_SERVICE_PORT=25", "POSTHOUSE_SMTP_PORT=tcp://10.0.0.1:25", "POSTHOUSE_SMTP_PORT_25_TCP_ADDR=10.0.0.1",
		"POSTHOUSE_LOG_LEVEL=warn",
	}
	c, err := Parse("f", nil, env)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Passed()) != 6 || c.Log.Level != "warn" {
		t.Errorf("passed over: %q", c.Passed())
	}
}

func TestEnvironmentErrors(t *testing.T) {
	for _, tt := range []struct{ env, want string }{
		{"POSTHOUSE_LISTEN_SMPT=:25", "environment: POSTHOUSE_LISTEN_SMPT: no key of the configuration has this name"},
		{"POSTHOUSE_LIMITS_RECIPIENTS=x", "POSTHOUSE_LIMITS_RECIPIENTS: limits.recipients: want a number"},
		{"POSTHOUSE_LISTEN_SMTP=25", `POSTHOUSE_LISTEN_SMTP: listen.smtp[0]: "25" is not an address such as "0.0.0.0:25"`},
		{"POSTHOUSE_LOG_LEVEL=loud", `POSTHOUSE_LOG_LEVEL: log.level: "loud" is none of debug, info, warn, error`},
	} {
		_, err := Parse("f", []byte("[listen]\nsmtp=[\":25\"]"), []string{tt.env})
		if err == nil || err.Error() != tt.want {
			t.Errorf("have %v\nwant %s", err, tt.want)
		}
	}
}

func TestNothingIsNeeded(t *testing.T) {
	c, err := Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Hostname == "" || c.Limits.MessageSize.Bytes() != 50<<20 {
		t.Errorf("%+v", c)
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.toml"), nil); !os.IsNotExist(err) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestWhatIsWrittenCanBeRead(t *testing.T) {
	c := Default()
	c.Hostname, c.Data, c.User = "mx.example.org", `/srv/"odd" dir\x`, "posthouse"
	c.Listen.SMTP, c.Listen.IMAPS = []string{"0.0.0.0:25", "[::]:25"}, []string{"0.0.0.0:993"}
	c.TLS.Mode, c.TLS.ACMEEmail = ModeACME, "you@example.org"
	var b bytes.Buffer
	if err := Write(&b, c); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "posthouse.toml")
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	back, err := Load(name, nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, &b)
	}
	if back.at = nil; !reflect.DeepEqual(back, c) {
		t.Errorf("have %+v\nwant %+v", back, c)
	}
}

func TestSizesAndDurations(t *testing.T) {
	for s, want := range map[string]Size{"0": 0, "25M": 25 << 20, "5g": 5 << 30, "10KB": 10 << 10, "1T": 1 << 40, "77": 77} {
		if n, err := ParseSize(s); err != nil || n != want {
			t.Errorf("size %q: %d, %v", s, n, err)
		}
	}
	for _, s := range []string{"", "M", "-1", "1.5M", "9999999T", "1 M x", "1MM", "+3"} {
		if n, err := ParseSize(s); err == nil {
			t.Errorf("size %q is %d", s, n)
		}
	}
	for s, want := range map[string]time.Duration{"0s": 0, "5m": 5 * time.Minute, "1h30m": 90 * time.Minute, "5d": 120 * time.Hour, "2w": 336 * time.Hour, "10ms": 10 * time.Millisecond} {
		if d, err := ParseDuration(s); err != nil || d.Duration != want {
			t.Errorf("duration %q: %v, %v", s, d, err)
		}
	}
	for _, s := range []string{"", "5", "m", "-5m", "1.5h", "99999999999d", "5 m", "5mm"} {
		if d, err := ParseDuration(s); err == nil {
			t.Errorf("duration %q is %v", s, d)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(example), "POSTHOUSE_LISTEN_SMTP=:25")
	f.Add([]byte("[[outbound.route]]\nmatch=\"*\"\nvia=\"smtp://a:b@c:1\"\n"), "POSTHOUSE_OUTBOUND_ROUTE=*=smtp://h")
	f.Add([]byte("limits = {trusted = [\"::1\", \"10.0.0.0/8\"], message_size = 12345}"), "POSTHOUSE_LIMITS_ERRORS=7")
	f.Add([]byte("listen.smtp = [\n \"unix:/x\",\n 5]"), "POSTHOUSE_X=")
	f.Fuzz(func(t *testing.T, doc []byte, env string) {
		c, err := Parse("f", doc, []string{env})
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("error of several lines: %q", err)
			}
			return
		}
		var b bytes.Buffer
		if err := Write(&b, c); err != nil {
			t.Fatal(err)
		}
		if _, err := Parse("written", b.Bytes(), nil); err != nil {
			t.Errorf("what was read cannot be written: %v\n%s", err, &b)
		}
	})
}

// Relative paths in a file are seen from the file, wherever a command is run.
func TestRelativePaths(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "posthouse.toml")
	doc := "data = \"house\"\n[tls]\nmode = \"files\"\ncert = \"../c.pem\"\nkey = \"/etc/k.pem\"\n"
	if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, []string{"POSTHOUSE_OUTBOUND_RULES=rules.toml"})
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.Data, c.TLS.Cert, c.TLS.Key, c.Auth.ClientCA, c.Outbound.Rules}
	want := []string{filepath.Join(dir, "house"), filepath.Join(filepath.Dir(dir), "c.pem"), "/etc/k.pem", "", filepath.Join(here, "rules.toml")}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// docs/configuration.md has a row for every key, with its default, and no other.
func TestDocumentedForPeople(t *testing.T) {
	rows := documented(t)
	take := func(key string) string {
		text, ok := rows[key]
		if !ok {
			t.Errorf("%s is not documented", key)
		}
		delete(rows, key)
		return text
	}
	for _, f := range fields(Default()) {
		if e := f.value.Type(); e.Kind() == reflect.Slice && e != reflect.TypeFor[[]Network]() && e.Elem().Kind() == reflect.Struct {
			for _, of := range appendFields(nil, f.key+".", reflect.New(e.Elem()).Elem()) {
				take(of.key)
			}
		}
		_, want, told := strings.Cut(take(f.key), "Default: ")
		have := ""
		if size, ok := f.value.Interface().(Size); ok && size < 0 {
			continue // decided at the start, and told in words
		}
		if m, ok := f.value.Interface().(encoding.TextMarshaler); ok {
			text, err := m.MarshalText()
			if err != nil {
				t.Fatal(err)
			}
			have = strconv.Quote(string(text))
		} else if f.value.Kind() == reflect.Int {
			have = strconv.FormatInt(f.value.Int(), 10)
		}
		if have == `"-1"` { // reckoned from what the machine has, in words
			have = ""
		}
		if told && have != "" && !strings.HasPrefix(want, have+".") {
			t.Errorf("%s: the default is %s, documented as %s", f.key, have, want)
		}
	}
	for key := range rows {
		t.Errorf("%s is documented and no key", key)
	}
}

// documented are the rows of docs/configuration.md by key.
func documented(t *testing.T) map[string]string {
	t.Helper()
	doc, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]string)
	section := ""
	for line := range strings.Lines(string(doc)) {
		if head, ok := strings.CutPrefix(line, "## "); ok {
			section = strings.TrimPrefix(strings.Trim(strings.TrimSpace(head), "[]")+".", "At the top.")
		}
		if row, ok := strings.CutPrefix(line, "| `"); ok {
			key, text, _ := strings.Cut(row, "` | ")
			rows[section+key] = text
		}
	}
	return rows
}

// Changed defaults stand where the file is silent; of listeners it says all or nothing.
func TestLoadOver(t *testing.T) {
	defaults := []byte("hostname = \"localhost\"\n[listen]\nsmtp = [\"127.0.0.1:2525\"]\nimap = [\"127.0.0.1:2143\"]\n[log]\nlevel = \"warn\"\n")
	for doc, want := range map[string]string{
		"":                                     "localhost 127.0.0.1:2525 127.0.0.1:2143 warn text",
		"[log]\nformat = \"json\"\n":           "localhost 127.0.0.1:2525 127.0.0.1:2143 warn json",
		"[listen]\nimap = [\"127.0.0.1:1\"]\n": "localhost  127.0.0.1:1 warn text",
		"hostname = \"a.test\"\n[listen]\n":    "a.test 127.0.0.1:2525 127.0.0.1:2143 warn text",
		// A mark that some editors begin a file with; a name for people.
		"\ufeffhostname = \"mx.ex\u00e4mple.test\"\n": "mx.xn--exmple-cua.test 127.0.0.1:2525 127.0.0.1:2143 warn text",
	} {
		path := filepath.Join(t.TempDir(), "posthouse.toml")
		if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := LoadOver(defaults, path, nil)
		if err != nil {
			t.Fatal(err)
		}
		have := strings.Join([]string{c.Hostname, strings.Join(c.Listen.SMTP, ","), strings.Join(c.Listen.IMAP, ","), c.Log.Level, c.Log.Format}, " ")
		if have != want {
			t.Errorf("%q gives %q, want %q", doc, have, want)
		}
	}
}
