package listen

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// talker is a session that ends so long after it was interrupted, or cut.
type talker struct {
	interrupted, cut  chan struct{}
	polite, quick     time.Duration
	turnedAway, ended bool
}

func newTalker(polite, quick time.Duration) *talker {
	return &talker{interrupted: make(chan struct{}), cut: make(chan struct{}), polite: polite, quick: quick}
}

func (s *talker) Interrupt() { close(s.interrupted) }
func (s *talker) Cut()       { close(s.cut) }

func (s *talker) run(closing bool) {
	defer func() { s.ended = true }()
	if s.turnedAway = closing; closing {
		return
	}
	<-s.interrupted
	select {
	case <-time.After(s.polite):
	case <-s.cut:
		time.Sleep(s.quick)
	}
}

// Shutdown takes as long as the slowest session, but not much longer than its
// context allows.
func TestShutdown(t *testing.T) {
	for name, c := range map[string]struct {
		polite, quick, want time.Duration
		err                 error
	}{
		"polite": {time.Second, 0, time.Second, nil},
		"cut":    {time.Hour, 0, time.Minute, context.DeadlineExceeded},
		"slow":   {time.Hour, time.Second, time.Minute + time.Second, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s Sessions
				one, two := newTalker(0, 0), newTalker(c.polite, c.quick)
				s.Go(one, one.run)
				s.Go(two, two.run)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began := time.Now()
				if err := s.Shutdown(ctx); !errors.Is(err, c.err) || time.Since(began) != c.want {
					t.Errorf("%v after %v, want %v after %v", err, time.Since(began), c.err, c.want)
				}
				if !one.ended || !two.ended || s.Len() != 0 {
					t.Errorf("ended: %v and %v; %d sessions are left", one.ended, two.ended, s.Len())
				}
				late := newTalker(0, 0)
				s.Go(late, late.run)
				if err := s.Shutdown(t.Context()); err != nil || !late.turnedAway {
					t.Errorf("again: %v; who came too late was turned away: %v", err, late.turnedAway)
				}
			})
		})
	}
}

// A session that cannot be ended does not keep the others from going.
func TestShutdownOfTheStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Sessions
		stuck := newTalker(time.Hour, time.Hour)
		s.Go(stuck, stuck.run)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		err := s.Shutdown(ctx)
		if took := time.Since(began); took != time.Minute+stuckAfter || err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v after %v", err, took)
		}
		time.Sleep(2 * time.Hour)
		if n := s.Len(); n != 0 {
			t.Errorf("%d sessions in the end", n)
		}
	})
}
