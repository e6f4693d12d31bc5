package server

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"posthouse/internal/config"
	"posthouse/internal/kv"
	"posthouse/internal/kv/pebble"
)

// A store that a newer Posthouse wrote is not touched, by a server or a command.
func TestNewerStoreRefused(t *testing.T) {
	cfg, err := config.Parse("test", []byte("hostname = \"mx.example.test\"\ndata = \""+t.TempDir()+"\"\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	g, err := openGround(t.Context(), cfg, log, groundOptions{create: true})
	if err != nil {
		t.Fatal(err)
	}
	err = g.db.Update(t.Context(), kv.Partitions{kv.StorePartition}, func(tx kv.Tx) error {
		return tx.Set(formatKey(), binary.BigEndian.AppendUint32(nil, FormatVersion+1))
	})
	if err := errors.Join(err, g.close()); err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func(context.Context) error{
		"serve":   func(ctx context.Context) error { _, err := Start(ctx, cfg, Options{Log: log}); return err },
		"command": func(ctx context.Context) error { _, err := OpenOffline(ctx, cfg, log, OfflineOptions{}); return err },
	} {
		if err := open(t.Context()); !errors.Is(err, ErrNewerFormat) || !strings.Contains(err.Error(), "this one reads up to") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// said is what the log says; also what runs in the background writes to it.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// take is what was said since the last time.
func (s *said) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.text.Reset()
	return s.text.String()
}

// A reload names the changes that it cannot make.
func TestReloadNamesWhatWaits(t *testing.T) {
	var said said
	doc := "hostname = \"mx.example.test\"\ndata = \"" + t.TempDir() + "\"\n"
	cfg, err := config.Parse("test", []byte(doc), nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(t.Context(), cfg, Options{Log: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	reload := func(more string) string {
		said.take()
		changed, err := config.Parse("test", []byte(doc+more), nil)
		if err != nil {
			t.Fatal(err)
		}
		s.Reload(changed)
		return said.take()
	}
	if got := reload("[listen]\nsmtp = []\n[log]\nlevel = \"warn\"\n"); strings.Contains(got, "wait") || !strings.Contains(got, "reloaded") {
		t.Errorf("what could be reloaded: %s", got)
	}
	more := "[limits]\nmessage_size = \"9M\"\nrecipients = 500\ntrusted = [\"10.0.0.0/8\"]\n[smtp]\netrn = [\"a.test\"]\n[store]\ncache = \"9M\"\n[[outbound.route]]\nmatch = \"*\"\nvia = \"smtp://127.0.0.1:26\"\n"
	if got := reload(more); !strings.Contains(got, "keys=\"limits.message_size store.cache\"") {
		t.Errorf("what could not: %s", got)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

// Ready is a house whose listeners all accept and whose store writes.
func TestReady(t *testing.T) {
	s, _ := houseUp(t, "")
	if err := s.isReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	dead, cancel := context.WithCancel(t.Context())
	cancel()
	s.ready.probed = time.Time{}
	if err := s.isReady(dead); err == nil || !strings.Contains(err.Error(), "the store does not write") {
		t.Errorf("with a store that does not write: %v", err)
	}
	s.ready.probed = time.Time{}
	if err := s.isReady(t.Context()); err != nil {
		t.Errorf("with a store that writes again: %v", err)
	}
	s.ready.done("smtp")
	if err := s.isReady(t.Context()); err == nil || !strings.Contains(err.Error(), "smtp") {
		t.Errorf("without its smtp listener: %v", err)
	}
	s.ready.ended["smtp"] = 0
	s.ready.stop()
	if err := s.isReady(t.Context()); err == nil {
		t.Error("ready while it stops")
	}
}

// Files that root makes among those of somebody else would lock out their owner.
func TestForeignDataRefused(t *testing.T) {
	cfg := configIn(t, t.TempDir())
	me := os.Getuid()
	if err := refuseForeign(cfg, me+1); err != nil {
		t.Errorf("nothing there yet: %v", err)
	}
	index := filepath.Join(cfg.Data, indexDir)
	if err := os.Mkdir(index, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := refuseForeign(cfg, me); err != nil {
		t.Errorf("one's own: %v", err)
	}
	if err := refuseForeign(cfg, me+1); err == nil || !strings.Contains(err.Error(), "want user = ") {
		t.Errorf("somebody else's: %v", err)
	}
	if me != 0 {
		return
	}
	if err := os.Chown(index, 65534, 65534); err != nil {
		t.Skip(err)
	}
	if _, err := Start(t.Context(), cfg, Options{Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "want user = ") {
		t.Errorf("start: %v", err)
	}
	if left, err := os.ReadDir(cfg.Data); err != nil || len(left) > 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A server whose socket is gone is told from a command that has the store, and rebuild
// keeps away from it.
func TestServerWithoutSocket(t *testing.T) {
	cfg := configIn(t, t.TempDir())
	log := slog.New(slog.DiscardHandler)
	s, err := Start(t.Context(), cfg, Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := ExplainLock(cfg.Data, pebble.ErrLocked); !errors.Is(err, pebble.ErrLocked) {
		t.Errorf("with its socket: %v", err)
	}
	if err := os.Remove(SocketPath(cfg.Data)); err != nil {
		t.Fatal(err)
	}
	const want = "its socket admin.sock is not there"
	if err := ExplainLock(cfg.Data, pebble.ErrLocked); !strings.Contains(err.Error(), want) {
		t.Errorf("without: %v", err)
	}
	if _, err := Rebuild(t.Context(), cfg, log, func(string) {}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("rebuild: %v", err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := ExplainLock(cfg.Data, pebble.ErrLocked); !errors.Is(err, pebble.ErrLocked) {
		t.Errorf("without a server: %v", err)
	}
	if _, err := Rebuild(t.Context(), cfg, log, func(string) {}); err != nil {
		t.Errorf("rebuild without a server: %v", err)
	}
}
