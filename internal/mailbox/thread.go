package mailbox

import (
	"errors"

	"posthouse/internal/kv"
	"posthouse/internal/message"
)

// maxAncestors is how many message-ids of a message are looked up to find its thread.
const maxAncestors = 12

// ancestors are the message-ids that a message replies to: the nearest first,
// and the one that began it all.
func ancestors(sum *message.Summary) []string {
	refs := sum.References
	var out []string
	for i := len(refs) - 1; i >= 0 && len(out) < maxAncestors-1; i-- {
		out = append(out, refs[i])
	}
	if len(refs) > len(out) {
		out = append(out, refs[0])
	}
	return out
}

// thread finds the thread of message n: that of the nearest message it refers
// to, or of one that referred to the same beginning; otherwise it begins one (RFC 8474
// section 5.2 leaves the method to us). The message enters the index under its own message-id,
// and in a new thread under that of its unknown beginning.
func (e *edit) thread(n uint64, sum *message.Summary) (uint64, error) {
	thread := n
	refs := ancestors(sum)
	found := false
	for _, id := range refs {
		row, err := e.threadOf(hashMessageID(id))
		if err != nil {
			return 0, err
		}
		if row.thread != 0 {
			thread, found = row.thread, true
			break
		}
	}
	for _, hash := range ownHashes(sum) {
		row, err := e.threadOf(hash)
		if err != nil {
			return 0, err
		}
		if row.thread != 0 {
			if !found {
				thread, found = row.thread, true // the same message once more
			}
			continue
		}
		row = threadRow{thread: thread, message: n}
		if err := e.tx.Set(e.keys.thread(hash), row.encode()); err != nil {
			return 0, err
		}
	}
	return thread, nil
}

// ownHashes are the index rows that a message may bring, and take with it at its end.
func ownHashes(sum *message.Summary) []uint64 {
	var out []uint64
	if id := sum.ID(); id != "" {
		out = append(out, hashMessageID(id))
	}
	if len(sum.References) > 0 {
		out = append(out, hashMessageID(sum.References[0]))
	}
	return out
}

func (e *edit) threadOf(hash uint64) (threadRow, error) {
	b, err := e.tx.Get(e.keys.thread(hash))
	if errors.Is(err, kv.ErrNotFound) {
		return threadRow{}, nil
	}
	if err != nil {
		return threadRow{}, err
	}
	return decodeThread(b)
}

// forgetThread removes the rows that message n brought.
func (e *edit) forgetThread(n uint64, sum *message.Summary) error {
	for _, hash := range ownHashes(sum) {
		row, err := e.threadOf(hash)
		if err != nil {
			return err
		}
		if row.message == n {
			if err := e.tx.Delete(e.keys.thread(hash)); err != nil {
				return err
			}
		}
	}
	return nil
}
