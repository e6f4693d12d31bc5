package segment

import (
	"context"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"

	"posthouse/internal/blob"
	"posthouse/internal/faultfs"
	"posthouse/internal/space"
)

// Bodies in memory lie in chunks from two pools: one small chunk holds the
// usual message, large ones follow. Nothing is copied as a body grows.
const (
	smallChunk = 16 << 10
	largeChunk = 64 << 10
)

var (
	smallPool = sync.Pool{New: func() any { return new([smallChunk]byte) }}
	largePool = sync.Pool{New: func() any { return new([largeChunk]byte) }}
)

func newChunk(first bool) []byte {
	if first {
		return smallPool.Get().(*[smallChunk]byte)[:0]
	}
	return largePool.Get().(*[largeChunk]byte)[:0]
}

func freeChunk(b []byte) {
	switch cap(b) {
	case smallChunk:
		smallPool.Put((*[smallChunk]byte)(b[:smallChunk]))
	case largeChunk:
		largePool.Put((*[largeChunk]byte)(b[:largeChunk]))
	}
}

// writer takes one body: into memory up to the limit, beyond it into a file of
// its own.
type writer struct {
	s      *Store
	use    space.Use
	size   int64
	crc    uint32
	chunks [][]byte
	room   [4][]byte // first backing of chunks

	part *partFile // when the body is in a file
	err  error     // of an earlier Write
	done bool
}

// partFile is a body that grows in its own file, which becomes a segment.
type partFile struct {
	f    faultfs.File
	name string
	off  int64 // of the next byte
}

// Create begins a body.
func (s *Store) Create(ctx context.Context) (blob.Writer, error) { return s.create(ctx, space.Mail) }

// CreateOwn begins a body of the house itself.
func (s *Store) CreateOwn(ctx context.Context) (blob.Writer, error) {
	return s.create(ctx, space.Index)
}

func (s *Store) create(ctx context.Context, use space.Use) (blob.Writer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.writable(); err != nil {
		return nil, err
	}
	if err := s.opt.Space.Fits(use, 0); err != nil {
		return nil, err
	}
	w := &writer{s: s, use: use}
	w.chunks = w.room[:0]
	return w, nil
}

// Size is the number of bytes written so far.
func (w *writer) Size() int64 { return w.size }

// Write adds p to the body. An error ends the body: Commit repeats it.
func (w *writer) Write(p []byte) (int, error) {
	if w.done {
		return 0, errDone
	}
	if w.err != nil {
		return 0, w.err
	}
	n := 0
	for n < len(p) {
		if len(w.chunks) == 0 {
			w.chunks = append(w.chunks, newChunk(w.part == nil && w.size == 0))
		}
		last := &w.chunks[len(w.chunks)-1]
		if len(*last) == cap(*last) {
			if w.part != nil || w.size >= w.s.opt.MemoryLimit {
				if w.err = w.flush(); w.err != nil {
					return n, w.err
				}
			} else {
				w.chunks = append(w.chunks, newChunk(false))
			}
			last = &w.chunks[len(w.chunks)-1]
		}
		m := min(cap(*last)-len(*last), len(p)-n)
		*last = append(*last, p[n:n+m]...)
		w.crc = crc32.Update(w.crc, castagnoli, p[n:n+m])
		w.size += int64(m)
		n += m
	}
	return n, nil
}

// flush writes the chunks to the part file and keeps one of them, empty.
func (w *writer) flush() error {
	bytes := int64(0)
	for _, c := range w.chunks {
		bytes += int64(len(c))
	}
	if err := w.s.opt.Space.Take(w.use, bytes); err != nil {
		return err
	}
	defer w.s.opt.Space.Give(bytes)
	if w.part == nil {
		name := filepath.Join(w.s.dir, fmt.Sprintf("tmp-%x%s", w.s.parts.Add(1), partSuffix))
		f, err := w.s.fs.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if err != nil {
			return storageError(err)
		}
		w.part = &partFile{f: f, name: name, off: headSize + headerSize}
	}
	n, err := w.part.f.WritevAt(w.chunks, w.part.off)
	if err != nil {
		return storageError(err)
	}
	w.part.off += int64(n)
	for _, c := range w.chunks[1:] {
		freeChunk(c)
	}
	if cap(w.chunks[0]) == smallChunk {
		freeChunk(w.chunks[0])
		w.chunks[0] = newChunk(false)
	}
	w.chunks = append(w.chunks[:0], w.chunks[0][:0])
	return nil
}

// Abort drops the body.
func (w *writer) Abort() {
	if w.done {
		return
	}
	w.done = true
	w.free()
	if w.part != nil {
		_ = w.part.f.Close()
		_ = w.s.fs.Remove(w.part.name)
		w.part = nil
	}
}

func (w *writer) free() {
	for i, c := range w.chunks {
		freeChunk(c)
		w.chunks[i] = nil
	}
	w.chunks = nil
}

// Commit makes the body durable and names it.
func (w *writer) Commit(ctx context.Context, meta []byte) (blob.Ref, error) {
	if w.done {
		return blob.Ref{}, errDone
	}
	defer w.Abort()
	if w.err != nil {
		return blob.Ref{}, w.err
	}
	if err := ctx.Err(); err != nil {
		return blob.Ref{}, err
	}
	if len(meta) > blob.MaxMeta {
		return blob.Ref{}, fmt.Errorf("segment: meta of %d bytes is over the limit", len(meta))
	}
	if err := w.s.begin(); err != nil {
		return blob.Ref{}, err
	}
	defer w.s.inflight.Done()
	h := header{
		bodyLen: uint64(w.size), bodyCRC: w.crc,
		metaLen: uint32(len(meta)), metaCRC: checksum(meta),
		created: w.s.opt.Clock.Now().UnixNano(),
	}
	if w.part == nil && w.size <= w.s.opt.MemoryLimit {
		if err := w.s.opt.Space.Take(w.use, h.size()); err != nil {
			return blob.Ref{}, err
		}
		defer w.s.opt.Space.Give(h.size())
		return w.s.commit(&h, w.chunks, meta)
	}
	if err := w.flush(); err != nil {
		return blob.Ref{}, err
	}
	ref, err := w.s.commitPart(&h, w.part, meta)
	if err == nil {
		w.part = nil // it is a segment now
	}
	return ref, err
}

// commitPart finishes a part file: head, header, meta and trailer, one fsync,
// and its name. A failed fsync fails the store.
func (s *Store) commitPart(h *header, p *partFile, meta []byte) (blob.Ref, error) {
	s.numbers.Lock()
	num, err := s.allocate()
	s.numbers.Unlock()
	if err != nil {
		return blob.Ref{}, storageError(err)
	}
	nonce := newNonce()
	h.at, h.nonce = place{num, headSize}, nonce
	var front [headSize + headerSize]byte
	(&head{segment: num, nonce: nonce, created: h.created}).encode(front[:])
	h.encode(front[headSize:])
	var tail [trailerSize]byte
	(&trailer{nonce: nonce, count: 1}).encode(tail[:])
	if _, err := p.f.WriteAt(front[:], 0); err != nil {
		return blob.Ref{}, storageError(err)
	}
	if _, err := p.f.WritevAt([][]byte{meta, tail[:]}, p.off); err != nil {
		return blob.Ref{}, storageError(err)
	}
	if err := s.sync(p.f); err != nil {
		return blob.Ref{}, err
	}
	name := s.path(fileName(num, segSuffix))
	if err := s.fs.Rename(p.name, name); err != nil {
		return blob.Ref{}, storageError(err)
	}
	if err := s.syncDir(); err != nil {
		_ = p.f.Close()
		return blob.Ref{}, err
	}
	s.files.adopt(num, nonce, p.f).release()
	s.mu.Lock()
	s.segs[num] = &segment{
		num: num, sealed: true, size: headSize + h.size() + trailerSize, count: 1, deadLoaded: true,
		quiet: s.opt.Clock.Now(),
	}
	s.mu.Unlock()
	return h.ref(), nil
}
