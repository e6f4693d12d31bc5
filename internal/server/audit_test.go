package server

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The space of bodies that nothing refers to and nobody released comes back.
func TestAuditFindsBodiesWithoutOwner(t *testing.T) {
	cfg := configIn(t, t.TempDir())
	cfg.Store.Segment = 1 << 20
	log := slog.New(slog.DiscardHandler)
	o, err := OpenOffline(t.Context(), cfg, log, OfflineOptions{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.API().AddDomain(t.Context(), "example.test"); err != nil {
		t.Fatal(err)
	}
	for range 8 { // as a crash leaves them, before the index knows of them
		w, err := o.ground.bodies.Create(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, 400<<10)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Commit(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	// Bodies so young may be on their way.
	files, err := filepath.Glob(filepath.Join(cfg.Data, bodiesDir, "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-24 * time.Hour)
	for _, name := range files {
		if err := os.Chtimes(name, old, old); err != nil {
			t.Fatal(err)
		}
	}
	if o, err = OpenOffline(t.Context(), cfg, log, OfflineOptions{}); err != nil {
		t.Fatal(err)
	}
	collected := func() int64 {
		t.Helper()
		if _, err := o.ground.bodies.GC(t.Context()); err != nil {
			t.Fatal(err)
		}
		return o.ground.bodies.Stats().Bytes
	}
	if got := collected(); got < 8*400<<10 {
		t.Errorf("%d bytes before the audit: this test shows nothing", got)
	}
	if err := o.ground.audit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := collected(); got > 3*400<<10 { // what is in the newest segment stays
		t.Errorf("%d bytes after it", got)
	}
	if found, err := o.Verify(t.Context(), func(p string) { t.Error(p) }); err != nil || found.Bodies != 2 {
		t.Errorf("%+v, %v", found, err)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
}
