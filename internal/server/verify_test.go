package server

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"posthouse/internal/config"
)

// harmed changes the files in a directory of a house; change tells whether it did
// anything.
func harmed(t *testing.T, data, pattern string, change func(b []byte) bool) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, pattern))
	if err != nil {
		t.Fatal(err)
	}
	done := false
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !change(b) {
			continue
		}
		done = true
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !done {
		t.Fatalf("nothing to harm in %s", pattern)
	}
}

func verified(t *testing.T, cfg *config.Config) []string {
	t.Helper()
	o, err := OpenOffline(t.Context(), cfg, slog.New(slog.DiscardHandler), OfflineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	var problems []string
	if _, err := o.Verify(t.Context(), func(p string) { problems = append(problems, p) }); err != nil {
		t.Fatal(err)
	}
	return problems
}

// What verify finds damaged an operator can act on: it says whose it is.
func TestVerifyNamesTheMessage(t *testing.T) {
	cfg := filled(t)
	if problems := verified(t, cfg); len(problems) > 0 {
		t.Fatalf("before the damage: %q", problems)
	}
	harmed(t, cfg.Data, "bodies/*.seg", func(b []byte) bool {
		at := bytes.Index(b, []byte("body of 1"))
		if at >= 0 {
			b[at] ^= 1
		}
		return at >= 0
	})
	spoil(t, cfg.Data, "account/2")
	problems := verified(t, cfg)
	if len(problems) != 2 {
		t.Fatalf("%q", problems)
	}
	all := strings.Join(problems, "\n")
	for _, want := range []string{
		`alice@example.test, "INBOX", UID 2, Message-ID "<1@y.example>"`, `bob@example.test, "INBOX", UID 2`, "the directory's copy of account/2",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no word of %s:\n%s", want, all)
		}
	}
}

// The head of a segment has a checksum; its bodies are good without it.
func TestVerifyLooksAtHeads(t *testing.T) {
	cfg := filled(t)
	harmed(t, cfg.Data, "bodies/*.seg", func(b []byte) bool {
		clear(b[:64])
		return true
	})
	problems := verified(t, cfg)
	if len(problems) == 0 || slices.ContainsFunc(problems, func(p string) bool { return !strings.Contains(p, "its head") }) {
		t.Errorf("%q", problems)
	}
}

// A damaged table of the index ends in one line that says what helps.
func TestDamagedTable(t *testing.T) {
	cfg := filled(t)
	_ = verified(t, cfg) // makes tables of the log
	harmed(t, cfg.Data, "index/*.sst", func(b []byte) bool {
		for i := 60; i < min(120, len(b)); i++ {
			b[i] ^= 0x55
		}
		return true
	})
	var said said
	o, err := OpenOffline(t.Context(), cfg, slog.New(slog.NewTextHandler(&said, nil)), OfflineOptions{})
	if err == nil {
		_, err = o.Verify(t.Context(), func(string) {})
		_ = o.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "posthouse rebuild") {
		t.Errorf("%v", err)
	}
	if log := said.take(); strings.Contains(log, "stack trace") {
		t.Errorf("the log: %s", log)
	}
}

// An index without its bodies is not opened: mail taken in beside it would hide what is lost.
func TestBodiesLost(t *testing.T) {
	cfg := filled(t)
	bodies := filepath.Join(cfg.Data, bodiesDir)
	aside := bodies + ".aside"
	if err := os.Rename(bodies, aside); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first must not make it look well
		if o, err := OpenOffline(t.Context(), cfg, slog.New(slog.DiscardHandler), OfflineOptions{}); !errors.Is(err, ErrBodiesLost) {
			t.Errorf("%v, %v", o, err)
		}
	}
	if err := errors.Join(os.RemoveAll(bodies), os.Rename(aside, bodies)); err != nil {
		t.Fatal(err)
	}
	if problems := verified(t, cfg); len(problems) > 0 {
		t.Errorf("put back: %q", problems)
	}
}
