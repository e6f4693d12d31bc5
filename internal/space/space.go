// Package space keeps a part of the disk back. When a disk fills, new mail is
// refused first, while there is still room for what makes room again and for
// what must not be lost: flags and expunges, outcomes and reports, the engine of
// the index.
package space

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"posthouse/internal/clock"
	"posthouse/internal/faultfs"
)

// ErrFull means that the disk has no room. Nothing was stored, and the store
// goes on working when there is room again.
var ErrFull = errors.New("no space left on the disk")

// Use is what room is wanted for.
type Use int

const (
	// Mail is bodies of new mail. It leaves the whole reserve alone.
	Mail Use = iota
	// Copies is what people add to the index without a body. It leaves half of
	// the reserve.
	Copies
	// Index is all other changes of the index, and bodies that the house itself
	// writes. It leaves a quarter, with which the index's engine works: it
	// rewrites its files before it removes the old ones.
	Index
	// Clearing is what makes room in the end: the flag \Deleted, expunges, and
	// dropping what was expunged. It leaves an eighth. See For.
	Clearing

	// Uses is how many there are.
	Uses
)

// String is the name of u in metrics.
func (u Use) String() string { return [Uses]string{"mail", "copies", "index", "clearing"}[u] }

type useKey struct{}

// For marks what is done in a context as a use of room.
func For(ctx context.Context, use Use) context.Context {
	return context.WithValue(ctx, useKey{}, use)
}

// UseOf is what For said, else Index.
func UseOf(ctx context.Context) Use {
	if use, ok := ctx.Value(useKey{}).(Use); ok {
		return use
	}
	return Index
}

// Auto is an Options.Reserve: what AutoReserve says of the file system.
const Auto = -1

// maxAuto is what the index's engine can use at a time, twice: four logs and four
// tables of 16 MB, and a rewriting. Of a smaller reserve they are smaller.
const maxAuto = 256 << 20

// AutoReserve is the reserve of a file system of total bytes: a twentieth, at most
// 256 MB.
func AutoReserve(total int64) int64 { return min(maxAuto, total/20) }

// goodFor is how long an answer of the file system is believed.
const goodFor = time.Second

// Options of a Reserve. Dirs is needed.
type Options struct {
	FS      faultfs.FS   // default: the machine's
	Clock   clock.Clock  // default: the system's
	Log     *slog.Logger // default: nothing is logged
	Dirs    []string     // on the file systems that are watched; the fullest counts
	Reserve int64        // bytes of each; 0 is none; Auto
	Ballast string       // a file in the first of Dirs or beside it; "": none, see Load
}

// Reserve watches the free space. Safe for concurrent use. A nil *Reserve has
// room for everything.
type Reserve struct {
	opt Options

	mu      sync.Mutex
	asked   time.Time
	free    int64 // when asked, less what was written since
	keep    int64
	taken   int64 // bytes that are being written
	low     bool  // new mail is refused
	blind   bool  // the file system did not answer
	loaded  bool  // there is a ballast, or there cannot be
	refused [Uses]int64
}

// New makes a Reserve. The file system is asked when somebody wants to know.
func New(opt Options) *Reserve {
	if opt.FS == nil {
		opt.FS = faultfs.OS{}
	}
	if opt.Clock == nil {
		opt.Clock = clock.System{}
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return &Reserve{opt: opt}
}

// off reports whether nothing is ever refused.
func (r *Reserve) off() bool { return r == nil || r.opt.Reserve == 0 }

// Fits is nil when there is room for n more bytes, else it wraps ErrFull and
// counts as a refusal. It is cheap: the file system is asked once a second.
func (r *Reserve) Fits(use Use, n int64) error {
	if r.off() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fits(use, n)
}

// Has is Fits for who can wait: it counts nothing.
func (r *Reserve) Has(use Use, n int64) bool {
	if r.off() {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.look()
	return r.has(use, n)
}

// Take sets n bytes aside for a write, or answers as Fits does. The caller calls
// Give when the write is over.
func (r *Reserve) Take(use Use, n int64) error {
	if r.off() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.fits(use, n); err != nil {
		return err
	}
	r.taken += n
	return nil
}

// Give ends a Take of n bytes. They count as written until the file system is
// asked again.
func (r *Reserve) Give(n int64) {
	if r.off() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken -= n
	r.free -= n
}

// Low is nil while new mail is taken, else it wraps ErrFull and says how things
// are. It counts nothing.
func (r *Reserve) Low() error {
	if r.off() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.look()
	if r.low {
		return r.full()
	}
	return nil
}

// Figures are for monitoring.
type Figures struct {
	Free    int64 // bytes; of the fullest file system
	Reserve int64 // bytes kept back of it
	Low     bool  // new mail is refused
	Refused map[Use]int64
}

// Figures reads them.
func (r *Reserve) Figures() Figures {
	if r == nil {
		return Figures{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.look()
	f := Figures{Free: max(0, r.free-r.taken), Reserve: r.keep, Low: r.low, Refused: make(map[Use]int64)}
	for u := range Uses {
		f.Refused[u] = r.refused[u]
	}
	return f
}

// fits judges n bytes. Under r.mu.
func (r *Reserve) fits(use Use, n int64) error {
	r.look()
	if r.has(use, n) {
		return nil
	}
	if use == Mail && r.free-r.taken-min(n, r.margin()) < r.keep {
		r.note(true)
	}
	r.refused[use]++
	return r.full()
}

func (r *Reserve) has(use Use, n int64) bool {
	return r.free-r.taken-n >= r.keep>>use && (use != Mail || !r.low)
}

// margin is how much must be free beyond the reserve before mail is taken again,
// and how much a message may lack without stopping smaller ones: so that one that
// comes when the disk is about full does not turn the tap on and off.
func (r *Reserve) margin() int64 { return r.keep / 8 }

func (r *Reserve) full() error {
	return fmt.Errorf("%w: %d bytes are free, %d of them kept for the index", ErrFull, max(0, r.free), r.keep)
}

// look asks the file systems when the last answer is too old. Under r.mu.
func (r *Reserve) look() {
	now := r.opt.Clock.Now()
	if !r.asked.IsZero() && now.Sub(r.asked) < goodFor && !now.Before(r.asked) {
		return
	}
	r.asked = now
	if err := r.ask(); err != nil {
		// Nothing is refused then: the disk itself says when it is full.
		r.free, r.keep = 1<<62, 0
		if !r.blind {
			r.opt.Log.Warn("cannot read the free space of the disk: no reserve is kept", "err", err)
		}
		r.blind = true
	} else {
		r.blind = false
	}
	switch left := r.free - r.taken; {
	case left < r.keep:
		r.note(true)
	case left >= r.keep+r.margin():
		r.note(false)
	}
}

func (r *Reserve) ask() error {
	first := true
	for _, dir := range r.opt.Dirs {
		free, total, err := r.opt.FS.Space(dir)
		if err != nil {
			return err
		}
		keep := r.opt.Reserve
		if keep < 0 {
			keep = AutoReserve(total)
		}
		if first || free-keep < r.free-r.keep {
			r.free, r.keep, first = free, keep, false
		}
	}
	return nil
}

// note logs when refusing begins and ends. Under r.mu.
func (r *Reserve) note(low bool) {
	if r.low == low {
		return
	}
	r.low = low
	if low {
		r.opt.Log.Warn("no room for new mail: what is free on the disk is kept for the index", "free", r.free, "reserve", r.keep)
		return
	}
	r.opt.Log.Info("there is room for new mail again", "free", r.free, "reserve", r.keep)
}
