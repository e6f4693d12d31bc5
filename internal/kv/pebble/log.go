package pebble

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// logger carries Pebble's messages to slog, and its fatal ones to the failure
// of the store.
type logger struct {
	log *slog.Logger
	f   *failure
	p   *patience
}

func (l logger) Infof(format string, args ...any) {
	l.log.Debug(fmt.Sprintf(format, args...))
}

func (l logger) Errorf(format string, args ...any) {
	l.log.Error(fmt.Sprintf(format, args...))
}

// Fatalf is called when a commit or a change of the MANIFEST failed. Pebble expects the process to end here. It need not: every caller goes
// on to return an error or, after a failed commit, returns as if nothing
// happened, which is why the store asks for failure.err after each write. What
// this store must not do is acknowledge anything from here on, and it does not.
func (l logger) Fatalf(format string, args ...any) {
	msg := fmt.Sprintf(format, args...)
	err := errors.New(msg)
	for _, a := range args {
		if cause, ok := a.(error); ok {
			err = fmt.Errorf("pebble: %w", cause)
		}
	}
	l.log.Error("store failed", "err", msg)
	l.f.fail(err)
}

// events makes the store fail on background errors, which Pebble would retry
// without end. A full disk is borne where patience is. Errors are logged as text:
// Pebble's print the stack otherwise.
func (l logger) events() *pebble.EventListener {
	e := &pebble.EventListener{
		BackgroundError: func(err error) {
			if l.p.bears(err) {
				l.log.Warn("store: no room on the disk to rewrite the index; it is tried again later", "err", err.Error())
				return
			}
			if l.f.err() != nil {
				// Pebble tries again at once; slow it down until the process ends.
				time.Sleep(50 * time.Millisecond)
				return
			}
			l.log.Error("store failed", "err", err.Error())
			l.f.fail(damage(fmt.Errorf("pebble: background: %w", err)))
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			l.log.Error("store: corrupt data", "path", info.Path, "err", info.Details.Error())
			l.f.fail(fmt.Errorf("%w: pebble: %s: %w", ErrDamaged, info.Path, info.Details))
		},
		DiskSlow: func(info pebble.DiskSlowInfo) {
			l.log.Warn("store: slow disk", "event", info.String())
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			l.log.Warn("store: writes stall", "reason", info.Reason)
		},
	}
	e.EnsureDefaults(l)
	return e
}
