package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"posthouse/internal/faultfs"
)

// The names in the directory of a store.
const (
	segSuffix  = ".seg"
	fwdSuffix  = ".fwd"
	deadSuffix = ".dead"
	partSuffix = ".part"
	tmpSuffix  = ".tmp"
	stateName  = "state"
	lockName   = "lock"
)

func fileName(segment uint32, suffix string) string { return fmt.Sprintf("%08x%s", segment, suffix) }

// parseName takes a name apart that fileName made.
func parseName(name string) (segment uint32, suffix string, ok bool) {
	hex, suffix, ok := strings.Cut(name, ".")
	if !ok || len(hex) != 8 {
		return 0, "", false
	}
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil || n == 0 {
		return 0, "", false
	}
	return uint32(n), "." + suffix, true
}

// state is the small file that outlives deleted segments: numbers are given out
// once, even when the highest segment is gone. It is written before a number
// beyond reserved is used, a block of numbers at a time.
type state struct {
	reserved uint32 // no number at or above was ever used
	active   uint32 // no log segment below is without its trailer
	clean    int64  // size of the active segment at a clean end; 0 after others
}

// Numbers are reserved in blocks; after the loss of the state file a gap of
// lostBlock is left above the highest number in sight.
const (
	reserveBlock = 64
	lostBlock    = 4096
)

const (
	stateSize  = 40
	stateMagic = 0x0154415453534850 // "PHSSTAT\x01"
)

// orderly reports whether Close wrote the file.
func (st *state) orderly() bool { return st.clean > 0 || st.active != 0 && st.active == st.reserved }

func (st *state) encode() []byte {
	b := make([]byte, stateSize)
	le := binary.LittleEndian
	le.PutUint64(b, stateMagic)
	le.PutUint32(b[8:], st.reserved)
	le.PutUint32(b[12:], st.active)
	le.PutUint64(b[16:], uint64(st.clean))
	le.PutUint32(b[stateSize-4:], checksum(b[:stateSize-4]))
	return b
}

func parseState(b []byte) (state, bool) {
	le := binary.LittleEndian
	if len(b) != stateSize || le.Uint64(b) != stateMagic || le.Uint32(b[stateSize-4:]) != checksum(b[:stateSize-4]) {
		return state{}, false
	}
	return state{reserved: le.Uint32(b[8:]), active: le.Uint32(b[12:]), clean: int64(le.Uint64(b[16:]))}, true
}

// readFile reads a whole file of at most max bytes.
func readFile(fsys faultfs.FS, name string, max int64) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	n, err := f.Size()
	if err != nil {
		return nil, err
	}
	if n > max {
		return nil, fmt.Errorf("segment: %s is too large (%d bytes)", name, n)
	}
	b := make([]byte, n)
	got, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:got], nil
}

// writeTemp writes name.tmp durably; a rename makes it name.
func writeTemp(fsys faultfs.FS, name string, b []byte) error {
	f, err := fsys.OpenFile(name+tmpSuffix, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(b, 0); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// writeDurably replaces a file as one step and returns when it is on disk.
func writeDurably(fsys faultfs.FS, name string, b []byte) error {
	err := writeTemp(fsys, name, b)
	if err == nil {
		err = fsys.Rename(name+tmpSuffix, name)
	}
	if err == nil {
		err = fsys.SyncDir(filepath.Dir(name))
	}
	if err != nil {
		_ = fsys.Remove(name + tmpSuffix)
	}
	return err
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

// readState reads the state file; ok is false when there is none to trust.
func (s *Store) readState() (st state, ok bool, err error) {
	b, err := readFile(s.fs, s.path(stateName), 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, false, nil
	}
	if err != nil {
		return state{}, false, err
	}
	st, ok = parseState(b)
	return st, ok, nil
}

// allocate gives out a segment number. The caller holds numbers.
func (s *Store) allocate() (uint32, error) {
	if s.next == ^uint32(0) {
		return 0, errors.New("segment: out of segment numbers")
	}
	if s.next >= s.reserved {
		s.mu.Lock()
		active := s.next
		if s.active != nil {
			active = s.active.num
		}
		s.mu.Unlock()
		st := state{reserved: s.next + min(reserveBlock, ^uint32(0)-s.next), active: active}
		if err := writeDurably(s.fs, s.path(stateName), st.encode()); err != nil {
			return 0, err
		}
		s.reserved = st.reserved
	}
	n := s.next
	s.next++
	return n, nil
}
