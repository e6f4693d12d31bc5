package greylist

import (
	"context"
	"errors"
	"time"

	"posthouse/internal/kv"
)

// How rows are written: soon, many at a time. Beyond maxPending whoever comes
// next writes them, so that a flood of new triplets cannot fill the memory.
const (
	writeAfter  = time.Second
	maxPending  = 8192
	expireEvery = time.Hour
)

// Run writes what is remembered and drops what is too old, until ctx ends; then
// it writes the rest.
func (l *List) Run(ctx context.Context) {
	l.log("expiring the greylist", l.expire(ctx))
	hourly := l.opt.Clock.NewTimer(expireEvery)
	defer func() { hourly.Stop() }()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-hourly.C():
			l.log("expiring the greylist", l.expire(ctx))
			hourly = l.opt.Clock.NewTimer(expireEvery)
		case <-l.dirty:
			l.pause(ctx)
			l.log("writing the greylist", l.write(context.WithoutCancel(ctx)))
		}
	}
	l.log("writing the greylist", l.write(context.WithoutCancel(ctx)))
}

func (l *List) log(what string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		l.opt.Log.Warn(what, "err", err)
	}
}

// pause lets more rows come together.
func (l *List) pause(ctx context.Context) {
	t := l.opt.Clock.NewTimer(writeAfter)
	defer t.Stop()
	select {
	case <-t.C():
	case <-ctx.Done():
	}
}

// put has a row written soon.
func (l *List) put(row byte, id []byte, r record) {
	key := rowKey(row, bucketOf(row, r.at), id)
	l.mu.Lock()
	l.pending[string(key)] = r.encode()
	l.mu.Unlock()
	select {
	case l.dirty <- struct{}{}:
	default:
	}
}

// unwritten finds a row that is not in the store yet.
func (l *List) unwritten(key kv.Key) ([]byte, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if v, ok := l.pending[string(key)]; ok {
		return v, true
	}
	v, ok := l.batch[string(key)]
	return v, ok
}

// relieve writes when too much is waiting to be written.
func (l *List) relieve(ctx context.Context) error {
	l.mu.Lock()
	full := len(l.pending) >= maxPending
	l.mu.Unlock()
	if !full {
		return nil
	}
	return l.write(ctx)
}

// write makes what is pending durable.
func (l *List) write(ctx context.Context) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	batch := l.pending
	l.batch, l.pending = batch, make(map[string][]byte)
	l.mu.Unlock()
	var err error
	if len(batch) > 0 {
		err = l.opt.DB.Update(ctx, kv.Partitions{kv.Greylist}, func(tx kv.Tx) error {
			for key, value := range batch {
				if err := tx.Set([]byte(key), value); err != nil {
					return err
				}
			}
			return nil
		})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batch = nil
	if err == nil {
		return nil
	}
	for key, value := range batch {
		if _, newer := l.pending[key]; !newer && len(l.pending) < maxPending {
			l.pending[key] = value
		}
	}
	return err
}

// expire drops whole buckets that are too old.
func (l *List) expire(ctx context.Context) error {
	now := l.opt.Clock.Now()
	for _, row := range []byte{rowWaiting, rowPassed, rowNetwork} {
		floor := bucketOf(row, now.Add(-l.life(row)))
		if l.floors[row] == floor {
			continue
		}
		err := l.opt.DB.Update(ctx, kv.Partitions{kv.Greylist}, func(tx kv.Tx) error {
			return tx.DeleteRange(rowKey(row, 0, nil), rowKey(row, floor, nil))
		})
		if err != nil {
			return err
		}
		l.floors[row] = floor
	}
	return nil
}
