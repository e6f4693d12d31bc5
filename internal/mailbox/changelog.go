package mailbox

import (
	"posthouse/internal/kv"
	"posthouse/internal/rowcodec"
)

// changeKind says what a transaction did to messages of a mailbox.
type changeKind uint8

const (
	changeAdded changeKind = iota + 1
	changeFlags
	changeExpunged
)

// change is an entry of the change log: one transaction, one mailbox, one kind.
type change struct {
	box  uint32
	kind changeKind
	uids UIDSet
}

// The log of an account keeps its last logKeep changes, trimmed each time that
// logTrim more have come; older clients of QRESYNC and views get everything anew.
const (
	logKeep = 100_000
	logTrim = 4_096
)

// maxChangeRow is the most bytes in one row of the log (kv values end at 64 KB).
const maxChangeRow = 48 << 10

// encodeChanges writes changes as rows of bounded size.
func encodeChanges(list []change) [][]byte {
	var rows [][]byte
	row := []byte{rowVersion}
	for _, c := range list {
		left := c.uids
		for len(left) > 0 {
			// a range takes at most 10 bytes, the entry's start at most 16
			room := (maxChangeRow - len(row) - 16) / 10
			if room < 1 {
				rows = append(rows, row)
				row = []byte{rowVersion}
				continue
			}
			n := min(room, len(left))
			row = appendChange(row, c.box, c.kind, left[:n])
			left = left[n:]
		}
	}
	if len(row) > 1 {
		rows = append(rows, row)
	}
	return rows
}

func appendChange(b []byte, box uint32, kind changeKind, uids UIDSet) []byte {
	b = rowcodec.AppendUvarint(b, uint64(box))
	b = append(b, byte(kind))
	b = rowcodec.AppendUvarint(b, uint64(len(uids)))
	prev := uint32(0)
	for _, r := range uids {
		b = rowcodec.AppendUvarint(b, uint64(r.First-prev))
		b = rowcodec.AppendUvarint(b, uint64(r.Last-r.First))
		prev = r.Last
	}
	return b
}

// decodeChanges calls fn for the entries of a row that concern box (0: all).
func decodeChanges(b []byte, box uint32, fn func(change)) error {
	r := newRowReader(b)
	for r.Len() > 0 && !r.Bad() {
		c := change{box: uint32(r.Uvarint())}
		c.kind = changeKind(r.Uvarint())
		n := r.Uvarint()
		if n > uint64(r.Len()) {
			r.Fail()
			break
		}
		wanted := box == 0 || c.box == box
		if wanted {
			c.uids = make(UIDSet, 0, n)
		}
		prev := uint32(0)
		for range n {
			first := prev + uint32(r.Uvarint())
			prev = first + uint32(r.Uvarint())
			if wanted {
				c.uids = append(c.uids, UIDRange{first, prev})
			}
		}
		if wanted && !r.Bad() {
			fn(c)
		}
	}
	return checkRow(&r, "change log")
}

// readChanges calls fn for the changes of box after modseq since, in order.
func readChanges(r kv.Reader, k keyspace, since uint64, box uint32, fn func(change)) error {
	var bad error
	err := r.Scan(k.change(since+1, 0), k.kind(kindChange).End(), func(_, value []byte) bool {
		bad = decodeChanges(value, box, fn)
		return bad == nil
	})
	if err != nil {
		return err
	}
	return bad
}
