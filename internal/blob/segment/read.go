package segment

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"sync/atomic"

	"posthouse/internal/blob"
	"posthouse/internal/faultfs"
)

// body reads one record's body from a shared file.
type body struct {
	store   *Store
	file    *handle
	base    int64
	header  header
	closed  atomic.Bool
	proof   proof
	damaged atomic.Bool // its checksum differs
}

// Open opens a body for reading. It answers blob.ErrNotFound, or
// blob.ErrCorrupt when the record's header is damaged or the file ends within the
// body; the bytes of the body itself are checked when all of them have been read
// (blob.Check), and by Verify.
func (s *Store) Open(ref blob.Ref) (blob.Body, error) {
	b, err := s.open(ref)
	if err != nil {
		if errors.Is(err, blob.ErrNotFound) || errors.Is(err, blob.ErrCorrupt) {
			s.stats.damaged.Add(1)
		}
		return nil, err
	}
	return b, nil
}

func (s *Store) open(ref blob.Ref) (*body, error) {
	f, h, err := s.find(ref)
	if err != nil {
		return nil, err
	}
	if err := reaches(f, &h); err != nil { // now, not in the middle of what a client is told the length of
		f.release()
		return nil, err
	}
	return &body{store: s, file: f, base: int64(h.at.offset) + headerSize, header: h}, nil
}

// reaches is nil when the file does not end before the body does.
func reaches(f *handle, h *header) error {
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	if size < int64(h.at.offset)+headerSize+int64(h.bodyLen) {
		return fmt.Errorf("%w: the file ends within it", blob.ErrCorrupt)
	}
	return nil
}

// find follows ref to its record. The caller releases the handle.
func (s *Store) find(ref blob.Ref) (*handle, header, error) {
	for {
		moves := s.moves.Load()
		f, h, err := s.findOnce(ref)
		if err == nil || s.moves.Load() == moves {
			return f, h, err
		}
		// The collector moved something meanwhile: look again.
	}
}

func (s *Store) findOnce(ref blob.Ref) (*handle, header, error) {
	if ref.Segment == 0 || ref.Offset < headSize {
		return nil, header{}, blob.ErrNotFound
	}
	at, err := s.fwd.resolve(place{ref.Segment, ref.Offset})
	if err != nil {
		return nil, header{}, err
	}
	f, err := s.files.acquire(at.segment)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, header{}, blob.ErrNotFound
	}
	if err != nil {
		return nil, header{}, err
	}
	h, err := readHeader(f, at, f.nonce)
	if err == nil && h.ref() != ref {
		err = blob.ErrNotFound
	}
	if err != nil {
		f.release()
		return nil, header{}, err
	}
	return f, h, nil
}

// readHeader reads the header at a place: blob.ErrNotFound beyond the end of
// the file, blob.ErrCorrupt for a damaged one.
func readHeader(f io.ReaderAt, at place, nonce uint64) (header, error) {
	var b [headerSize]byte
	n, err := f.ReadAt(b[:], int64(at.offset))
	if n < headerSize {
		if err == io.EOF {
			return header{}, blob.ErrNotFound
		}
		return header{}, fmt.Errorf("segment: %w", err)
	}
	h, err := parseHeader(b[:], at, nonce)
	if err != nil {
		return header{}, fmt.Errorf("%w: %w at %08x/%d", blob.ErrCorrupt, err, at.segment, at.offset)
	}
	return h, nil
}

// Size is the length of the body.
func (b *body) Size() int64 { return int64(b.header.bodyLen) }

// Check is for blob.Check.
func (b *body) Check() error {
	if b.damaged.Load() {
		return fmt.Errorf("%w: the checksum of %s differs", blob.ErrCorrupt, b.header.ref())
	}
	return nil
}

// ReadAt reads a range of the body and nothing else.
func (b *body) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("segment: negative offset")
	}
	if b.closed.Load() {
		return 0, fs.ErrClosed
	}
	size := b.Size()
	if off >= size {
		return 0, io.EOF
	}
	short := int64(len(p)) > size-off
	if short {
		p = p[:size-off]
	}
	n, err := b.file.ReadAt(p, b.base+off)
	if sum, all := b.proof.add(p[:n], off, size); all && sum != b.header.bodyCRC {
		b.damaged.Store(true)
		b.store.stats.damaged.Add(1)
	}
	switch {
	case n == len(p) && short:
		return n, io.EOF
	case n == len(p):
		return n, nil
	case err == io.EOF:
		return n, fmt.Errorf("%w: the file ends within it", blob.ErrCorrupt)
	default:
		return n, fmt.Errorf("segment: %w", err)
	}
}

// Close gives the file back. A second Close does nothing.
func (b *body) Close() error {
	if !b.closed.Swap(true) {
		b.file.release()
	}
	return nil
}

// Verify reads the whole record of ref and compares its checksums. It answers
// blob.ErrNotFound or blob.ErrCorrupt.
func (s *Store) Verify(ctx context.Context, ref blob.Ref) error {
	f, h, err := s.find(ref)
	if err != nil {
		return err
	}
	defer f.release()
	return verifyRecord(ctx, f, &h)
}

// verifyRecord checks the body and the meta behind h.
func verifyRecord(ctx context.Context, f io.ReaderAt, h *header) error {
	at := int64(h.at.offset) + headerSize
	if err := verifyRange(ctx, f, at, int64(h.bodyLen), h.bodyCRC); err != nil {
		return fmt.Errorf("body of record %08x/%d: %w", h.at.segment, h.at.offset, err)
	}
	if err := verifyRange(ctx, f, at+int64(h.bodyLen), int64(h.metaLen), h.metaCRC); err != nil {
		return fmt.Errorf("meta of record %08x/%d: %w", h.at.segment, h.at.offset, err)
	}
	return nil
}

func verifyRange(ctx context.Context, f io.ReaderAt, off, n int64, want uint32) error {
	chunk := newChunk(false)
	defer freeChunk(chunk)
	buf := chunk[:cap(chunk)]
	var crc uint32
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := buf[:min(int64(len(buf)), n)]
		got, err := f.ReadAt(p, off)
		if got < len(p) {
			if err == io.EOF {
				return fmt.Errorf("%w: the file ends within it", blob.ErrCorrupt)
			}
			return fmt.Errorf("segment: %w", err)
		}
		crc = crc32.Update(crc, castagnoli, p)
		off += int64(got)
		n -= int64(got)
	}
	if crc != want {
		return fmt.Errorf("%w: checksum differs", blob.ErrCorrupt)
	}
	return nil
}

// readNonce finds the nonce of a segment file in its head or, when that is
// damaged, in its first record.
func readNonce(f faultfs.File, num uint32) (uint64, error) {
	var b [headSize + headerSize]byte
	n, err := f.ReadAt(b[:], 0)
	if err != nil && err != io.EOF {
		return 0, fmt.Errorf("segment: %w", err)
	}
	h, err := parseHead(b[:min(n, headSize)], num)
	if err == nil {
		return h.nonce, nil
	}
	if errors.Is(err, errVersion) {
		return 0, err
	}
	if n == len(b) {
		// The header's own checksum vouches for the nonce that it names.
		nonce := headerNonce(b[headSize:])
		if _, err := parseHeader(b[headSize:], place{num, headSize}, nonce); err == nil {
			return nonce, nil
		}
	}
	return 0, fmt.Errorf("%w: the head of segment %08x", blob.ErrCorrupt, num)
}
