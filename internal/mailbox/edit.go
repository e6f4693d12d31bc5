package mailbox

import (
	"errors"
	"fmt"
	"time"

	"posthouse/internal/id"
	"posthouse/internal/kv"
)

// edit is one transaction on one account: the rows that nearly every change
// reads and writes, kept until finish writes them. All of a transaction's
// changes have the same modseq, which is taken at the first of them.
type edit struct {
	tx     kv.Tx
	keys   keyspace
	now    time.Time
	epoch  uint32 // the least UIDVALIDITY of a new mailbox
	head   head
	modseq uint64 // 0 until something changed
	boxes  []*boxEdit
}

func (s *Store) newEdit(tx kv.Tx, acct id.Account) *edit {
	now := s.opt.Clock.Now()
	return &edit{tx: tx, keys: keysOf(acct), now: now, epoch: uint32(now.Add(s.opt.EpochAhead).Unix())}
}

// boxEdit is a mailbox that a transaction touches.
type boxEdit struct {
	e        *edit
	id       uint32
	row      boxRow
	dirty    bool
	dict     dictionary
	added    UIDSet
	changed  UIDSet
	expunged UIDSet
}

// begin reads the head of acct. An account that is not there answers ErrDeleted.
func (s *Store) begin(tx kv.Tx, acct id.Account) (*edit, error) {
	e := s.newEdit(tx, acct)
	var err error
	e.head, err = readHead(tx, e.keys)
	return e, err
}

func readHead(r kv.Reader, k keyspace) (head, error) {
	b, err := r.Get(k.head())
	if errors.Is(err, kv.ErrNotFound) {
		return head{}, ErrDeleted
	}
	if err != nil {
		return head{}, err
	}
	return decodeHead(b)
}

// touch takes the transaction's modseq.
func (e *edit) touch() uint64 {
	if e.modseq == 0 {
		e.head.modseq++
		e.modseq = e.head.modseq
	}
	return e.modseq
}

// lookup finds the id of a mailbox by its clean name.
func lookup(r kv.Reader, k keyspace, name string) (uint32, error) {
	if name == inboxName {
		return inboxID, nil
	}
	row, err := readName(r, k, name)
	return row.id, err
}

func readName(r kv.Reader, k keyspace, name string) (nameRow, error) {
	b, err := r.Get(k.name(name))
	if errors.Is(err, kv.ErrNotFound) {
		return nameRow{}, ErrNoMailbox
	}
	if err != nil {
		return nameRow{}, err
	}
	return decodeName(b)
}

// readBox reads a mailbox's row; a deleted one answers ErrDeleted.
func readBox(r kv.Reader, k keyspace, id uint32) (boxRow, error) {
	b, err := r.Get(k.box(id))
	if errors.Is(err, kv.ErrNotFound) {
		return boxRow{}, ErrDeleted
	}
	if err != nil {
		return boxRow{}, err
	}
	return decodeBox(b)
}

// box is the mailbox with that id.
func (e *edit) box(id uint32) (*boxEdit, error) {
	for _, b := range e.boxes {
		if b.id == id {
			return b, nil
		}
	}
	row, err := readBox(e.tx, e.keys, id)
	if err != nil {
		return nil, err
	}
	b := &boxEdit{e: e, id: id, row: row}
	e.boxes = append(e.boxes, b)
	return b, nil
}

// boxNamed is the mailbox with that clean name.
func (e *edit) boxNamed(name string) (*boxEdit, error) {
	id, err := lookup(e.tx, e.keys, name)
	if err != nil {
		return nil, err
	}
	return e.box(id)
}

// touch notes that the mailbox changes in this transaction.
func (b *boxEdit) touch() uint64 {
	b.dirty = true
	b.row.modseq = b.e.touch()
	return b.row.modseq
}

// put files a message under the mailbox's next UID.
func (b *boxEdit) put(m Entry) (Entry, error) {
	if b.row.uidNext == 1<<32-1 {
		return m, fmt.Errorf("mailbox: mailbox %d has no UIDs left", b.id)
	}
	m.ModSeq = b.touch()
	m.UID = b.row.uidNext
	b.row.uidNext++
	b.row.count(&m, +1)
	b.e.head.bytes += int64(m.Size)
	b.e.head.messages++
	b.added = b.added.Add(m.UID)
	var buf [hotSize]byte
	return m, b.e.tx.Set(b.e.keys.message(b.id, m.UID), appendEntry(buf[:0], &m))
}

// change rewrites a message that has become is.
func (b *boxEdit) change(was, is Entry) error {
	is.ModSeq = b.touch()
	b.row.count(&was, -1)
	b.row.count(&is, +1)
	b.changed = b.changed.Add(is.UID)
	var buf [hotSize]byte
	return b.e.tx.Set(b.e.keys.message(b.id, is.UID), appendEntry(buf[:0], &is))
}

// take removes a message's row; what becomes of its body is for the caller.
func (b *boxEdit) take(m Entry) error {
	b.touch()
	b.row.count(&m, -1)
	b.e.head.bytes -= int64(m.Size)
	b.e.head.messages--
	b.expunged = b.expunged.Add(m.UID)
	return b.e.tx.Delete(b.e.keys.message(b.id, m.UID))
}

// finish writes the rows that changed, and the change log.
func (e *edit) finish() error {
	if e.modseq == 0 {
		return nil
	}
	var log []change
	for _, b := range e.boxes {
		if !b.dirty {
			continue
		}
		if err := e.tx.Set(e.keys.box(b.id), b.row.encode()); err != nil {
			return err
		}
		for _, c := range [...]change{
			{b.id, changeAdded, b.added}, {b.id, changeFlags, b.changed}, {b.id, changeExpunged, b.expunged},
		} {
			if len(c.uids) > 0 {
				log = append(log, c)
			}
		}
	}
	for part, row := range encodeChanges(log) {
		if err := e.tx.Set(e.keys.change(e.modseq, uint16(part)), row); err != nil {
			return err
		}
	}
	if err := e.trimLog(); err != nil {
		return err
	}
	return e.tx.Set(e.keys.head(), e.head.encode())
}

func (e *edit) trimLog() error {
	if e.modseq%logTrim != 0 || e.modseq <= e.head.logFloor+logKeep+logTrim {
		return nil
	}
	floor := e.modseq - logKeep
	err := e.tx.DeleteRange(e.keys.change(e.head.logFloor, 0), e.keys.change(floor+1, 0))
	e.head.logFloor = floor
	return err
}

// readEntries reads the hot rows of ascending UIDs; those that are gone are
// passed over. Neighbours are read in one scan.
func readEntries(r kv.Reader, k keyspace, box uint32, uids []uint32) ([]Entry, error) {
	const gap = 8 // rows that a scan may pass over in vain
	out := make([]Entry, 0, len(uids))
	for len(uids) > 0 {
		n := 1
		for n < len(uids) && uids[n]-uids[n-1] <= gap {
			n++
		}
		var err error
		if n < 3 {
			out, err = getEntry(r, k, box, uids[0], out)
			n = 1
		} else {
			out, err = scanEntries(r, k, box, uids[:n], out)
		}
		if err != nil {
			return nil, err
		}
		uids = uids[n:]
	}
	return out, nil
}

func getEntry(r kv.Reader, k keyspace, box, uid uint32, out []Entry) ([]Entry, error) {
	b, err := r.Get(k.message(box, uid))
	if errors.Is(err, kv.ErrNotFound) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	var e Entry
	if err := decodeEntry(uid, b, &e); err != nil {
		return nil, err
	}
	return append(out, e), nil
}

func scanEntries(r kv.Reader, k keyspace, box uint32, uids []uint32, out []Entry) ([]Entry, error) {
	var bad error
	from, to := k.message(box, uids[0]), k.message(box, uids[len(uids)-1]).End()
	err := r.Scan(from, to, func(key, value []byte) bool {
		uid := uidOf(key)
		for len(uids) > 0 && uids[0] < uid {
			uids = uids[1:]
		}
		if len(uids) == 0 || uids[0] != uid {
			return true
		}
		var e Entry
		if bad = decodeEntry(uid, value, &e); bad != nil {
			return false
		}
		out = append(out, e)
		return true
	})
	if err != nil {
		return nil, err
	}
	return out, bad
}
