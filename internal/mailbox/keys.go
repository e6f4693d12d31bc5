package mailbox

import (
	"encoding/binary"
	"hash/fnv"
	"strings"

	"posthouse/internal/id"
	"posthouse/internal/kv"
)

// The kinds of row in an account's partition.
const (
	kindBody      = 'b' // message number -> bodyRow
	kindChange    = 'c' // modseq, part -> changes of one transaction
	kindDoomed    = 'd' // mailbox -> (): deleted, its rows are still being removed
	kindSummary   = 'e' // message number -> summary
	kindHead      = 'h' // -> head
	kindMessage   = 'i' // mailbox, uid -> hot row
	kindKeywords  = 'k' // mailbox -> names of keywords
	kindBox       = 'm' // mailbox -> boxRow
	kindName      = 'n' // name -> mailbox, special use
	kindThread    = 'r' // hash of a Message-ID -> thread, message that brought it
	kindSubscribe = 's' // name -> ()
	kindUndo      = 'u' // mailbox, first UID -> (): a copy that was not finished
	kindExpunged  = 'x' // hour, message number -> (): body waits to be dropped
)

// keyspace makes the keys of one account.
type keyspace struct{ part kv.Partition }

func keysOf(acct id.Account) keyspace { return keyspace{kv.AccountPartition(uint64(acct))} }

func (k keyspace) kind(b byte) kv.Key { return kv.NewKey(k.part).Byte(b) }

func (k keyspace) head() kv.Key                  { return k.kind(kindHead) }
func (k keyspace) box(id uint32) kv.Key          { return k.kind(kindBox).Uint32(id) }
func (k keyspace) keywords(id uint32) kv.Key     { return k.kind(kindKeywords).Uint32(id) }
func (k keyspace) name(name string) kv.Key       { return k.kind(kindName).String(name) }
func (k keyspace) subscribed(name string) kv.Key { return k.kind(kindSubscribe).String(name) }
func (k keyspace) summary(n uint64) kv.Key       { return k.kind(kindSummary).Uint64(n) }
func (k keyspace) body(n uint64) kv.Key          { return k.kind(kindBody).Uint64(n) }
func (k keyspace) doomed(id uint32) kv.Key       { return k.kind(kindDoomed).Uint32(id) }
func (k keyspace) messages(box uint32) kv.Key    { return k.kind(kindMessage).Uint32(box) }
func (k keyspace) thread(hash uint64) kv.Key     { return k.kind(kindThread).Uint64(hash) }

func (k keyspace) message(box, uid uint32) kv.Key {
	return k.kind(kindMessage).Uint32(box).Uint32(uid)
}

func (k keyspace) change(modseq uint64, part uint16) kv.Key {
	return k.kind(kindChange).Uint64(modseq).Uint16(part)
}

func (k keyspace) expunged(hour uint32, n uint64) kv.Key {
	return k.kind(kindExpunged).Uint32(hour).Uint64(n)
}

func (k keyspace) undo(box, uid uint32) kv.Key {
	return k.kind(kindUndo).Uint32(box).Uint32(uid)
}

// childrenOf is the prefix of the names below name.
func (k keyspace) childrenOf(name string) kv.Key {
	return k.kind(kindName).Raw([]byte(name + string(Separator)))
}

// tail is a key without its partition and kind.
func (k keyspace) tail(key []byte) []byte { return key[len(k.part)+1:] }

func (k keyspace) tail32(key []byte) uint32 { return binary.BigEndian.Uint32(k.tail(key)) }
func (k keyspace) tail64(key []byte) uint64 { return binary.BigEndian.Uint64(k.tail(key)) }

// uidOf is the UID in the key of a hot row.
func uidOf(key []byte) uint32 { return binary.BigEndian.Uint32(key[len(key)-4:]) }

// hashMessageID is what the thread index knows of a message-id; brackets and
// space around it do not count.
func hashMessageID(msgid string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(strings.Trim(msgid, "<> \t")))
	return h.Sum64()
}
