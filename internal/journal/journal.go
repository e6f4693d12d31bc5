package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"sort"
	"sync/atomic"
	"time"

	"posthouse/internal/clock"
	"posthouse/internal/id"
	"posthouse/internal/kv"
)

// Shards is the number of journal partitions.
const Shards = 16

// Rows of a shard: events by hour and message, and message-ids.
//
//	'e' hour(u32) message(16) nanos(u64) seq(u32) -> Event as JSON
//	'm' hour(u32) hash(u64) message(16)           -> nothing
//
// A message's events lie in the hour of the message's id and in later hours, so
// retention drops whole hours with DeleteRange.
const (
	rowEvent     = 'e'
	rowMessageID = 'm'
)

// DefaultKeep is how long events are kept.
const DefaultKeep = 30 * 24 * time.Hour

// ErrNotFound is the answer for a message the journal does not know.
var ErrNotFound = errors.New("journal: no such message")

// Observer sees every event after it is durable; it must not block.
type Observer func(*Event)

// Journal is the event log. Safe for concurrent use.
type Journal struct {
	db        kv.Store
	clock     clock.Clock
	log       *slog.Logger
	observers []Observer
	seq       atomic.Uint32
}

// Open makes a journal over db. Every event is logged to log and shown to the
// observers once it is durable.
func Open(db kv.Store, c clock.Clock, log *slog.Logger, observers ...Observer) *Journal {
	return &Journal{db: db, clock: c, log: log, observers: observers}
}

// Partition is where the events of a message are; name it in the Update.
func Partition(msg id.ID) kv.Partition {
	h := fnv.New32a()
	h.Write([]byte(msg))
	return kv.JournalShard(uint16(h.Sum32() % Shards))
}

func hourOf(t time.Time) uint32 { return uint32(t.Unix() / 3600) }

func messageIDHash(m string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(m))
	return h.Sum64()
}

// AppendTx writes events as part of the caller's transaction, which must cover
// Partition of each event's message. A zero At becomes now. After the
// transaction is durable the caller calls Published with the same events.
func (j *Journal) AppendTx(tx kv.Tx, events ...*Event) error {
	for _, e := range events {
		e.Version = Version
		if e.At.IsZero() {
			e.At = j.clock.Now()
		}
		value, err := json.Marshal(e)
		if err != nil {
			return err
		}
		part := Partition(e.Message)
		key := kv.NewKey(part).Byte(rowEvent).Uint32(hourOf(e.At)).Raw([]byte(e.Message)).
			Uint64(uint64(e.At.UnixNano())).Uint32(j.seq.Add(1))
		if err := tx.Set(key, value); err != nil {
			return err
		}
		if e.MessageID != "" {
			key := kv.NewKey(part).Byte(rowMessageID).Uint32(hourOf(e.At)).
				Uint64(messageIDHash(e.MessageID)).Raw([]byte(e.Message))
			if err := tx.Set(key, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// Published hands durable events to the log and the observers.
func (j *Journal) Published(events ...*Event) {
	for _, e := range events {
		j.logEvent(e)
		for _, o := range j.observers {
			o(e)
		}
	}
}

// Append writes events in a transaction of its own.
func (j *Journal) Append(ctx context.Context, events ...*Event) error {
	var parts kv.Partitions
	for _, e := range events {
		parts = append(parts, Partition(e.Message))
	}
	err := j.db.Update(ctx, parts, func(tx kv.Tx) error { return j.AppendTx(tx, events...) })
	if err == nil {
		j.Published(events...)
	}
	return err
}

func (j *Journal) logEvent(e *Event) {
	if j.log == nil {
		return
	}
	attrs := make([]slog.Attr, 0, 8)
	add := func(k, v string) {
		if v != "" {
			attrs = append(attrs, slog.String(k, v))
		}
	}
	add("msg_id", string(e.Message))
	add("session", string(e.Session))
	add("from", e.From)
	add("to", e.To)
	add("message_id", e.MessageID)
	if e.Code != 0 {
		attrs = append(attrs, slog.Int("code", e.Code))
	}
	add("text", e.Text)
	for _, k := range sortedKeys(e.Detail) {
		add(k, e.Detail[k])
	}
	j.log.LogAttrs(context.Background(), slog.LevelInfo, string(e.Kind), attrs...)
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// Story is every event of a message in order; ErrNotFound when there is none.
func (j *Journal) Story(ctx context.Context, msg id.ID) ([]Event, error) {
	if !msg.Valid() {
		return nil, ErrNotFound
	}
	var story []Event
	part := Partition(msg)
	err := j.db.View(ctx, func(r kv.Reader) error {
		for hour, last := hourOf(msg.Time()), hourOf(j.clock.Now()); hour <= last; hour++ {
			prefix := kv.NewKey(part).Byte(rowEvent).Uint32(hour).Raw([]byte(msg))
			var bad error
			err := r.Scan(prefix, prefix.End(), func(_, value []byte) bool {
				var e Event
				if bad = json.Unmarshal(value, &e); bad != nil {
					return false
				}
				story = append(story, e)
				return true
			})
			if err := errors.Join(err, bad); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && len(story) == 0 {
		err = ErrNotFound
	}
	sort.SliceStable(story, func(a, b int) bool { return story[a].At.Before(story[b].At) })
	return story, err
}

// Find gives the messages that carry a Message-ID, the latest first.
func (j *Journal) Find(ctx context.Context, messageID string) ([]id.ID, error) {
	hash := messageIDHash(messageID)
	var found []id.ID
	last := hourOf(j.clock.Now())
	err := j.db.View(ctx, func(r kv.Reader) error {
		for n := range uint16(Shards) {
			first := last - uint32(DefaultKeep/time.Hour)
			for hour := first; hour <= last; hour++ {
				prefix := kv.NewKey(kv.JournalShard(n)).Byte(rowMessageID).Uint32(hour).Uint64(hash)
				err := r.Scan(prefix, prefix.End(), func(key, _ []byte) bool {
					found = append(found, id.ID(key[len(prefix):]))
					return true
				})
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
	sort.Slice(found, func(a, b int) bool { return found[a] > found[b] })
	return found, err
}

// Expire drops the events of hours before t.
func (j *Journal) Expire(ctx context.Context, t time.Time) error {
	for n := range uint16(Shards) {
		part := kv.JournalShard(n)
		err := j.db.Update(ctx, kv.Partitions{part}, func(tx kv.Tx) error {
			for _, row := range []byte{rowEvent, rowMessageID} {
				k := kv.NewKey(part).Byte(row)
				if err := tx.DeleteRange(k, kv.NewKey(part).Byte(row).Uint32(hourOf(t))); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("journal: expire: %w", err)
		}
	}
	return nil
}
