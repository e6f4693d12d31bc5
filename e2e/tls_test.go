package e2e

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"posthouse/internal/dns"
	"posthouse/internal/kv"
	"posthouse/internal/kv/pebble"
	"posthouse/internal/mailauth/tlsrpt"
	"posthouse/internal/nettest"
	"posthouse/internal/smtp"
)

// keyOf is the TLSA record of the certificate that a house shows.
func keyOf(t *testing.T, addr string) dns.TLSA {
	t.Helper()
	c, err := DialSMTP(addr, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Cmd(250, "EHLO x.test"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Cmd(220, "STARTTLS"); err != nil {
		t.Fatal(err)
	}
	secure := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
	if err := secure.Handshake(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(secure.ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo)
	return dns.TLSA{Usage: 3, Selector: 1, Matching: 1, Data: sum[:]}
}

// TestDANE sends between two houses whose certificates nobody knows but DNS. One
// domain's TLSA record is right and the other's is of another key.
func TestDANE(t *testing.T) {
	port := sharedPort(t, northIP, southIP)
	d := nettest.NewDNS(nettest.Records{
		MX: map[string][]dns.MX{
			"south.test": {{Preference: 10, Host: "mx.south.test"}},
			"wrong.test": {{Preference: 10, Host: "mx.wrong.test"}},
		},
		A:             map[string][]string{"mx.south.test": {southIP}, "mx.wrong.test": {southIP}},
		Authenticated: map[string]bool{"*": true},
	})
	extra := fmt.Sprintf("---\n[dns]\nservers = [%q]\nvalidating = true\n[outbound]\nport = %s\n", nettest.ServeDNS(t, d), port)
	reports := "[outbound.tls_reports]\nenabled = true\ncontact = \"alice@north.test\"\n"
	north := NewHouseAt(t, northIP, port, "mx.north.test", extra+reports, "alice@north.test")
	south := NewHouseAt(t, southIP, port, "mx.south.test", extra, "bob@south.test", "carol@wrong.test")
	north.Start()
	south.Start()
	d.Change(func(r *nettest.Records) {
		r.TLSA["_"+port+"._tcp.mx.south.test"] = []dns.TLSA{keyOf(t, south.Addr["smtp"])}
		r.TLSA["_"+port+"._tcp.mx.wrong.test"] = []dns.TLSA{{Usage: 3, Selector: 1, Matching: 1, Data: bytes.Repeat([]byte{1}, 32)}}
	})

	id := send(t, north, "alice@north.test", "dane-good", "bob@south.test")
	south.Await("bob@south.test", `HEADER X-Token dane-good`)
	e := awaitStory(t, north, id, "bob@south.test", "queued", "relayed")[1]
	if e.Detail["tls_policy"] != "dane" || e.Detail["tls_verified"] != "true" || !strings.HasPrefix(e.Detail["tls"], "TLS1.3") {
		t.Errorf("%+v", e)
	}

	id = send(t, north, "alice@north.test", "dane-wrong", "carol@wrong.test")
	e = awaitStory(t, north, id, "carol@wrong.test", "queued", "attempted")[1]
	if e.Detail["tls_policy"] != "dane" || !strings.Contains(e.Text, "TLSA records") || e.Detail["tls"] != "" {
		t.Errorf("%+v", e)
	}
	// Who asks to ignore it gets through.
	c, err := DialSMTP(north.Addr["submission"], "alice@north.test")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	warning := append([]byte("TLS-Required: No\r\n"), letter("alice@north.test", "your TLSA record is wrong")...)
	if err := c.Send("alice@north.test", []string{"carol@wrong.test"}, warning); err != nil {
		t.Fatal(err)
	}
	south.Await("carol@wrong.test", `HEADER TLS-Required No`)

	way := north.Run("", "route", "south.test")
	mustMatch(t, "route", way, `(?s)mx.south.test \(preference 10\)\naddress  `+southIP+`\ntls      dane, by dane\n.*tlsa     3 1 1 `)

	// What is to be reported is kept.
	north.Stop()
	north.Verify()
	if again := north.Run("", "route", "south.test"); again != way {
		t.Errorf("at rest: %s", again)
	}
	if _, errs, err := north.TryRun("", "route", "nowhere.test"); err == nil || !strings.Contains(errs, "550 5.1.2") {
		t.Errorf("a domain that is not there: %v %s", err, errs)
	}
	counted := resultsOf(t, north)
	mustMatch(t, "counts of south.test", counted["south.test"], `"policy-type":"tlsa".*"policy-domain":"mx.south.test".*"success":1,"failure":0`)
	mustMatch(t, "counts of wrong.test", counted["wrong.test"], `"success":0,"failure":1,.*"result-type":"validation-failure"`)
}

// resultsOf are the rows that a house at rest keeps for reports, by domain.
func resultsOf(t *testing.T, h *House) map[string]string {
	t.Helper()
	db, err := pebble.Open(filepath.Join(h.Dir, "data", "index"), pebble.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows := make(map[string]string)
	from := kv.NewKey(kv.TLSResults).Byte('c')
	err = db.View(t.Context(), func(r kv.Reader) error {
		return r.Scan(from, from.End(), func(key, value []byte) bool {
			_, rest, _ := kv.CutString(key[len(from):])
			domain, _, _ := kv.CutString(rest)
			rows[domain] = string(value)
			return true
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestTLSReports reads what somebody sent to postmaster on the TLS of our hosts.
func TestTLSReports(t *testing.T) {
	h := NewHouse(t, "127.0.0.1", "mx.example.test", "", "postmaster@"+Domain)
	day := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	m := &tlsrpt.Message{
		From: smtp.Address{Local: "tlsrpt", Domain: "big.example"}, To: smtp.Address{Local: "postmaster", Domain: Domain},
		Submitter: "mx.big.example", Domain: Domain, Date: day.Add(25 * time.Hour), Report: &tlsrpt.Report{
			Organization: "Big \x1b[31mMail", Contact: "tls@big.example", ID: "20260401@big.example",
			Range: tlsrpt.DateRange{Start: tlsrpt.Time{Time: day}, End: tlsrpt.Time{Time: day.Add(24*time.Hour - time.Second)}},
			Policies: []tlsrpt.Policy{{
				Policy:   tlsrpt.Terms{Type: tlsrpt.STS, Domain: Domain, String: tlsrpt.Strings{"version: STSv1", "mode: enforce"}},
				Summary:  tlsrpt.Summary{Success: 17, Failure: 2},
				Failures: []tlsrpt.Failure{{Type: "certificate-expired", ReceivingHost: "mx.example.test", Count: 2}},
			}},
		},
	}
	var text bytes.Buffer
	if _, err := m.WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "report.eml")
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	h.Start()
	c, err := DialSMTP(h.Addr["smtp"], "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Cmd(250, "EHLO mx.big.example"); err != nil {
		t.Fatal(err)
	}
	if err := c.Send("tlsrpt@big.example", []string{"postmaster@" + Domain}, text.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := c.Send("tlsrpt@big.example", []string{"postmaster@" + Domain}, letter("x@big.example", "no-report")); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		var list []struct {
			ID      string `json:"report_id"`
			Mailbox string
			Failure int
		}
		if err := json.Unmarshal([]byte(h.Run("", "tlsrpt", "list", "postmaster@"+Domain, "--json")), &list); err != nil {
			t.Fatal(err)
		}
		if len(list) != 1 || list[0].ID != "20260401@big.example" || list[0].Mailbox != "INBOX" || list[0].Failure != 2 {
			t.Errorf("%+v", list)
		}
		table := h.Run("", "tlsrpt", "list", "postmaster@"+Domain)
		mustMatch(t, "table", table, `2026-04-01 +Big \?\[31mMail +`+Domain+` +17 +2 +20260401@big.example`)
		shown := h.Run("", "tlsrpt", "show", "postmaster@"+Domain, "20260401@big.example")
		for _, text := range []string{shown, h.Run("", "tlsrpt", "read", file), h.Run(text.String(), "tlsrpt", "read", "-")} {
			mustMatch(t, "report", text, `(?s)sts for `+Domain+`: 17 sessions good, 2 failed.*2 × certificate-expired  host mx.example.test`)
		}
		if _, errs, err := h.TryRun("", "tlsrpt", "show", "postmaster@"+Domain, "other"); err == nil || !strings.Contains(errs, "not found") {
			t.Errorf("another report: %v %s", err, errs)
		}
		if _, errs, err := h.TryRun("", "tlsrpt", "list", "nobody@"+Domain); err == nil || !strings.Contains(errs, "not found") {
			t.Errorf("another account: %v %s", err, errs)
		}
		if _, errs, err := h.TryRun("hello", "tlsrpt", "read", "-"); err == nil || !strings.Contains(errs, "tlsrpt: invalid") {
			t.Errorf("no report: %v %s", err, errs)
		}
	}
	check()
	h.Stop()
	check() // on the store at rest
}
