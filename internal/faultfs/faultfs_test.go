package faultfs

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func mustOpen(t *testing.T, fsys FS, name string) File {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestWritevAt(t *testing.T) {
	for name, fsys := range map[string]FS{"os": OS{}, "injector": new(Injector), "disk": NewDisk()} {
		path := filepath.Join(t.TempDir(), name)
		f := mustOpen(t, fsys, path)
		bufs := [][]byte{[]byte("one "), nil, []byte("two "), []byte("three")}
		for range 2000 { // more than one system call takes
			bufs = append(bufs, []byte("x"))
		}
		n, err := f.WritevAt(bufs, 3)
		if n != 2013 || err != nil {
			t.Errorf("%s: wrote %d, %v", name, n, err)
		}
		got, err := os.ReadFile(path)
		if err != nil || len(got) != 2016 || string(got[3:20]) != "one two threexxxx" {
			t.Errorf("%s: file holds %d bytes, %.20q, %v", name, len(got), got, err)
		}
		if size, err := f.Size(); size != 2016 || err != nil {
			t.Errorf("%s: size %d, %v", name, size, err)
		}
	}
}

func TestLockExcludes(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	l, err := OS{}.Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (OS{}).Lock(name); !errors.Is(err, ErrLocked) {
		t.Errorf("second lock: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, err = OS{}.Lock(name)
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	_ = l.Close()
}

func TestInjectedFaults(t *testing.T) {
	var i Injector
	path := filepath.Join(t.TempDir(), "f")
	f := mustOpen(t, &i, path)
	i.Fault(FailNth(OpSync, 2, syscall.EIO))
	if err := f.Sync(); err != nil {
		t.Errorf("first sync: %v", err)
	}
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("second sync: %v", err)
	}
	i.Fault(nil)
	i.Room(5)
	if n, err := f.WriteAt([]byte("0123456789"), 0); n != 5 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("write to a full disk: %d, %v", n, err)
	}
	if got, _ := os.ReadFile(path); string(got) != "01234" {
		t.Errorf("file holds %q", got)
	}
	i.Room(-1)
	if _, err := f.WriteAt([]byte("0123456789"), 0); err != nil {
		t.Errorf("write with room again: %v", err)
	}
}

// TestPowerLoss draws many states: what was synced is in all of them, what was
// not is in some, and a rename is done or not.
func TestPowerLoss(t *testing.T) {
	d := NewDisk()
	dir := t.TempDir()
	name := filepath.Join(dir, "a")
	f := mustOpen(t, d, name)
	if _, err := f.WriteAt([]byte("synced "), 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), d.SyncDir(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("unsynced"), 7); err != nil {
		t.Fatal(err)
	}
	if err := d.Rename(name, filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	d.PowerOff()
	if _, err := f.WriteAt([]byte("late"), 0); !errors.Is(err, ErrPowerOff) {
		t.Errorf("write without power: %v", err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	seen := make(map[string]int)
	for range 200 {
		after := t.TempDir()
		if err := d.Materialise(after, rng); err != nil {
			t.Fatal(err)
		}
		es, err := os.ReadDir(after)
		if err != nil || len(es) != 1 {
			t.Fatalf("%d files, %v", len(es), err)
		}
		b, _ := os.ReadFile(filepath.Join(after, es[0].Name()))
		if len(b) < 7 || string(b[:7]) != "synced " {
			t.Fatalf("lost what was synced: %q", b)
		}
		seen[es[0].Name()]++
		seen[string(b[7:])]++
	}
	for _, want := range []string{"a", "b", "", "unsynced", "unsy"} {
		if seen[want] == 0 {
			t.Errorf("never saw %q", want)
		}
	}
}
