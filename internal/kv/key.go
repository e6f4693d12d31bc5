package kv

import (
	"encoding/binary"
	"slices"
)

// Partition is the first component of a key, raw bytes. Partitions are
// prefix-free: a letter, then a fixed number of bytes for that letter.
type Partition string

// Partitions is the set that an Update may write.
type Partitions []Partition

// Directory is the partition of domains, accounts and aliases.
const Directory Partition = "G"

// AccountPartition holds everything in the mailboxes of one account.
func AccountPartition(account uint64) Partition {
	return Partition(binary.BigEndian.AppendUint64([]byte{'A'}, account))
}

// QueueShard is one shard of the outbound queue.
func QueueShard(n uint16) Partition {
	return Partition(binary.BigEndian.AppendUint16([]byte{'Q'}, n))
}

// JournalShard is one shard of the event log.
func JournalShard(n uint16) Partition {
	return Partition(binary.BigEndian.AppendUint16([]byte{'J'}, n))
}

// BodyShard is one shard of the reference counts of message bodies.
func BodyShard(n uint16) Partition {
	return Partition(binary.BigEndian.AppendUint16([]byte{'B'}, n))
}

// Suppressions is the partition of addresses that take no mail.
const Suppressions Partition = "X"

// TLSPolicies holds the MTA-STS policies of other domains.
const TLSPolicies Partition = "T"

// TLSResults holds what is counted for reports on TLS.
const TLSResults Partition = "R"

// Greylist holds who has been told to come again.
const Greylist Partition = "Y"

// StorePartition holds facts about the store itself, such as its format version.
const StorePartition Partition = "S"

// Sorted is p in order and without doubles, as engines lock it.
func (p Partitions) Sorted() Partitions {
	s := slices.Clone(p)
	slices.Sort(s)
	return slices.Compact(s)
}

// Key is a key under construction. Its methods append order-preserving
// components and return the longer key, like append.
type Key []byte

// NewKey begins a key in partition p.
func NewKey(p Partition) Key { return append(make(Key, 0, 48), p...) }

// Byte appends one byte, by custom the kind of row.
func (k Key) Byte(b byte) Key { return append(k, b) }

// Uint16 appends two big-endian bytes.
func (k Key) Uint16(n uint16) Key { return binary.BigEndian.AppendUint16(k, n) }

// Uint32 appends four big-endian bytes.
func (k Key) Uint32(n uint32) Key { return binary.BigEndian.AppendUint32(k, n) }

// Uint64 appends eight big-endian bytes.
func (k Key) Uint64(n uint64) Key { return binary.BigEndian.AppendUint64(k, n) }

// String appends a string of any bytes with a terminator, so that shorter
// strings sort first and nothing that follows can be mistaken for it.
func (k Key) String(s string) Key {
	for i := range len(s) {
		if s[i] == 0 {
			k = append(k, 0, 0xff)
		} else {
			k = append(k, s[i])
		}
	}
	return append(k, 0, 1)
}

// Raw appends bytes as they are; only sensible as the last component.
func (k Key) Raw(b []byte) Key { return append(k, b...) }

// CutString takes the component that String appended off the front of b. It is
// not ok when b begins with none.
func CutString(b []byte) (s string, rest []byte, ok bool) {
	var out []byte
	for i := 0; i < len(b); i++ {
		if b[i] != 0 {
			out = append(out, b[i])
			continue
		}
		if i++; i == len(b) {
			break
		}
		switch b[i] {
		case 1:
			return string(out), b[i+1:], true
		case 0xff:
			out = append(out, 0)
		default:
			return "", nil, false
		}
	}
	return "", nil, false
}

// End is the first key after every key that begins with k: the upper bound of
// a scan over a prefix. It is nil, no bound, when there is no such key.
func (k Key) End() []byte {
	e := slices.Clone(k)
	for i := len(e) - 1; i >= 0; i-- {
		if e[i]++; e[i] != 0 {
			return e[:i+1]
		}
	}
	return nil
}
