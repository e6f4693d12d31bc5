package mailbox

import (
	"encoding/binary"
	"errors"
	"fmt"

	"posthouse/internal/blob"
	"posthouse/internal/rowcodec"
)

// Every row begins with a byte for its version, so that later forms can stand
// beside this one.
const rowVersion = 1

// errRow is wrapped by what a row that cannot be read answers.
var errRow = errors.New("mailbox: damaged row")

// head is the one row that every change of an account goes through.
type head struct {
	nextBox     uint32 // id of the next mailbox
	nextMessage uint64
	modseq      uint64 // of the latest change
	logFloor    uint64 // changes up to and including this one are not in the log any more
	listSeq     uint64 // modseq of the latest change of the list of mailboxes
	bytes       int64  // used, each message row counted
	messages    int64
	uidValidity uint32 // the latest given
}

func (h *head) encode() []byte {
	b := make([]byte, 1, 48)
	b[0] = rowVersion
	b = rowcodec.AppendUvarint(b, uint64(h.nextBox))
	b = rowcodec.AppendUvarint(b, h.nextMessage)
	b = rowcodec.AppendUvarint(b, h.modseq)
	b = rowcodec.AppendUvarint(b, h.logFloor)
	b = rowcodec.AppendUvarint(b, h.listSeq)
	b = rowcodec.AppendVarint(b, h.bytes)
	b = rowcodec.AppendVarint(b, h.messages)
	return rowcodec.AppendUvarint(b, uint64(h.uidValidity))
}

func decodeHead(b []byte) (head, error) {
	r := newRowReader(b)
	h := head{
		nextBox:     uint32(r.Uvarint()),
		nextMessage: r.Uvarint(),
		modseq:      r.Uvarint(),
		logFloor:    r.Uvarint(),
		listSeq:     r.Uvarint(),
		bytes:       r.Varint(),
		messages:    r.Varint(),
		uidValidity: uint32(r.Uvarint()),
	}
	return h, checkRow(&r, "head")
}

// boxRow is what the store keeps of a mailbox, beside its keywords.
type boxRow struct {
	name        string
	specialUse  string
	uidValidity uint32
	uidNext     uint32
	modseq      uint64 // HIGHESTMODSEQ
	keywords    int    // length of the dictionary
	exists      uint32
	unseen      uint32
	deleted     uint32
	size        int64
	deletedSize int64
	recentFrom  uint32 // the first UID that no session was told of; see Mailbox.Recent
	recent      uint32 // the messages from there on
}

func (m *boxRow) encode() []byte {
	b := make([]byte, 1, 64+len(m.name))
	b[0] = rowVersion
	b = rowcodec.AppendString(b, m.name)
	b = rowcodec.AppendString(b, m.specialUse)
	b = rowcodec.AppendUvarint(b, uint64(m.uidValidity))
	b = rowcodec.AppendUvarint(b, uint64(m.uidNext))
	b = rowcodec.AppendUvarint(b, m.modseq)
	b = rowcodec.AppendUvarint(b, uint64(m.keywords))
	b = rowcodec.AppendUvarint(b, uint64(m.exists))
	b = rowcodec.AppendUvarint(b, uint64(m.unseen))
	b = rowcodec.AppendUvarint(b, uint64(m.deleted))
	b = rowcodec.AppendVarint(b, m.size)
	b = rowcodec.AppendVarint(b, m.deletedSize)
	b = rowcodec.AppendUvarint(b, uint64(m.recentFrom))
	return rowcodec.AppendUvarint(b, uint64(m.recent))
}

func decodeBox(b []byte) (boxRow, error) {
	r := newRowReader(b)
	m := boxRow{
		name:        r.String(),
		specialUse:  r.String(),
		uidValidity: uint32(r.Uvarint()),
		uidNext:     uint32(r.Uvarint()),
		modseq:      r.Uvarint(),
		keywords:    int(r.Uvarint()),
		exists:      uint32(r.Uvarint()),
		unseen:      uint32(r.Uvarint()),
		deleted:     uint32(r.Uvarint()),
		size:        r.Varint(),
		deletedSize: r.Varint(),
	}
	m.recentFrom = m.uidNext // of rows from before this was kept
	if r.Len() > 0 {
		m.recentFrom, m.recent = uint32(r.Uvarint()), uint32(r.Uvarint())
	}
	if m.keywords < 0 || m.keywords > maxKeywords {
		r.Fail()
	}
	return m, checkRow(&r, "mailbox")
}

// count adds a message to the counters, or with sign -1 takes it away.
func (m *boxRow) count(e *Entry, sign int) {
	m.exists += uint32(sign)
	m.size += int64(sign) * int64(e.Size)
	if e.Flags&Seen == 0 {
		m.unseen += uint32(sign)
	}
	if e.Flags&Deleted != 0 {
		m.deleted += uint32(sign)
		m.deletedSize += int64(sign) * int64(e.Size)
	}
	if e.UID >= m.recentFrom {
		m.recent += uint32(sign)
	}
}

func (m *boxRow) status(id uint32) Status {
	return Status{
		Messages: m.exists, Unseen: m.unseen, Deleted: m.deleted, Recent: m.recent,
		Size: m.size, DeletedSize: m.deletedSize,
		UIDNext: m.uidNext, UIDValidity: m.uidValidity, HighestModSeq: m.modseq, ID: id,
	}
}

// hotSize is the length of a hot row: fixed, so that 100,000 of them are read quickly.
const hotSize = 1 + 2 + 8 + 8 + 4 + 8 + 8 + 8 + 8

func appendEntry(b []byte, e *Entry) []byte {
	b = append(b, rowVersion)
	b = binary.BigEndian.AppendUint16(b, uint16(e.Flags))
	b = binary.BigEndian.AppendUint64(b, e.Keywords)
	b = binary.BigEndian.AppendUint64(b, e.ModSeq)
	b = binary.BigEndian.AppendUint32(b, e.Size)
	b = binary.BigEndian.AppendUint64(b, uint64(e.InternalDate))
	b = binary.BigEndian.AppendUint64(b, uint64(e.SaveDate))
	b = binary.BigEndian.AppendUint64(b, e.Message)
	return binary.BigEndian.AppendUint64(b, e.Thread)
}

// decodeEntry reads a hot row into e; the UID comes from its key.
func decodeEntry(uid uint32, b []byte, e *Entry) error {
	if len(b) != hotSize || b[0] != rowVersion {
		return fmt.Errorf("%w: message, uid %d", errRow, uid)
	}
	e.UID = uid
	e.Flags = Flags(binary.BigEndian.Uint16(b[1:]))
	e.Keywords = binary.BigEndian.Uint64(b[3:])
	e.ModSeq = binary.BigEndian.Uint64(b[11:])
	e.Size = binary.BigEndian.Uint32(b[19:])
	e.InternalDate = int64(binary.BigEndian.Uint64(b[23:]))
	e.SaveDate = int64(binary.BigEndian.Uint64(b[31:]))
	e.Message = binary.BigEndian.Uint64(b[39:])
	e.Thread = binary.BigEndian.Uint64(b[47:])
	return nil
}

// bodyRow says where a message's bytes are and how many hot rows of the account
// use it. With no rows it waits, from hour on, until its time to be recovered is over.
type bodyRow struct {
	ref  blob.Ref
	rows uint32
	hour uint32 // Unix time / 3600 of the expunge; valid when rows is 0
}

func (r *bodyRow) encode() []byte {
	b := make([]byte, 1, 1+blob.RefSize+10)
	b[0] = rowVersion
	b = r.ref.Append(b)
	b = rowcodec.AppendUvarint(b, uint64(r.rows))
	return rowcodec.AppendUvarint(b, uint64(r.hour))
}

func decodeBody(b []byte) (bodyRow, error) {
	r := newRowReader(b)
	row := bodyRow{}
	row.ref, _ = blob.ParseRef(r.Take(blob.RefSize)) // too few bytes make r bad
	row.rows = uint32(r.Uvarint())
	row.hour = uint32(r.Uvarint())
	return row, checkRow(&r, "body")
}

// nameRow is the value of the name index.
type nameRow struct {
	id         uint32
	specialUse string
}

func (n *nameRow) encode() []byte {
	b := rowcodec.AppendUvarint([]byte{rowVersion}, uint64(n.id))
	return rowcodec.AppendString(b, n.specialUse)
}

func decodeName(b []byte) (nameRow, error) {
	r := newRowReader(b)
	n := nameRow{id: uint32(r.Uvarint()), specialUse: r.String()}
	return n, checkRow(&r, "name")
}

// threadRow is the value of the thread index: the thread, and the message whose
// end takes the row with it.
type threadRow struct{ thread, message uint64 }

func (t *threadRow) encode() []byte {
	b := rowcodec.AppendUvarint([]byte{rowVersion}, t.thread)
	return rowcodec.AppendUvarint(b, t.message)
}

func decodeThread(b []byte) (threadRow, error) {
	r := newRowReader(b)
	t := threadRow{thread: r.Uvarint(), message: r.Uvarint()}
	return t, checkRow(&r, "thread")
}

func encodeKeywords(names []string) []byte {
	b := []byte{rowVersion}
	for _, n := range names {
		b = rowcodec.AppendString(b, n)
	}
	return b
}

func decodeKeywords(b []byte) ([]string, error) {
	r := newRowReader(b)
	var names []string
	for r.Len() > 0 && !r.Bad() {
		names = append(names, r.String())
	}
	return names, checkRow(&r, "keywords")
}

// newRowReader reads what follows the version of a row.
func newRowReader(b []byte) rowcodec.Reader {
	r := rowcodec.NewReader(b)
	if r.Byte() != rowVersion {
		r.Fail()
	}
	return r
}

// checkRow is the error of a row in which something was wrong.
func checkRow(r *rowcodec.Reader, what string) error {
	if r.Bad() {
		return fmt.Errorf("%w: %s", errRow, what)
	}
	return nil
}
