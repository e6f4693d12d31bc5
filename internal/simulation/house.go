package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"posthouse/internal/blob"
	"posthouse/internal/blob/refs"
	"posthouse/internal/clock"
	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/journal"
	"posthouse/internal/kv"
	"posthouse/internal/kv/pebble"
	"posthouse/internal/queue"
	"posthouse/internal/report"
	"posthouse/internal/smtp"
)

// house is our node, over all its lives.
type house struct {
	in    *Internet
	born  time.Time
	disk  *vfs.MemFS
	db    *pebble.Store
	node  *node
	queue *queue.Queue
	log   *journal.Journal
	count *refs.Counter

	letters map[string]time.Time // what was acknowledged, by recipient, and when
	reports int
}

// giveUp is short, because every hour of virtual time costs some real time.
const giveUp = 36 * time.Hour

// newHouse opens an empty one.
func newHouse(in *Internet) (*house, error) {
	h := &house{in: in, born: time.Now(), disk: vfs.NewCrashableMem(), letters: make(map[string]time.Time)}
	h.count = refs.New(bodies{})
	return h, h.start()
}

// start begins a life.
func (h *house) start() error {
	var err error
	if h.db, err = pebble.Open("index", pebble.Options{FS: h.disk, MemTableSize: 1 << 20}); err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	h.node = &node{in: h.in, born: h.born, dead: make(chan struct{})}
	h.log = journal.Open(h.db, clock.System{}, log)
	h.in.restarted()
	told, err := limits()
	if err != nil {
		return err
	}
	h.queue = queue.New(queue.Options{
		Limits: told,
		DB:     h.db, Bodies: bodies{}, Counts: h.count, Journal: h.log, Courier: h.node,
		Clock: clock.System{}, Log: log, Hostname: "us.test", Reporter: reporter{h, h.db}, ExpireAfter: giveUp,
	})
	return h.queue.Start(context.Background())
}

// crash ends a life as a power loss does, and begins the next: what was under
// way is cut off, what was not synced is gone.
func (h *house) crash() error {
	disk := h.disk.CrashClone(vfs.CrashCloneCfg{})
	close(h.node.dead)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if err := h.queue.Close(gone); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	h.node.calls.Wait()
	if err := h.db.Close(); err != nil {
		return err
	}
	h.disk = disk
	return h.start()
}

// stop ends the last life in peace.
func (h *house) stop() error {
	return errors.Join(h.queue.Close(context.Background()), h.db.Close())
}

// accept takes messages in, one for each recipient, as intake does, in one
// transaction.
func (h *house) accept(to []string) error {
	now := time.Now()
	var messages []*queue.Message
	var parts kv.Partitions
	for i, rcpt := range to {
		a, err := smtp.ParseAddress(rcpt)
		if err != nil {
			return err
		}
		m := &queue.Message{
			Envelope: &envelope.Envelope{
				ID: id.New(now), Tenant: envelope.MainTenant, Stream: envelope.Transactional,
				From: smtp.Address{Local: "alice", Domain: "us.test"}, Received: now,
			},
			Body: blob.Ref{Segment: 1, Offset: uint32(len(h.letters) + i + 1), Length: uint64(len(letter))}, Size: int64(len(letter)),
			Rcpts: []queue.Rcpt{{Rcpt: envelope.Rcpt{To: a}}},
		}
		messages = append(messages, m)
		parts = append(parts, queue.Partition(m.Envelope.ID), refs.Partition(m.Body), journal.Partition(m.Envelope.ID))
	}
	err := h.db.Update(context.Background(), parts, func(tx kv.Tx) error {
		for _, m := range messages {
			if err := h.count.AddTx(tx, m.Body, 1); err != nil {
				return err
			}
			if err := h.queue.EnqueueTx(tx, m); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, m := range messages {
		h.letters[to[i]] = now
		h.queue.Enqueued(m)
	}
	return nil
}

// waiting is how many recipients are in the queue.
func (h *house) waiting() (int, error) {
	n := 0
	err := h.db.View(context.Background(), func(r kv.Reader) error {
		n = 0
		for shard := range uint16(queue.Shards) {
			prefix := kv.NewKey(kv.QueueShard(shard)).Byte('e')
			if err := r.Scan(prefix, prefix.End(), func(_, _ []byte) bool { n++; return true }); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

// fate is how it ended for one recipient, by the journal.
type fate struct {
	finals  []journal.Kind
	at      time.Time
	tries   int
	delayed int
}

// fates reads the journal.
func (h *house) fates() (map[string]*fate, error) {
	all := make(map[string]*fate, len(h.letters))
	var bad error
	err := h.db.View(context.Background(), func(r kv.Reader) error {
		for shard := range uint16(journal.Shards) {
			prefix := kv.NewKey(kv.JournalShard(shard)).Byte('e')
			err := r.Scan(prefix, prefix.End(), func(_, value []byte) bool {
				var e journal.Event
				if bad = json.Unmarshal(value, &e); bad != nil {
					return false
				}
				f := all[e.To]
				if f == nil {
					f = new(fate)
					all[e.To] = f
				}
				f.note(&e)
				return true
			})
			if err = errors.Join(err, bad); err != nil {
				return err
			}
		}
		return nil
	})
	return all, err
}

func (f *fate) note(e *journal.Event) {
	switch e.Kind {
	case journal.Relayed, journal.Bounced, journal.Dropped:
		f.finals = append(f.finals, e.Kind)
		f.at = e.At
		f.tries++
	case journal.Attempted:
		f.tries++
	case journal.Delayed:
		f.delayed++
	}
}

// percentiles tells how long delivery took.
func percentiles(took []time.Duration) string {
	if len(took) == 0 {
		return "none"
	}
	slices.Sort(took)
	at := func(p int) time.Duration { return took[(len(took)-1)*p/100].Round(10 * time.Millisecond) }
	return fmt.Sprintf("p50 %v  p90 %v  p99 %v  max %v", at(50), at(90), at(99), at(100))
}

// habitOf is the habit's name in an address.
func habitOf(rcpt string) string {
	labels := strings.Split(rcpt, ".")
	return labels[len(labels)-2]
}

// reporter files reports nowhere; that they are asked for once is in the journal.
type reporter struct {
	h  *house
	db kv.Store
}

// Report implements queue.Reporter.
func (r reporter) Report(ctx context.Context, d *report.DSN, also func(kv.Tx) error, parts kv.Partitions) error {
	d.ID = id.New(time.Now())
	if err := r.db.Update(ctx, parts, also); err != nil {
		return err
	}
	r.h.in.mu.Lock()
	r.h.reports++
	r.h.in.mu.Unlock()
	return nil
}

const letter = "Subject: hello\r\n\r\ntext\r\n"

// bodies is a store in which every body is the same letter.
type bodies struct{}

// Create implements blob.Store.
func (bodies) Create(context.Context) (blob.Writer, error)    { return nil, errors.ErrUnsupported }
func (bodies) CreateOwn(context.Context) (blob.Writer, error) { return nil, errors.ErrUnsupported }

// Open implements blob.Store.
func (bodies) Open(blob.Ref) (blob.Body, error) { return body{bytes.NewReader([]byte(letter))}, nil }

// Release implements blob.Store.
func (bodies) Release(blob.Ref) error { return nil }

// Close implements blob.Store.
func (bodies) Close() error { return nil }

type body struct{ *bytes.Reader }

func (b body) Size() int64  { return b.Reader.Size() }
func (b body) Close() error { return nil }
