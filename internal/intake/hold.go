package intake

import (
	"fmt"
	"sync"
	"time"

	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/queue"
	"posthouse/internal/status"
)

// HoldQuota is how much mail an account may have held until a time (FUTURERELEASE,
// RFC 4865 section 6); a field that is 0 bounds nothing.
type HoldQuota struct {
	Messages int
	Octets   int64
}

// reservations are the room for held mail that is being filed, and that the queue
// does not count yet.
type reservations struct {
	mu sync.Mutex // also held while a message goes over to the queue's count
	by map[id.Account]queue.Holds
}

// reservation is the room of one message; nil for one that takes none.
type reservation struct {
	r       *reservations
	account id.Account
	size    int64
	over    bool
}

// holds reports whether a message that comes at a time waits for a later one.
func (in *Intake) holds(env *envelope.Envelope, now time.Time) bool {
	return env.HoldUntil.After(now) && in.opt.Catch == nil
}

// mayHold refuses a message to be held, of size octets as far as the client has
// said, when its sender has as much held as one may (RFC 4865 section 6).
func (in *Intake) mayHold(env *envelope.Envelope, size int64) error {
	if !in.holds(env, in.opt.Clock.Now()) {
		return nil
	}
	in.holding.mu.Lock()
	defer in.holding.mu.Unlock()
	return in.fitsHold(env.Origin.Account, size)
}

// reserveHold is mayHold for a message that is complete: its room is taken until
// it is handed over to the queue, or given back.
func (in *Intake) reserveHold(env *envelope.Envelope, size int64) (*reservation, error) {
	a := env.Origin.Account
	if a == 0 || !in.holds(env, env.Received) {
		return nil, nil
	}
	in.holding.mu.Lock()
	defer in.holding.mu.Unlock()
	if err := in.fitsHold(a, size); err != nil {
		return nil, err
	}
	in.holding.add(a, 1, size)
	return &reservation{r: &in.holding, account: a, size: size}, nil
}

// handOver ends the reservation with what makes the queue count the message, as
// one step: nobody sees it counted twice, or not at all.
func (r *reservation) handOver(enqueued func()) {
	if r == nil || r.over {
		enqueued()
		return
	}
	r.r.mu.Lock()
	defer r.r.mu.Unlock()
	enqueued()
	r.r.add(r.account, -1, -r.size)
	r.over = true
}

// giveBack ends the reservation of a message that did not come to the queue.
func (r *reservation) giveBack() { r.handOver(func() {}) }

// fitsHold reports whether one more message of size octets may be held for an
// account. Under in.holding.mu.
func (in *Intake) fitsHold(a id.Account, size int64) error {
	most, coming, now := in.bounds.Load().HoldQuota, in.holding.by[a], in.opt.Queue.HeldFor(a)
	switch {
	case most.Messages > 0 && now.Messages+coming.Messages >= most.Messages:
		return holdRefusal(fmt.Sprintf("%d of your messages are held already, send again when one has been released", most.Messages))
	case most.Octets > 0 && size > most.Octets:
		return holdRefusal(fmt.Sprintf("Messages of more than %d octets are not held", most.Octets))
	case most.Octets > 0 && now.Octets+coming.Octets+size > most.Octets:
		return holdRefusal(fmt.Sprintf("Your held messages would be larger than %d octets together, send again when some have been released", most.Octets))
	}
	return nil
}

func holdRefusal(text string) error { return status.New(552, 7, 16, text) }

// add counts a message more, or less.
func (r *reservations) add(a id.Account, messages int, octets int64) {
	h := r.by[a]
	h.Messages, h.Octets = h.Messages+messages, h.Octets+octets
	switch {
	case h.Messages == 0:
		delete(r.by, a)
	case r.by == nil:
		r.by = map[id.Account]queue.Holds{a: h}
	default:
		r.by[a] = h
	}
}
