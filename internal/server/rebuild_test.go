package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"posthouse/internal/admin"
	"posthouse/internal/config"
	"posthouse/internal/directory"
)

// filled makes a stopped house in which bob has three messages and alice has two;
// carol was removed with hers.
func filled(t *testing.T) *config.Config {
	t.Helper()
	cfg := configIn(t, t.TempDir())
	socket := filepath.Join(t.TempDir(), "lmtp")
	cfg.Listen.LMTP = []string{"unix:" + socket}
	s, err := Start(t.Context(), cfg, Options{
		Log: slog.New(slog.DiscardHandler),
		Furnish: func(ctx context.Context, api admin.API) error {
			return furnish(ctx, api, []string{"alice@example.test", "bob@example.test", "carol@example.test", "all@example.test > alice@example.test, bob@example.test"})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p := &peer{t: t, conn: conn, in: bufio.NewReader(conn)}
	p.want("220 ")
	p.do("LHLO x.example", "250")
	for n, to := range []string{"all", "all", "bob", "carol"} {
		p.do("MAIL FROM:<x@y.example>", "250")
		p.do("RCPT TO:<"+to+"@example.test>", "250")
		p.do("DATA", "354")
		p.do(fmt.Sprintf("Message-ID: <%d@y.example>\r\n\r\nbody of %d\r\n.", n, n), "250")
	}
	p.do("QUIT", "221")
	if err := errors.Join(s.ground.house(s.queue, nil, nil).RemoveAccount(t.Context(), "carol@example.test"), s.Stop()); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func configIn(t *testing.T, data string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test", []byte("hostname = \"mx.example.test\"\ndata = \""+data+"\"\n[listen]\nsmtp = []\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// spoil flips a bit in every copy of the directory's objects whose name begins so.
func spoil(t *testing.T, data, name string) {
	t.Helper()
	// The meta follows the body, which is JSON.
	meta := regexp.MustCompile(`\{"v":1,"kind":"directory","date":"[^"]*","object":"` + name)
	harmed(t, data, "bodies/*.seg", func(b []byte) bool {
		found := meta.FindAllIndex(b, -1)
		for _, at := range found {
			b[at[0]-2] ^= 1
		}
		return len(found) > 0
	})
}

// Damage to the records of the directory never costs mail, with the old index or
// without it, and is never passed over in silence.
func TestRebuildFromDamagedRecords(t *testing.T) {
	source := filled(t).Data
	const bobs, domains, all = "account/2", "domain/", ""
	for _, c := range []struct {
		name   string
		spoilt []string
		body   string   // text in messages where a bit is flipped
		index  bool     // whether the old one is there
		bob    string   // where bob's mail is afterwards
		login  bool     // whether bob's password is known
		doubts []string // what lines must tell
	}{
		{name: "Whole", bob: "bob@example.test", login: true},
		{name: "AccountInIndex", spoilt: []string{bobs}, index: true, bob: "bob@example.test", login: true, doubts: []string{"account/2"}},
		{name: "DomainInIndex", spoilt: []string{domains}, index: true, bob: "bob@example.test", login: true, doubts: []string{"domain/example.test"}},
		{name: "AllInIndex", spoilt: []string{all}, index: true, bob: "bob@example.test", login: true, doubts: []string{"ledger"}},
		{name: "Account", spoilt: []string{bobs}, bob: "bob@example.test", doubts: []string{"account/2: its record is lost: made again as bob@example.test, without a password, with 3 messages"}},
		{name: "Domain", spoilt: []string{domains}, bob: "bob@example.test", login: true, doubts: []string{"domain/example.test: lost, and made again"}},
		{name: "Message", body: "body of 1", bob: "bob@example.test", login: true, doubts: []string{"(message for account/"}},
		{name: "All", spoilt: []string{all}, bob: "bob@example.test", doubts: []string{"account/1", "account/2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := configIn(t, filepath.Join(t.TempDir(), "data"))
			if err := os.CopyFS(cfg.Data, os.DirFS(source)); err != nil {
				t.Fatal(err)
			}
			for _, text := range c.spoilt {
				spoil(t, cfg.Data, text)
			}
			if c.body != "" {
				harmed(t, cfg.Data, "bodies/*.seg", func(b []byte) bool {
					at := bytes.Index(b, []byte(c.body))
					if at >= 0 {
						b[at] ^= 1
					}
					return at >= 0
				})
			}
			if !c.index {
				if err := os.RemoveAll(filepath.Join(cfg.Data, indexDir)); err != nil {
					t.Fatal(err)
				}
			}
			for round := range 2 {
				made, lines := rebuilt(t, cfg)
				if made.Messages != 5 || made.Accounts != 2 || (made.Doubts > 0) != (len(c.doubts) > 0) {
					t.Errorf("round %d: %+v\n%s", round, made, lines)
				}
				for _, want := range c.doubts {
					if (round == 0 || c.body != "") && !strings.Contains(lines, want) {
						t.Errorf("no word of %s:\n%s", want, lines)
					}
				}
				holds(t, cfg, map[string]int64{"alice@example.test": 2, c.bob: 3}, c.login, c.body)
			}
		})
	}
}

func rebuilt(t *testing.T, cfg *config.Config) (Rebuilt, string) {
	t.Helper()
	var lines strings.Builder
	made, err := Rebuild(t.Context(), cfg, slog.New(slog.DiscardHandler), func(line string) { fmt.Fprintln(&lines, line) })
	if err != nil {
		t.Fatalf("%v\n%s", err, &lines)
	}
	return made, lines.String()
}

// holds checks how many messages each account has, whether bob can log in, and that
// nothing is wrong but the message with the text spoilt, if any.
func holds(t *testing.T, cfg *config.Config, want map[string]int64, login bool, spoilt string) {
	t.Helper()
	o, err := OpenOffline(t.Context(), cfg, slog.New(slog.DiscardHandler), OfflineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	accounts, err := o.ground.directory.Accounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range accounts {
		u, err := o.ground.mailboxes.Usage(t.Context(), a.ID)
		if n, known := want[a.Address.String()]; err != nil || !known || u.Messages != n {
			t.Errorf("%s has %d messages, %v", a.Address, u.Messages, err)
		}
	}
	if len(accounts) != len(want) {
		t.Errorf("%d accounts", len(accounts))
	}
	_, err = o.ground.directory.Authenticate(t.Context(), directory.Attempt{Login: "bob@example.test"}, "posthouse")
	if login != (err == nil) {
		t.Errorf("bob's login: %v", err)
	}
	var problems []string
	if _, err := o.Verify(t.Context(), func(p string) { problems = append(problems, p) }); err != nil || len(problems) > 1 || (len(problems) > 0) != (spoilt != "") {
		t.Errorf("verify: %v %q", err, problems)
	}
}
