package segment

import (
	"os"

	"posthouse/internal/blob"
)

// One group is what one pwritev and one fdatasync carry.
const (
	maxGroup      = 512
	maxGroupBytes = 8 << 20
)

// request is a record on its way to the appender, or the wish to seal the
// active segment.
type request struct {
	h      header
	raw    [headerSize]byte
	chunks [][]byte
	meta   []byte
	seal   bool
	done   chan error // holds one
}

// request takes one from the pool.
func (s *Store) request() *request {
	if r, ok := s.requests.Get().(*request); ok {
		return r
	}
	return &request{done: make(chan error, 1)}
}

// commit hands a record to the appender and waits until it is durable.
func (s *Store) commit(h *header, chunks [][]byte, meta []byte) (blob.Ref, error) {
	r := s.request()
	r.h, r.chunks, r.meta, r.seal = *h, chunks, meta, false
	s.queue <- r
	err := <-r.done
	*h = r.h
	r.chunks, r.meta = nil, nil
	s.requests.Put(r)
	if err != nil {
		return blob.Ref{}, err
	}
	return h.ref(), nil
}

// sealActive closes the active segment for good, so that it can be collected.
func (s *Store) sealActive() error {
	r := &request{seal: true, done: make(chan error, 1)}
	s.queue <- r
	return <-r.done
}

// appendLoop owns the active segment. It writes whatever waits as one group;
// while the disk syncs, the next group gathers in the queue.
func (s *Store) appendLoop() {
	defer s.owned.Done()
	a := &appender{s: s}
	for r := range s.queue {
		if r.seal {
			r.done <- a.seal()
			continue
		}
		a.collect(r)
		err := a.write()
		for _, r := range a.group {
			r.done <- err
		}
		clear(a.group)
		if a.sealAfter != nil {
			a.sealAfter.done <- a.seal()
			a.sealAfter = nil
		}
	}
	a.close()
}

// appender is the state of appendLoop.
type appender struct {
	s         *Store
	file      *handle // of s.active
	group     []*request
	bytes     int64
	bufs      [][]byte
	sealAfter *request
}

// collect makes a group of first and all that waits behind it.
func (a *appender) collect(first *request) {
	a.group = append(a.group[:0], first)
	a.bytes = first.h.size()
	for len(a.group) < maxGroup && a.bytes < maxGroupBytes {
		select {
		case r, ok := <-a.s.queue:
			if !ok {
				return
			}
			if r.seal {
				a.sealAfter = r
				return
			}
			a.group = append(a.group, r)
			a.bytes += r.h.size()
		default:
			return
		}
	}
}

// write makes the group durable, or leaves no trace of it.
func (a *appender) write() error {
	s := a.s
	if err := s.failure(); err != nil {
		return err
	}
	if err := a.room(); err != nil {
		return err
	}
	start := s.active.size // only this goroutine changes it
	off := start
	a.bufs = a.bufs[:0]
	for _, r := range a.group {
		r.h.at, r.h.nonce = place{s.active.num, uint32(off)}, a.file.nonce
		r.h.encode(r.raw[:])
		a.bufs = append(a.bufs, r.raw[:])
		a.bufs = append(a.bufs, r.chunks...)
		if len(r.meta) > 0 {
			a.bufs = append(a.bufs, r.meta)
		}
		off += r.h.size()
	}
	_, err := a.file.WritevAt(a.bufs, start)
	clear(a.bufs)
	if err != nil {
		return a.undo(start, err)
	}
	if err := s.sync(a.file); err != nil {
		return err
	}
	s.mu.Lock()
	s.active.size = off
	s.active.count += int64(len(a.group))
	s.active.quiet = s.opt.Clock.Now()
	s.mu.Unlock()
	s.stats.commits.Add(int64(len(a.group)))
	return nil
}

// undo cuts a failed write off again. When even that fails the store has
// failed, since the tail is not what it should be.
func (a *appender) undo(size int64, cause error) error {
	if err := a.file.Truncate(size); err != nil {
		return a.s.fail(err)
	}
	return storageError(cause)
}

// room makes sure that there is an active segment with room for the group.
func (a *appender) room() error {
	s := a.s
	if s.active != nil && a.file == nil {
		f, err := s.files.acquire(s.active.num)
		if err != nil {
			return storageError(err)
		}
		a.file = f
	}
	if s.active != nil && s.active.size > headSize && s.active.size+a.bytes > s.opt.SegmentSize {
		if err := a.seal(); err != nil {
			return err
		}
	}
	if s.active == nil {
		return a.open()
	}
	return nil
}

// seal writes the trailer of the active segment. After it there is none.
func (a *appender) seal() error {
	s := a.s
	if s.active == nil {
		return nil
	}
	if err := s.failure(); err != nil {
		return err
	}
	if a.file == nil {
		f, err := s.files.acquire(s.active.num)
		if err != nil {
			return storageError(err)
		}
		a.file = f
	}
	var t [trailerSize]byte
	(&trailer{nonce: a.file.nonce, count: s.active.count}).encode(t[:])
	if _, err := a.file.WriteAt(t[:], s.active.size); err != nil {
		return a.undo(s.active.size, err)
	}
	if err := s.sync(a.file); err != nil {
		return err
	}
	s.mu.Lock()
	s.active.size += trailerSize
	s.active.sealed = true
	s.active = nil
	s.mu.Unlock()
	a.file.release()
	a.file = nil
	s.kickGC()
	return nil
}

// open begins a new active segment. Its name is durable before it is used.
func (a *appender) open() error {
	s := a.s
	// Held until the segment is the active one, so that no state file is written
	// meanwhile that calls it sealed.
	s.numbers.Lock()
	defer s.numbers.Unlock()
	num, err := s.allocate()
	if err != nil {
		return storageError(err)
	}
	name := s.path(fileName(num, segSuffix))
	f, err := s.fs.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return storageError(err)
	}
	now := s.opt.Clock.Now()
	h := head{segment: num, nonce: newNonce(), created: now.UnixNano()}
	var b [headSize]byte
	h.encode(b[:])
	if _, err := f.WriteAt(b[:], 0); err != nil {
		_ = f.Close()
		_ = s.fs.Remove(name)
		return storageError(err)
	}
	err = s.sync(f)
	if err == nil {
		err = s.syncDir()
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	a.file = s.files.adopt(num, h.nonce, f)
	s.mu.Lock()
	s.active = &segment{num: num, size: headSize, deadLoaded: true, quiet: now}
	s.segs[num] = s.active
	s.mu.Unlock()
	return nil
}

func (a *appender) close() {
	if a.file != nil {
		a.file.release()
		a.file = nil
	}
}
