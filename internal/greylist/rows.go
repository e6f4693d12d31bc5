package greylist

import (
	"encoding/binary"
	"errors"
	"time"

	"posthouse/internal/kv"
)

// Rows of the partition. A bucket is a stretch of time, in which a row was
// written; the latest one counts.
//
//	'w' bucket(u32) triplet(16) -> when it was first seen
//	'p' bucket(u32) triplet(16) -> when it last passed
//	'n' bucket(u32) network     -> when it was last seen, how many triplets passed
const (
	rowWaiting = 'w'
	rowPassed  = 'p'
	rowNetwork = 'n'
)

// bucketOf is the bucket of a kind of row at a time.
func bucketOf(row byte, at time.Time) uint32 {
	const day = 24 * 60 * 60
	length := int64(7 * day)
	if row == rowWaiting {
		length = day
	}
	return uint32(max(0, at.Unix()) / length)
}

// life is how long a kind of row counts.
func (l *List) life(row byte) time.Duration {
	if row == rowWaiting {
		return l.opt.Window
	}
	return l.opt.Lifetime
}

func rowKey(row byte, bucket uint32, id []byte) kv.Key {
	return kv.NewKey(kv.Greylist).Byte(row).Uint32(bucket).Raw(id)
}

// record is the value of a row; the zero value is none.
type record struct {
	at    time.Time
	count uint32
}

func (r record) exists() bool { return !r.at.IsZero() }

// recordVersion begins every value: at in milliseconds (u64), count (u32).
const recordVersion = 1

func (r record) encode() []byte {
	b := binary.BigEndian.AppendUint64([]byte{recordVersion}, uint64(r.at.UnixMilli()))
	return binary.BigEndian.AppendUint32(b, r.count)
}

// decodeRecord reads a value; none of another form, which a newer Posthouse wrote.
func decodeRecord(b []byte) record {
	if len(b) != 13 || b[0] != recordVersion {
		return record{}
	}
	return record{at: time.UnixMilli(int64(binary.BigEndian.Uint64(b[1:]))), count: binary.BigEndian.Uint32(b[9:])}
}

// latest finds the newest row of an id that still counts; the zero record when
// there is none.
func (l *List) latest(r kv.Reader, row byte, id []byte, now time.Time) (record, error) {
	life := l.life(row)
	for b, last := bucketOf(row, now), bucketOf(row, now.Add(-life)); b >= last; b-- {
		key := rowKey(row, b, id)
		value, ok := l.unwritten(key)
		if !ok {
			var err error
			value, err = r.Get(key)
			if errors.Is(err, kv.ErrNotFound) {
				if b == 0 {
					break
				}
				continue
			}
			if err != nil {
				return record{}, err
			}
		}
		if found := decodeRecord(value); found.exists() && now.Sub(found.at) <= life {
			return found, nil
		}
		return record{}, nil
	}
	return record{}, nil
}
