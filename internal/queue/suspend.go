package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"posthouse/internal/courier"
	"posthouse/internal/kv"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// Suspensions are rows of the first shard: 's', 'd' or 's' for a domain or a
// site, and its name.
const rowSuspension = 's'

// ErrTarget is the answer for a suspension of neither a domain nor a site.
var ErrTarget = errors.New("queue: name a domain or a site")

// canonical checks what a suspension is of, and gives the end of its key.
func (s *Suspension) canonical() (string, error) {
	switch {
	case s.Domain != "" && s.Site == "":
		s.Domain = smtp.CanonicalDomain(s.Domain)
		return "d" + s.Domain, nil
	case s.Site != "" && s.Domain == "" && len(s.Site) <= 512:
		s.Site = strings.ToLower(s.Site)
		return "s" + s.Site, nil
	}
	return "", ErrTarget
}

func suspensionKey(name string) kv.Key {
	return kv.NewKey(kv.QueueShard(0)).Byte(rowSuspension).Raw([]byte(name))
}

// Suspend is Admin's.
func (q *Queue) Suspend(ctx context.Context, s Suspension) error {
	name, err := s.canonical()
	if err != nil {
		return err
	}
	if err := q.load(ctx); err != nil {
		return err
	}
	s.Since = q.opt.Clock.Now()
	value, err := json.Marshal(&s)
	if err != nil {
		return err
	}
	err = q.opt.DB.Update(ctx, kv.Partitions{kv.QueueShard(0)}, func(tx kv.Tx) error { return tx.Set(suspensionKey(name), value) })
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if old := q.suspended[name]; old != nil {
		*old = s // ready queues point to it
	} else {
		q.suspended[name] = &s
	}
	for _, site := range q.sites {
		if site.suspended = q.suspensionOf(site.key.name); site.suspended != nil {
			q.remindAll(site)
		}
	}
	return nil
}

// Resume is Admin's.
func (q *Queue) Resume(ctx context.Context, s Suspension) (bool, error) {
	name, err := s.canonical()
	if err != nil {
		return false, err
	}
	if err := q.load(ctx); err != nil {
		return false, err
	}
	was := false
	err = q.opt.DB.Update(ctx, kv.Partitions{kv.QueueShard(0)}, func(tx kv.Tx) error {
		_, err := tx.Get(suspensionKey(name))
		if was = err == nil; !was {
			if errors.Is(err, kv.ErrNotFound) {
				err = nil
			}
			return err
		}
		return tx.Delete(suspensionKey(name))
	})
	if err != nil {
		return false, fmt.Errorf("queue: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	old := q.suspended[name]
	delete(q.suspended, name)
	for _, site := range q.sites {
		site.suspended = q.suspensionOf(site.key.name)
		q.reopen(site, old)
		for _, r := range site.queues {
			q.enrol(r)
		}
	}
	q.pump()
	return was, nil
}

// reopen lets the entries of a domain that is no more suspended go back among
// the others of their site. Under q.mu.
func (q *Queue) reopen(s *site, old *Suspension) {
	for i, r := range s.queues {
		if r.suspended == nil || r.suspended != old {
			continue
		}
		q.unmeasure(r)
		s.queues = append(s.queues[:i:i], s.queues[i+1:]...)
		for b := range r.lines {
			for e := r.lines[b].first; e != nil; e = r.lines[b].first {
				e.leave()
				q.find(e)
			}
		}
		return
	}
}

// suspensionOf is that of a site; nil: there is none. Under q.mu.
func (q *Queue) suspensionOf(site string) *Suspension {
	for _, s := range q.suspended {
		if s.Site != "" && siteIs(site, s.Site) {
			return s
		}
	}
	return nil
}

// loadSuspensions reads them from the store, before anything is scheduled.
func (q *Queue) loadSuspensions(ctx context.Context) error {
	return scanRows(ctx, q.opt.DB, kv.QueueShard(0), rowSuspension, func(key, value []byte) error {
		s := new(Suspension)
		if err := json.Unmarshal(value, s); err != nil {
			q.opt.Log.Error("queue: damaged suspension is left alone", "key", string(key), "err", err)
			return nil
		}
		q.mu.Lock()
		q.suspended[string(key)] = s
		q.mu.Unlock()
		return nil
	})
}

// stop is what keeps a ready queue from going at all. Under q.mu.
func (r *ready) stop() *Suspension {
	if r.suspended != nil {
		return r.suspended
	}
	return r.site.suspended
}

// stopped reports whether nothing goes to r's site now. Under q.mu.
func (r *ready) stopped(now moment) bool { return r.stop() != nil || r.site.blocked(now) }

// outcome is what becomes of entries that wait for the end of a suspension.
func (s *Suspension) outcome() courier.Outcome {
	return courier.FromError(status.New(451, 3, 2, "Mail for this destination is suspended by the operators of this server"))
}

// words are a suspension for operators.
func (s *Suspension) words() string {
	text := "suspended by an operator since " + s.Since.UTC().Format(time.RFC3339)
	if s.Why != "" {
		text += ": " + s.Why
	}
	return text
}
