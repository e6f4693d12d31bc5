package space

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"posthouse/internal/clock"
	"posthouse/internal/faultfs"
)

// disks is file systems by the directory that is on them.
type disks struct {
	faultfs.OS
	free, total map[string]int64
	asked       int
}

func (d *disks) Space(dir string) (free, total int64, err error) {
	d.asked++
	if d.total[dir] == 0 {
		return 0, 0, &fs.PathError{Op: "statfs", Path: dir, Err: syscall.EIO}
	}
	return d.free[dir], d.total[dir], nil
}

type bench struct {
	*Reserve
	disk *disks
	clk  *clock.Fake
	log  *bytes.Buffer
}

func newBench(reserve int64, total int64) *bench {
	b := &bench{
		disk: &disks{free: map[string]int64{"a": total}, total: map[string]int64{"a": total}},
		clk:  clock.NewFake(time.Unix(1_800_000_000, 0)), log: new(bytes.Buffer),
	}
	b.Reserve = New(Options{
		FS: b.disk, Clock: b.clk, Dirs: []string{"a"}, Reserve: reserve, Log: slog.New(slog.NewTextHandler(b.log, nil)),
	})
	return b
}

// set changes what is free, for all that ask from now on.
func (b *bench) set(free int64) {
	b.disk.free["a"] = free
	b.clk.Advance(goodFor)
}

func TestUses(t *testing.T) {
	b := newBench(800, 10_000)
	for _, c := range []struct {
		free                          int64
		mail, copies, index, clearing bool
	}{
		{1000, true, true, true, true}, {799, false, true, true, true}, {400, false, true, true, true}, {399, false, false, true, true},
		{200, false, false, true, true}, {199, false, false, false, true}, {100, false, false, false, true}, {99, false, false, false, false},
		{0, false, false, false, false},
		{899, false, true, true, true}, // it takes a margin until mail is taken again
		{900, true, true, true, true},
	} {
		b.set(c.free)
		for use, want := range map[Use]bool{Mail: c.mail, Copies: c.copies, Index: c.index, Clearing: c.clearing} {
			err := b.Fits(use, 0)
			if (err == nil) != want || err != nil && !errors.Is(err, ErrFull) {
				t.Errorf("%d free: %v answers %v", c.free, use, err)
			}
			if b.Has(use, 0) != want {
				t.Errorf("%d free: Has %v is not %v", c.free, use, want)
			}
		}
		if (b.Low() == nil) != c.mail {
			t.Errorf("%d free: Low is %v", c.free, b.Low())
		}
	}
	f := b.Figures()
	if f.Free != 900 || f.Reserve != 800 || f.Low || f.Refused[Mail] != 9 || f.Refused[Copies] != 6 || f.Refused[Index] != 4 || f.Refused[Clearing] != 2 {
		t.Errorf("figures %+v", f)
	}
}

// TestUseOf finds what a context was marked for.
func TestUseOf(t *testing.T) {
	if use := UseOf(t.Context()); use != Index {
		t.Errorf("unmarked: %v", use)
	}
	if use := UseOf(For(t.Context(), Clearing)); use != Clearing {
		t.Errorf("marked: %v", use)
	}
}

// TestTake counts what is being written and what was written since the file
// system was asked, once a second.
func TestTake(t *testing.T) {
	b := newBench(100, 1000)
	for range 3 {
		if err := b.Take(Mail, 300); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Take(Mail, 1); !errors.Is(err, ErrFull) {
		t.Errorf("four bodies of three: %v", err)
	}
	b.Give(300)
	if err := b.Take(Mail, 1); !errors.Is(err, ErrFull) {
		t.Errorf("what was written is free again: %v", err)
	}
	if b.disk.asked != 1 {
		t.Errorf("asked the file system %d times in a second", b.disk.asked)
	}
	b.set(800) // two are under way
	if err := b.Take(Mail, 1); err != nil {
		t.Errorf("a body that fits: %v", err)
	}
	if b.disk.asked != 2 {
		t.Errorf("asked the file system %d times in two seconds", b.disk.asked)
	}
}

// TestLargeMessage refuses a message that does not fit without refusing others,
// and without a word in the log.
func TestLargeMessage(t *testing.T) {
	b := newBench(800, 10_000)
	b.set(1500)
	for range 3 {
		if err := b.Fits(Mail, 1000); !errors.Is(err, ErrFull) {
			t.Errorf("too large: %v", err)
		}
		if err := b.Fits(Mail, 500); err != nil {
			t.Errorf("a smaller one: %v", err)
		}
	}
	if b.log.Len() > 0 {
		t.Errorf("logged %s", b.log)
	}
}

// TestLog has one line when refusing begins and one when it ends.
func TestLog(t *testing.T) {
	b := newBench(800, 10_000)
	for range 2 {
		b.set(810)
		for range 5 {
			if err := b.Fits(Mail, 20); !errors.Is(err, ErrFull) {
				t.Error(err)
			}
		}
		b.set(850)
		_ = b.Fits(Mail, 20)
		b.set(2000)
		_ = b.Low()
	}
	var got []string
	for line := range strings.Lines(b.log.String()) {
		_, level, _ := strings.Cut(line, "level=")
		level, _, _ = strings.Cut(level, " ")
		got = append(got, level)
	}
	if strings.Join(got, " ") != "WARN INFO WARN INFO" {
		t.Errorf("logged %s", b.log)
	}
}

// TestFullest lets the file system with the least room decide.
func TestFullest(t *testing.T) {
	b := newBench(100, 1000)
	b.opt.Dirs = append(b.opt.Dirs, "b")
	b.disk.total["b"], b.disk.free["b"] = 5000, 50
	if err := b.Fits(Mail, 0); !errors.Is(err, ErrFull) || b.Figures().Free != 50 {
		t.Errorf("%v with %+v", err, b.Figures())
	}
}

// TestBlind refuses nothing when the file system does not say what is free.
func TestBlind(t *testing.T) {
	b := newBench(100, 1000)
	delete(b.disk.total, "a")
	for range 3 {
		if err := b.Fits(Mail, 1<<40); err != nil {
			t.Error(err)
		}
		b.clk.Advance(time.Minute)
	}
	if n := strings.Count(b.log.String(), "\n"); n != 1 {
		t.Errorf("logged %s", b.log)
	}
}

func TestNone(t *testing.T) {
	b := newBench(0, 1000)
	b.set(0)
	for _, r := range []*Reserve{nil, b.Reserve} {
		if r.Fits(Mail, 1) != nil || r.Take(Mail, 1) != nil || r.Low() != nil || !r.Has(Mail, 1) {
			t.Error("no reserve, and something is refused")
		}
		r.Give(1)
	}
	if b.Figures().Free != 0 {
		t.Error("figures without a reserve")
	}
}

func TestAutoReserve(t *testing.T) {
	for total, want := range map[int64]int64{1 << 30: 1 << 30 / 20, 20 << 30: 256 << 20, 1 << 44: 256 << 20} {
		if got := AutoReserve(total); got != want {
			t.Errorf("%d bytes: %d", total, got)
		}
	}
	b := newBench(Auto, 1000)
	b.set(49)
	if err := b.Low(); !errors.Is(err, ErrFull) {
		t.Errorf("a twentieth: %v", err)
	}
	b.set(60)
	if err := b.Low(); err != nil {
		t.Errorf("a twentieth: %v", err)
	}
}
