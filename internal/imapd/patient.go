package imapd

import (
	"context"
	"time"
)

// stillEvery is how often a client that waits for a long command hears that it goes
// on; one that has gone is found out by that, and the command given up.
const stillEvery = 5 * time.Second

// patiently runs work that sends nothing and may take long. Its context ends with
// the session or when the client has gone; work must not touch the session.
func (s *session) patiently(text string, work func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	done, left := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(left)
		for s.err == nil {
			t := s.srv.cfg.Clock.NewTimer(stillEvery)
			select {
			case <-done:
				t.Stop()
				return
			case <-t.C():
				s.untagged("OK " + text) // RFC 9051 section 7.1.1: for people to read
				s.flush()
			}
		}
		cancel()
	}()
	err := work(ctx)
	close(done)
	<-left // the session is ours again
	if err := s.worked(0); err != nil {
		return err
	}
	return err
}
