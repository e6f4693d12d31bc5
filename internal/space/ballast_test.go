package space

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"posthouse/internal/clock"
	"posthouse/internal/faultfs"
)

// TestBallast makes the file when there is plenty of room, once, and removes it at
// a start without room and at no other.
func TestBallast(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "ballast")
	disk := new(faultfs.Injector)
	clk := clock.NewFake(time.Unix(1_800_000_000, 0))
	start := func() *Reserve {
		return New(Options{FS: disk, Clock: clk, Dirs: []string{dir}, Reserve: 1 << 20, Ballast: name})
	}
	size := func() int64 {
		info, err := os.Stat(name)
		if err != nil {
			return -1
		}
		return info.Size()
	}
	room := func(n int64) {
		disk.Room(n)
		clk.Advance(goodFor)
	}
	if err := disk.Allocate(filepath.Join(dir, "try"), 1); err != nil {
		t.Skipf("room cannot be set aside here: %v", err)
	}
	r := start()
	room(1<<20 + 1<<18) // the reserve, and the ballast without a margin
	if r.Load(); size() != -1 {
		t.Error("a ballast out of the reserve")
	}
	room(2 << 20)
	if r.Load(); size() != 1<<18 {
		t.Errorf("the ballast has %d bytes", size())
	}
	if free := r.Figures().Free; free != 2<<20-1<<18 {
		t.Errorf("%d bytes are free beside it", free)
	}
	room(1 << 18)
	if start().Jettison() || size() == -1 {
		t.Error("the ballast is gone though a start has room")
	}
	room(1<<18 - 1)
	r = start()
	if !r.Jettison() || size() != -1 {
		t.Error("the ballast is still there")
	}
	if start().Jettison() {
		t.Error("removed what was not there")
	}
	room(2 << 20)
	if r.Load(); size() != 1<<18 {
		t.Error("no new ballast")
	}
	if err := os.Remove(name); err != nil { // by an operator who needs the room
		t.Fatal(err)
	}
	if r.Load(); size() != -1 {
		t.Error("the operator's room was taken")
	}
}

// TestNoBallast goes without where room cannot be set aside, and says so only to
// who listens closely.
func TestNoBallast(t *testing.T) {
	b := newBench(100, 1000)
	b.opt.Ballast = filepath.Join(t.TempDir(), "ballast")
	b.opt.FS = without{b.disk}
	for range 3 {
		b.Load()
		b.clk.Advance(time.Minute)
	}
	if b.Jettison() || strings.Contains(b.log.String(), "WARN") {
		t.Errorf("logged %s", b.log)
	}
}

// without is a file system that sets no room aside.
type without struct{ *disks }

func (without) Allocate(name string, _ int64) error { return faultfs.NewDisk().Allocate(name, 0) }
