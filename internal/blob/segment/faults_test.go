package segment

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"posthouse/internal/blob"
	"posthouse/internal/faultfs"
)

// memDir is a directory in memory where there is one with room: tests whose disk
// loses its power by itself need no real one, and make thousands of files.
func memDir(t testing.TB) string {
	t.Helper()
	const shm = "/dev/shm"
	if free, _, err := (faultfs.OS{}).Space(shm); err != nil || free < 32<<20 {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(shm, "segment")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// copyDir copies the files of a store as a crash of the process leaves them.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := memDir(t)
	for _, name := range names(t, from) {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// remove makes room in memDir for the next.
func remove(t testing.TB, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}

func segFile(dir string, num uint32) string { return filepath.Join(dir, fileName(num, segSuffix)) }

// TestTornTail cuts the log at every byte of its last record: the records
// before it survive, the last is gone, and the log goes on.
func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, Options{})
	first := put(t, s, []byte("first"), "meta of the first")
	second := put(t, s, []byte("second"), "meta")
	last := put(t, s, pattern(1, 300), "meta of the last")
	whole, err := os.ReadFile(segFile(dir, last.Segment))
	if err != nil {
		t.Fatal(err)
	}
	for _, zeros := range []bool{false, true} {
		for n := int(last.Offset); n < len(whole); n++ {
			crashed := copyDir(t, dir)
			tail := whole[:n]
			if zeros {
				if n-int(last.Offset) >= headerSize {
					break // a good header with zeros behind it is damage, not a torn write
				}
				tail = append(bytes.Clone(whole[:last.Offset]), make([]byte, n-int(last.Offset))...)
			}
			if err := os.WriteFile(segFile(crashed, last.Segment), tail, 0o600); err != nil {
				t.Fatal(err)
			}
			r := openStore(t, crashed, Options{FS: faultfs.NewDisk()})
			wantBody(t, r, first, []byte("first"))
			wantBody(t, r, second, []byte("second"))
			if _, err := r.Open(last); !errors.Is(err, blob.ErrNotFound) {
				t.Fatalf("cut at %d: %v", n, err)
			}
			again := put(t, r, []byte("again"), "")
			if again.Segment != last.Segment || again.Offset != last.Offset {
				t.Fatalf("cut at %d: went on at %v, not at the end of what was good", n, again)
			}
			wantBody(t, r, again, []byte("again"))
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			remove(t, crashed)
		}
	}
}

// TestFlippedBits damages every byte of a record in the middle in turn: Verify
// says so, its neighbours and what is written later are untouched, and nothing
// is cut off.
func TestFlippedBits(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, Options{})
	first := put(t, s, []byte("first"), "m")
	middle := put(t, s, []byte("in the middle"), "and its meta")
	last := put(t, s, []byte("last"), "m")
	whole, err := os.ReadFile(segFile(dir, last.Segment))
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for at := middle.Offset; at < last.Offset; at++ {
		crashed := copyDir(t, dir)
		b := bytes.Clone(whole)
		b[at] ^= 1 << (at % 8)
		if err := os.WriteFile(segFile(crashed, last.Segment), b, 0o600); err != nil {
			t.Fatal(err)
		}
		r := openStore(t, crashed, Options{})
		wantBody(t, r, first, []byte("first"))
		wantBody(t, r, last, []byte("last"))
		if err := r.Verify(ctx, middle); !errors.Is(err, blob.ErrCorrupt) {
			t.Fatalf("byte %d: Verify: %v", at, err)
		}
		var good, bad int
		err := r.Records(ctx, func(rec Record) error {
			if errors.Is(rec.Err, blob.ErrCorrupt) && rec.From == int64(middle.Offset) && rec.To == int64(last.Offset) {
				bad++
			} else if rec.Err == nil {
				good++
			}
			return nil
		})
		if err != nil || good != 2 || bad != 1 {
			t.Fatalf("byte %d: %d good and %d damaged records, %v", at, good, bad, err)
		}
		more := put(t, r, []byte("more"), "")
		wantBody(t, r, more, []byte("more"))
		after, err := os.ReadFile(segFile(crashed, last.Segment))
		if err != nil || !bytes.HasPrefix(after, b) {
			t.Fatalf("byte %d: the damaged segment was changed", at)
		}
		// Damaged segments stay, whatever is released.
		for _, ref := range []blob.Ref{first, last} {
			_ = r.Release(ref)
		}
		r.SetLive(func(blob.Ref) (bool, error) { return false, nil })
		collect(t, r)
		if _, err := os.Stat(segFile(crashed, last.Segment)); err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		_ = r.Close()
		remove(t, crashed)
	}
}

// TestDamagedLastRecordIsKept flips a bit in the body of the very last record
// after a crash: it was acknowledged, so it must not be taken for a torn tail.
func TestDamagedLastRecordIsKept(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, Options{})
	put(t, s, []byte("first"), "m")
	last := put(t, s, []byte("the last"), "m")
	crashed := copyDir(t, dir)
	name := segFile(crashed, last.Segment)
	b, _ := os.ReadFile(name)
	for _, at := range []int{int(last.Offset) + headerSize + 2, int(last.Offset) + 9} {
		c := bytes.Clone(b)
		c[at] ^= 4
		if err := os.WriteFile(name, c, 0o600); err != nil {
			t.Fatal(err)
		}
		r := openStore(t, crashed, Options{})
		if err := r.Verify(context.Background(), last); !errors.Is(err, blob.ErrCorrupt) {
			t.Errorf("byte %d: %v", at, err)
		}
		_ = r.Close()
	}
}

// TestFakeRecordInBody stores a mail that holds a copy of a segment; behind a
// damaged header the search for the next record must not fall for it.
func TestFakeRecordInBody(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, Options{})
	put(t, s, []byte("x"), "m")
	copied, _ := os.ReadFile(segFile(dir, 1))
	// Place the copy so that a record in it names its own true offset.
	at := len(copied) + headerSize
	h := header{at: place{1, uint32(at)}, nonce: 12345, bodyLen: 1, bodyCRC: checksum([]byte("e"))}
	fake := make([]byte, headerSize, headerSize+1)
	h.encode(fake)
	host := put(t, s, append(fake, 'e'), "m")
	last := put(t, s, []byte("last"), "m")
	crashed := copyDir(t, dir)
	b, _ := os.ReadFile(segFile(crashed, 1))
	b[host.Offset+20] ^= 1
	if err := os.WriteFile(segFile(crashed, 1), b, 0o600); err != nil {
		t.Fatal(err)
	}
	r := openStore(t, crashed, Options{})
	var got []blob.Ref
	_ = r.Records(context.Background(), func(rec Record) error {
		if rec.Err == nil {
			got = append(got, rec.Ref)
		}
		return nil
	})
	if len(got) != 2 || got[1] != last {
		t.Errorf("records: %v", got)
	}
}

// TestDamagedHead reads a segment whose head is damaged by means of its records.
func TestDamagedHead(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, Options{})
	ref := put(t, s, []byte("body"), "m")
	crashed := copyDir(t, dir)
	b, _ := os.ReadFile(segFile(crashed, 1))
	b[5] ^= 1
	if err := os.WriteFile(segFile(crashed, 1), b, 0o600); err != nil {
		t.Fatal(err)
	}
	r := openStore(t, crashed, Options{})
	wantBody(t, r, ref, []byte("body"))
}

// TestFullDisk fills the disk in the middle of commits of both kinds: they fail
// with ErrFull, leave nothing behind, and the store works when there is room.
func TestFullDisk(t *testing.T) {
	for _, size := range []int{3000, 300_000} {
		disk := new(faultfs.Injector)
		dir := t.TempDir()
		s := openStore(t, dir, Options{FS: disk, MemoryLimit: 64 << 10, SegmentSize: 20_000})
		before := put(t, s, []byte("before"), "m")
		for room := int64(0); room < int64(size)+400; room += int64(size)/5 + 1 {
			disk.Room(room)
			if _, err := tryPut(s, pattern(1, size), "meta"); !errors.Is(err, blob.ErrFull) {
				t.Errorf("size %d with room %d: %v", size, room, err)
			}
		}
		disk.Room(-1)
		after := put(t, s, pattern(2, size), "m")
		wantBody(t, s, before, []byte("before"))
		wantBody(t, s, after, pattern(2, size))
		if slices.ContainsFunc(names(t, dir), func(n string) bool { return strings.HasSuffix(n, partSuffix) }) {
			t.Errorf("left behind: %v", names(t, dir))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openStore(t, dir, Options{})
		n := 0
		err := s.Records(context.Background(), func(r Record) error { n++; return r.Err })
		if n != 2 || err != nil {
			t.Errorf("%d records after all, %v", n, err)
		}
	}
}

// TestFullDiskAtRotation runs out of room exactly when a new segment is made.
func TestFullDiskAtRotation(t *testing.T) {
	disk := new(faultfs.Injector)
	s := openStore(t, t.TempDir(), Options{FS: disk, SegmentSize: 4000})
	first := put(t, s, pattern(1, 3000), "m")
	for op := range 6 {
		n := 0
		disk.Fault(func(o faultfs.Op) error {
			switch o.Kind {
			case faultfs.OpSync, faultfs.OpSyncDir, faultfs.OpTruncate, faultfs.OpRemove:
				return nil // these take no room
			}
			if n++; n > op {
				return syscall.EDQUOT
			}
			return nil
		})
		_, err := tryPut(s, pattern(2, 3000), "m")
		if err != nil && !errors.Is(err, blob.ErrFull) {
			t.Errorf("fault at %d: %v", op, err)
		}
		disk.Fault(nil)
		if errors.Is(err, blob.ErrFailed) {
			t.Fatalf("fault at %d failed the store", op)
		}
		ref := put(t, s, pattern(3, 3000), "m")
		wantBody(t, s, ref, pattern(3, 3000))
		wantBody(t, s, first, pattern(1, 3000))
	}
}

// TestFailedSync shows that a failed fsync ends all writing, and no reading.
func TestFailedSync(t *testing.T) {
	for _, size := range []int{100, 300_000} {
		disk := new(faultfs.Injector)
		dir := t.TempDir()
		s := openStore(t, dir, Options{FS: disk, MemoryLimit: 64 << 10})
		before := put(t, s, []byte("before"), "m")
		disk.Fault(faultfs.FailNth(faultfs.OpSync, 1, syscall.EIO))
		if _, err := tryPut(s, pattern(1, size), "m"); !errors.Is(err, blob.ErrFailed) || !errors.Is(err, syscall.EIO) {
			t.Errorf("commit: %v", err)
		}
		if _, err := tryPut(s, []byte("x"), "m"); !errors.Is(err, blob.ErrFailed) {
			t.Errorf("next commit: %v", err)
		}
		if !s.Stats().Failed {
			t.Error("not in the figures")
		}
		wantBody(t, s, before, []byte("before"))
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		s = openStore(t, dir, Options{})
		wantBody(t, s, before, []byte("before"))
		put(t, s, []byte("works again"), "m")
	}
}

// TestNumbersAreNeverUsedAgain deletes the highest segments, and loses the state
// file, between two runs.
func TestNumbersAreNeverUsedAgain(t *testing.T) {
	dir := t.TempDir()
	used := make(map[uint32]bool)
	for round := range 4 {
		s := openStore(t, dir, Options{SegmentSize: 1000})
		var refs []blob.Ref
		for i := range 5 {
			refs = append(refs, put(t, s, pattern(uint64(i), 900), "m"))
		}
		for _, r := range refs {
			if used[r.Segment] {
				t.Fatalf("round %d: segment %d again", round, r.Segment)
			}
			used[r.Segment] = true
			_ = s.Release(r)
		}
		if err := s.sealActive(); err != nil {
			t.Fatal(err)
		}
		collect(t, s)
		if round == 1 {
			put(t, s, []byte("something to tell the height by"), "m")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if round == 1 {
			if err := os.Remove(filepath.Join(dir, stateName)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestNewerFormatIsRefused does not touch what a later version has written.
func TestNewerFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, Options{})
	put(t, s, []byte("x"), "m")
	_ = s.Close()
	b, _ := os.ReadFile(segFile(dir, 1))
	b[12] = version + 1
	le32(b[crcAt:], checksum(b[:crcAt]))
	if err := os.WriteFile(segFile(dir, 1), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(dir, Options{}); !errors.Is(err, errVersion) {
		if err == nil {
			_ = s.Close()
		}
		t.Errorf("open: %v", err)
	}
	after, _ := os.ReadFile(segFile(dir, 1))
	if !bytes.Equal(after, b) {
		t.Error("the file was changed")
	}
}

func le32(b []byte, n uint32) { b[0], b[1], b[2], b[3] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24) }
