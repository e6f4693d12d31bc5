package space

import (
	"errors"
	"io/fs"
)

// A ballast is a file that holds room on a disk that other programs fill to the
// last block: enough to open the index, which a house cannot start without. It is
// thrown overboard at such a start and made again when there is plenty of room.

// maxBallast is what opening the index takes at most, after a crash, in bytes.
const maxBallast = 32 << 20

// weight is the size of the ballast. Under r.mu.
func (r *Reserve) weight() int64 { return min(maxBallast, r.keep/4) }

// Jettison removes the ballast when what is free is less than what it holds. It
// reports whether it did. Call it before the stores are opened.
func (r *Reserve) Jettison() bool {
	if r.off() || r.opt.Ballast == "" {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.look()
	if r.free >= r.weight() {
		return false
	}
	if err := r.opt.FS.Remove(r.opt.Ballast); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			r.opt.Log.Warn("the disk is full, and its ballast cannot be removed", "err", err)
		}
		return false
	}
	r.opt.Log.Warn("the disk is full: started with the room of the ballast", "free", r.free, "ballast", r.opt.Ballast)
	r.asked = r.asked.Add(-goodFor)
	return true
}

// Load makes the ballast when it is not there and the reserve is whole without it.
// A file system that cannot set room aside goes without.
func (r *Reserve) Load() {
	if r.off() || r.opt.Ballast == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.look()
	if r.loaded || r.free-r.taken-r.weight() < r.keep+r.margin() {
		return
	}
	err := r.opt.FS.Allocate(r.opt.Ballast, r.weight())
	switch {
	case err == nil:
		r.free -= r.weight()
	case errors.Is(err, fs.ErrExist):
	case errors.Is(err, errors.ErrUnsupported):
		r.opt.Log.Debug("no ballast on this file system", "err", err)
	default:
		r.opt.Log.Warn("the ballast cannot be made", "ballast", r.opt.Ballast, "err", err)
		return
	}
	r.loaded = true
}
