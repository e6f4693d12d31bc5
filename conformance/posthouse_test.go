package conformance_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"posthouse/conformance"
	"posthouse/e2e"
)

func TestMain(m *testing.M) {
	code := m.Run()
	e2e.RemoveBinary()
	os.Exit(code)
}

// atLeast is how many cases there are at least.
const atLeast = 250

// Posthouse passes every case, on every listener that the case is for.
func TestPosthouse(t *testing.T) {
	cases, err := conformance.Cases()
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) < atLeast {
		t.Errorf("%d cases, fewer than %d", len(cases), atLeast)
	}
	results := runAll(t, house(t), cases)
	t.Logf("%d cases: %d passed, %d skipped", len(cases), conformance.Count(results, conformance.Pass), conformance.Count(results, conformance.Skip))
}

// What strangers are asked to put up with, an early talker's wait among it, is
// within the standards too.
func TestPosthouseToStrangers(t *testing.T) {
	t.Setenv("POSTHOUSE_LIMITS_TRUSTED", "192.0.2.1/32")
	runAll(t, house(t), subjects(t, "hello", "lines", "order", "pipelining", "starttls"))
}

// Whatever is done about bare line ends, one message never becomes two.
func TestPosthouseBareNewlines(t *testing.T) {
	for _, choice := range []string{"normalise", "accept"} {
		t.Run(choice, func(t *testing.T) {
			t.Setenv("POSTHOUSE_SMTP_BARE_NEWLINES", choice)
			runAll(t, house(t), subjects(t, "smuggling"))
		})
	}
}

// subjects are the cases of some files.
func subjects(t *testing.T, names ...string) []*conformance.Case {
	t.Helper()
	cases, err := conformance.Cases()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(cases, func(c *conformance.Case) bool { return !slices.Contains(names, c.File) })
}

func runAll(t *testing.T, target *conformance.Target, cases []*conformance.Case) []conformance.Result {
	t.Helper()
	results, err := target.Run(t.Context(), cases, 8)
	if err != nil {
		t.Fatal(err)
	}
	for i := range results {
		switch r := &results[i]; {
		case r.Outcome == conformance.Fail:
			t.Error(r.String())
		case r.Unchecked:
			t.Errorf("%s: nobody looked at what was delivered", r.Case)
		}
	}
	return results
}

// house starts a Posthouse as one would run it, but for its addresses.
func house(t *testing.T) *conformance.Target {
	t.Setenv("POSTHOUSE_AUTH_ALLOW_PLAINTEXT", "false")
	t.Setenv("POSTHOUSE_LIMITS_MESSAGE_SIZE", "2M")
	t.Setenv("POSTHOUSE_LIMITS_FUTURE_RELEASE_SIZE", "1M")
	t.Setenv("POSTHOUSE_SMTP_NO_SOLICITING", "test.invalid:ADV")
	t.Setenv("POSTHOUSE_SMTP_XCLIENT", "127.0.0.1/32")
	t.Setenv("POSTHOUSE_SMTP_ETRN", "elsewhere.test")
	const alice, bob, carol = "alice@example.test", "bob@example.test", "carol@example.test"
	h := e2e.NewHouse(t, "127.0.0.1", "mx.example.test", "---\n[log]\nlevel = \"warn\"\n", alice, bob, carol)
	h.Start()
	return &conformance.Target{
		Addr: map[string]string{
			"mx": h.Addr["smtp"], "submission": h.Addr["submission"], "submissions": h.Addr["submissions"], "lmtp": h.Addr["lmtp"],
		},
		IMAP:    "imaps://" + h.Addr["imaps"],
		Timeout: time.Minute, // however slow the machine
		User:    alice, Pass: e2e.Password, Local: bob, Third: carol,
		Unknown: "no-such-user@example.test", Remote: "someone@elsewhere.test",
	}
}
