package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"log/slog"
	"net"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"posthouse/internal/admin"
	"posthouse/internal/config"
	"posthouse/internal/nettest"
)

// doorsUp starts a house with SMTP doors on loopback ports and gives their
// addresses by name. domains, accounts and aliases ("a@x > b@y, c@z") are made;
// every password is "posthouse".
func doorsUp(t *testing.T, extra string, people ...string) map[string]string {
	t.Helper()
	_, addrs := houseUp(t, extra, people...)
	return addrs
}

// houseUp is doorsUp, with the house.
func houseUp(t *testing.T, extra string, people ...string) (*Server, map[string]string) {
	t.Helper()
	cfg, err := config.Parse("test", []byte("hostname = \"mx.example.test\"\ndata = \""+t.TempDir()+"\"\n"+extra), nil)
	if err != nil {
		t.Fatal(err)
	}
	addrs := make(map[string]string)
	listen := &cfg.Listen
	doors := map[string]*[]string{
		"smtp": &listen.SMTP, "submission": &listen.Submission, "submissions": &listen.Submissions, "lmtp": &listen.LMTP, "pop3": &listen.POP3, "imap": &listen.IMAP,
	}
	ports := nettest.FreePorts(t, "127.0.0.1", len(doors))
	for name, list := range doors {
		addrs[name] = net.JoinHostPort("127.0.0.1", ports[len(addrs)])
		*list = []string{addrs[name]}
	}
	s, err := Start(t.Context(), cfg, Options{
		Log:     slog.New(slog.DiscardHandler),
		Furnish: func(ctx context.Context, api admin.API) error { return furnish(ctx, api, people) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s, addrs
}

func furnish(ctx context.Context, api admin.API, people []string) error {
	if _, err := api.AddDomain(ctx, "example.test"); err != nil {
		return err
	}
	for _, p := range people {
		address, targets, alias := strings.Cut(p, " > ")
		if alias {
			if _, err := api.SetAlias(ctx, admin.Alias{Address: address, Targets: strings.Split(targets, ", ")}); err != nil {
				return err
			}
		} else if _, err := api.AddAccount(ctx, address, "posthouse"); err != nil {
			return err
		}
	}
	return nil
}

// peer is a scripted client.
type peer struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// connect makes a connection that lasts for the test, or two minutes.
func connect(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	return conn
}

// dial connects, in TLS from the start when implicit, and takes the greeting.
func dial(t *testing.T, addr string, implicit bool) *peer {
	t.Helper()
	conn := connect(t, addr)
	p := &peer{t: t, conn: conn, in: bufio.NewReader(conn)}
	if implicit {
		p.tls()
	}
	p.want("220 ")
	return p
}

// firstMail is the oldest message in an account's INBOX, over POP3.
func firstMail(t *testing.T, addr, account string) string {
	t.Helper()
	c := textproto.NewConn(connect(t, addr))
	for _, say := range []string{"", "USER " + account, "PASS posthouse", "RETR 1"} {
		if say != "" {
			if err := c.PrintfLine("%s", say); err != nil {
				t.Fatal(err)
			}
		}
		if line, err := c.ReadLine(); err != nil || !strings.HasPrefix(line, "+OK") {
			t.Fatalf("%s: %q, %v", say, line, err)
		}
	}
	text, err := c.ReadDotBytes()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (p *peer) tls() {
	p.t.Helper()
	c := tls.Client(p.conn, &tls.Config{InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		p.t.Fatal(err)
	}
	p.conn, p.in = c, bufio.NewReader(c)
}

// want checks how the next reply begins.
func (p *peer) want(prefix string) string {
	p.t.Helper()
	var all strings.Builder
	for {
		line, err := p.in.ReadString('\n')
		if err != nil {
			p.t.Fatalf("after %q: %v", all.String(), err)
		}
		all.WriteString(line)
		if len(line) < 4 || line[3] != '-' {
			break
		}
	}
	if !strings.HasPrefix(all.String(), prefix) {
		p.t.Fatalf("reply %q, want %q", all.String(), prefix)
	}
	return all.String()
}

// do sends a command and checks how the reply begins.
func (p *peer) do(command, prefix string) string {
	p.t.Helper()
	if _, err := io.WriteString(p.conn, command+"\r\n"); err != nil {
		p.t.Fatal(err)
	}
	return p.want(prefix)
}

func (p *peer) login(account string) {
	p.t.Helper()
	p.do("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+account+"\x00posthouse")), "235")
}
