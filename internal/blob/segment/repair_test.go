package segment

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"posthouse/internal/blob"
)

// TestForwardsComeBack loses one forwarding file and damages another; the
// records say where they came from.
func TestForwardsComeBack(t *testing.T) {
	ctx := context.Background()
	dir := memDir(t)
	s := openStore(t, dir, smallSegments)
	l := generations(t, s)
	collect(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"+fwdSuffix))
	if err != nil || len(files) < 2 {
		t.Fatalf("%d forwarding files, %v", len(files), err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	b, _ := os.ReadFile(files[1])
	b[20] ^= 1
	if err := os.WriteFile(files[1], b, 0o600); err != nil {
		t.Fatal(err)
	}

	s = openStore(t, dir, smallSegments)
	missing, corrupt := 0, 0
	for ref := range l.live {
		switch err := s.Verify(ctx, ref); {
		case errors.Is(err, blob.ErrNotFound):
			missing++
		case errors.Is(err, blob.ErrCorrupt):
			corrupt++
		case err != nil:
			t.Error(err)
		}
	}
	if missing == 0 || corrupt == 0 {
		t.Fatalf("%d missing, %d damaged: the files held nothing", missing, corrupt)
	}
	if n, err := s.RepairForwards(ctx); n != 2 || err != nil {
		t.Errorf("repaired %d, %v", n, err)
	}
	if err := l.check(s); err != nil {
		t.Error(err)
	}
	if n, err := s.RepairForwards(ctx); n != 0 || err != nil {
		t.Errorf("repaired %d again, %v", n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, smallSegments)
	if err := l.check(s); err != nil {
		t.Errorf("after another start: %v", err)
	}
}

// TestReadOnlyChangesNothing looks at the copy of a store that was not closed.
func TestReadOnlyChangesNothing(t *testing.T) {
	dir := memDir(t)
	s := openStore(t, dir, smallSegments)
	l := generations(t, s)
	collect(t, s)
	last := put(t, s, []byte("the last"), "m")
	crashed := copyDir(t, dir)
	if err := os.Truncate(segFile(crashed, last.Segment), int64(last.Offset)+headerSize+3); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(crashed, "tmp-1"+partSuffix), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := contents(t, crashed)
	ro, err := OpenReadOnly(crashed, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.check(ro); err != nil {
		t.Error(err)
	}
	if err := ro.Release(last); !errors.Is(err, ErrReadOnly) {
		t.Errorf("release: %v", err)
	}
	if _, err := ro.GC(context.Background()); !errors.Is(err, ErrReadOnly) {
		t.Errorf("collection: %v", err)
	}
	if err := ro.Close(); err != nil {
		t.Error(err)
	}
	after := contents(t, crashed)
	for name, b := range before {
		if after[name] != b {
			t.Errorf("%s was changed", name)
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d files became %d", len(before), len(after))
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := make(map[string]string)
	for _, name := range names(t, dir) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		m[name] = string(b)
	}
	return m
}
