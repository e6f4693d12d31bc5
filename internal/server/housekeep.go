package server

import (
	"context"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/blob/refs"
	"posthouse/internal/kv"
	"posthouse/internal/suppress"
)

// auditEvery is after how many hours the space is looked for of bodies that nothing
// refers to and nobody released; the first time is an hour after the start.
const auditEvery = 24

// housekeep drops old journal entries and suppressions, once an hour.
func (s *Server) housekeep(ctx context.Context) {
	for hours := 0; ; hours++ {
		t := s.ground.clock.NewTimer(time.Hour)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case now := <-t.C():
			if err := s.ground.journal.Expire(ctx, now.Add(-journalKeep)); err != nil {
				s.log.Warn("expiring the journal", "err", err)
			}
			if err := suppress.Expire(ctx, s.ground.db, now.Add(-suppress.Keep)); err != nil {
				s.log.Warn("expiring suppressions", "err", err)
			}
		}
		if hours%auditEvery != 0 {
			continue
		}
		if err := s.ground.audit(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("looking for bodies that nothing refers to", "err", err)
		}
	}
}

// audit lets the collector look at segments that hold much that nothing refers to:
// what a crash kept from being released, and what a rebuild left without an owner.
func (g *ground) audit(ctx context.Context) error {
	return g.bodies.Audit(ctx, func(yield func(blob.Ref) bool) error {
		return g.db.View(ctx, func(r kv.Reader) error {
			return refs.Scan(r, func(ref blob.Ref, _ int) bool { return yield(ref) })
		})
	})
}
