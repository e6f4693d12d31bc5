package mailbox

import (
	"encoding/binary"
	"errors"
	"fmt"

	"posthouse/internal/blob"
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
	b = binary.AppendUvarint(b, uint64(h.nextBox))
	b = binary.AppendUvarint(b, h.nextMessage)
	b = binary.AppendUvarint(b, h.modseq)
	b = binary.AppendUvarint(b, h.logFloor)
	b = binary.AppendUvarint(b, h.listSeq)
	b = binary.AppendVarint(b, h.bytes)
	b = binary.AppendVarint(b, h.messages)
	return binary.AppendUvarint(b, uint64(h.uidValidity))
}

func decodeHead(b []byte) (head, error) {
	r := newRowReader(b)
	h := head{
		nextBox:     uint32(r.uvarint()),
		nextMessage: r.uvarint(),
		modseq:      r.uvarint(),
		logFloor:    r.uvarint(),
		listSeq:     r.uvarint(),
		bytes:       r.varint(),
		messages:    r.varint(),
		uidValidity: uint32(r.uvarint()),
	}
	return h, r.check("head")
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
}

func (m *boxRow) encode() []byte {
	b := make([]byte, 1, 64+len(m.name))
	b[0] = rowVersion
	b = appendString(b, m.name)
	b = appendString(b, m.specialUse)
	b = binary.AppendUvarint(b, uint64(m.uidValidity))
	b = binary.AppendUvarint(b, uint64(m.uidNext))
	b = binary.AppendUvarint(b, m.modseq)
	b = binary.AppendUvarint(b, uint64(m.keywords))
	b = binary.AppendUvarint(b, uint64(m.exists))
	b = binary.AppendUvarint(b, uint64(m.unseen))
	b = binary.AppendUvarint(b, uint64(m.deleted))
	b = binary.AppendVarint(b, m.size)
	return binary.AppendVarint(b, m.deletedSize)
}

func decodeBox(b []byte) (boxRow, error) {
	r := newRowReader(b)
	m := boxRow{
		name:        r.string(),
		specialUse:  r.string(),
		uidValidity: uint32(r.uvarint()),
		uidNext:     uint32(r.uvarint()),
		modseq:      r.uvarint(),
		keywords:    int(r.uvarint()),
		exists:      uint32(r.uvarint()),
		unseen:      uint32(r.uvarint()),
		deleted:     uint32(r.uvarint()),
		size:        r.varint(),
		deletedSize: r.varint(),
	}
	return m, r.check("mailbox")
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
}

func (m *boxRow) status(id uint32) Status {
	return Status{
		Messages: m.exists, Unseen: m.unseen, Deleted: m.deleted,
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
	b = binary.AppendUvarint(b, uint64(r.rows))
	return binary.AppendUvarint(b, uint64(r.hour))
}

func decodeBody(b []byte) (bodyRow, error) {
	r := newRowReader(b)
	row := bodyRow{}
	if ref, ok := blob.ParseRef(r.b); ok {
		row.ref, r.b = ref, r.b[blob.RefSize:]
	} else {
		r.bad = true
	}
	row.rows = uint32(r.uvarint())
	row.hour = uint32(r.uvarint())
	return row, r.check("body")
}

// nameRow is the value of the name index.
type nameRow struct {
	id         uint32
	specialUse string
}

func (n *nameRow) encode() []byte {
	b := binary.AppendUvarint([]byte{rowVersion}, uint64(n.id))
	return appendString(b, n.specialUse)
}

func decodeName(b []byte) (nameRow, error) {
	r := newRowReader(b)
	n := nameRow{id: uint32(r.uvarint()), specialUse: r.string()}
	return n, r.check("name")
}

// threadRow is the value of the thread index: the thread, and the message whose
// end takes the row with it.
type threadRow struct{ thread, message uint64 }

func (t *threadRow) encode() []byte {
	b := binary.AppendUvarint([]byte{rowVersion}, t.thread)
	return binary.AppendUvarint(b, t.message)
}

func decodeThread(b []byte) (threadRow, error) {
	r := newRowReader(b)
	t := threadRow{thread: r.uvarint(), message: r.uvarint()}
	return t, r.check("thread")
}

func encodeKeywords(names []string) []byte {
	b := []byte{rowVersion}
	for _, n := range names {
		b = appendString(b, n)
	}
	return b
}

func decodeKeywords(b []byte) ([]string, error) {
	r := newRowReader(b)
	var names []string
	for len(r.b) > 0 && !r.bad {
		names = append(names, r.string())
	}
	return names, r.check("keywords")
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// rowReader takes a row apart; after the first fault everything reads as zero.
type rowReader struct {
	b   []byte
	bad bool
}

func newRowReader(b []byte) *rowReader {
	if len(b) == 0 || b[0] != rowVersion {
		return &rowReader{bad: true}
	}
	return &rowReader{b: b[1:]}
}

func (r *rowReader) uvarint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *rowReader) varint() int64 {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *rowReader) string() string {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *rowReader) check(what string) error {
	if r.bad {
		return fmt.Errorf("%w: %s", errRow, what)
	}
	return nil
}
