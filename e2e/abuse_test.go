package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// strangersHouse is a house that does not trust its own machine; limits are keys
// of that section, extra is as for NewHouse.
func strangersHouse(t *testing.T, limits, extra string, accounts ...string) *House {
	t.Helper()
	h := NewHouse(t, "127.0.0.1", "mx.a.test", "---\n"+extra, accounts...)
	doc, err := os.ReadFile(h.Config)
	if err != nil {
		t.Fatal(err)
	}
	doc = []byte(strings.Replace(string(doc), `trusted = ["127.0.0.0/8"]`, "trusted = []\n"+limits, 1))
	if err := os.WriteFile(h.Config, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	h.Start()
	return h
}

// awaitMetric waits for a line of /metrics.
func (h *House) awaitMetric(line string) {
	h.t.Helper()
	awaitTrue(h.t, "the metric "+line, func() bool {
		r, err := http.Get("http://" + h.Addr["http"] + "/metrics")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		all, err := io.ReadAll(r.Body)
		return err == nil && strings.Contains(string(all), "\n"+line+"\n")
	})
}

// wants gives commands and checks how the replies begin.
func wants(t *testing.T, c *SMTP, steps ...[2]string) {
	t.Helper()
	for _, s := range steps {
		if err := c.text.PrintfLine("%s", s[0]); err != nil {
			t.Fatal(err)
		}
		code, text, _ := c.text.ReadResponse(0)
		if got := fmt.Sprintf("%d %s", code, text); !strings.HasPrefix(got, s[1]) {
			t.Fatalf("%s: %q, want %q", s[0], got, s[1])
		}
	}
}

func dialed(t testing.TB, addr, login string) *SMTP {
	t.Helper()
	c, err := DialSMTP(addr, login)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestGreylisting(t *testing.T) {
	h := strangersHouse(t, "", "[greylist]\ndomains = [\"a.test\"]\ndelay = \"1s\"\nlearn = 1\n", "alice@a.test", "bob@b.test", "postmaster@a.test")
	const me, alice = "MAIL FROM:<x@far.test>", "RCPT TO:<alice@a.test>"
	c := dialed(t, h.Addr["smtp"], "")
	wants(t, c, [2]string{me, "250"}, [2]string{alice, "451 4.7.1 Greylisted: come again in 1 seconds"},
		[2]string{"RCPT TO:<nobody@a.test>", "550 5.1.1"}, [2]string{"RCPT TO:<bob@b.test>", "250"}, [2]string{"RCPT TO:<postmaster@a.test>", "250"},
		[2]string{"RSET", "250"},
		// A server that asks whether a sender of its users exists gets its answer.
		[2]string{"MAIL FROM:<>", "250"}, [2]string{alice, "250"}, [2]string{"DATA", "451 4.7.1 Greylisted"}, [2]string{"RSET", "250"})
	// People of the house and its other servers do not wait.
	own := dialed(t, h.Addr["submission"], "bob@b.test")
	wants(t, own, [2]string{"MAIL FROM:<bob@b.test>", "250"}, [2]string{alice, "250"})
	lmtp, err := dialText(h.Addr["lmtp"])
	if err != nil {
		t.Fatal(err)
	}
	defer lmtp.Close()
	wants(t, lmtp, [2]string{"LHLO x", "250"}, [2]string{me, "250"}, [2]string{alice, "250"})
	// A restart forgets nothing.
	h.Stop()
	h.Start()
	awaitTrue(t, "the second attempt to pass", func() bool {
		c = dialed(t, h.Addr["smtp"], "")
		wants(t, c, [2]string{me, "250"})
		_, err := c.Cmd(250, alice)
		return err == nil
	})
	// The network is known now.
	wants(t, c, [2]string{"RSET", "250"}, [2]string{"MAIL FROM:<new@far.test>", "250"}, [2]string{alice, "250"})
	h.awaitMetric(`posthouse_greylist_total{result="known"} 1`)
	h.awaitMetric(`posthouse_greylist_total{result="passed"} 1`)
}

// What is refused is counted by its reason.
func TestAbuseIsCounted(t *testing.T) {
	h := strangersHouse(t, "", "", "alice@a.test")
	if err := sendData(h.Addr["smtp"], "EHLO", "alice@a.test", []byte("Subject: x\r\n\r\na\n.\nb\r\n")); err == nil || !strings.Contains(err.Error(), "5.6.11") {
		t.Errorf("bare LF: %v", err)
	}
	h.awaitMetric(`posthouse_messages_refused_total{code="5.6.11",door="smtp"} 1`)
	// Where the greeting is late, this test is sure to speak before it.
	h = strangersHouse(t, "connection_rate_per_address = 1", "[smtp]\ngreet_delay = \"30s\"\n")
	early, err := net.Dial("tcp", h.Addr["smtp"])
	if err != nil {
		t.Fatal(err)
	}
	early.SetDeadline(time.Now().Add(clientTimeout))
	if _, err := io.WriteString(early, "EHLO x\r\nMAIL FROM:<x@far.test>\r\n"); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(early)
	if early.Close(); err != nil || !strings.HasPrefix(string(said), "554 5.5.1 ") {
		t.Errorf("an early talker hears %q, %v", said, err)
	}
	if _, err := dialText(h.Addr["smtp"]); err == nil || !strings.Contains(err.Error(), "connects too often") {
		t.Errorf("a second connection: %v", err)
	}
	h.awaitMetric(`posthouse_sessions_refused_total{door="smtp",reason="address_rate"} 1`)
	h.awaitMetric(`posthouse_sessions_ended_total{door="smtp",reason="early_talker"} 1`)
}

// Strangers at the mailboxes' doors are bound per address; people who log in are
// not, for they may share one with many.
func TestStrangersAtTheMailboxes(t *testing.T) {
	h := strangersHouse(t, "connections_per_address = 1", "", "alice@a.test", "bob@a.test")
	for _, c := range []struct {
		door, greeting, refusal string
		logIn                   func(addr, login string) (io.Closer, error)
	}{
		{"imap", "* OK ", "* BYE [LIMIT] Too many connections from your address, try again later", func(addr, login string) (io.Closer, error) {
			c, err := DialIMAP(addr, login)
			if err != nil {
				return nil, err
			}
			return c.conn, nil
		}},
		{"pop3", "+OK ", "-ERR [SYS/TEMP] Too many connections from your address, try again later", func(addr, login string) (io.Closer, error) {
			c, err := DialPOP3(addr, login)
			if err != nil {
				return nil, err
			}
			return c.conn, nil
		}},
	} {
		t.Run(c.door, func(t *testing.T) {
			for _, login := range []string{"alice@a.test", "bob@a.test"} {
				conn, err := c.logIn(h.Addr[c.door], login)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
			}
			for _, want := range []string{c.greeting, c.refusal} {
				conn, err := net.Dial("tcp", h.Addr[c.door])
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(clientTimeout))
				line, err := bufio.NewReader(conn).ReadString('\n')
				if err != nil || !strings.HasPrefix(line, want) {
					t.Fatalf("%q, %v, want %q", line, err, want)
				}
			}
			h.awaitMetric(fmt.Sprintf(`posthouse_sessions{door=%q} 3`, c.door))
			h.awaitMetric(fmt.Sprintf(`posthouse_sessions_total{door=%q} 3`, c.door))
			h.awaitMetric(fmt.Sprintf(`posthouse_sessions_refused_total{door=%q,reason="address"} 1`, c.door))
		})
		h.awaitMetric(fmt.Sprintf(`posthouse_sessions_ended_total{door=%q,reason="closed"} 3`, c.door))
	}
}
