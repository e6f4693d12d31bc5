package segment

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"posthouse/internal/blob"
)

// A segment file is a head, records, and, once it is sealed, a trailer. All
// numbers are little-endian. A record is a header, the body and the meta.
//
//	head     magic 8 | segment 4 | version 1 | zero 3 | nonce 8 | created 8 | zero 28 | CRC 4
//	header   magic 4 | version 1 | zero 3 | nonce 8 | body length 8 | meta length 4 |
//	         body CRC 4 | meta CRC 4 | origin segment 4 | origin offset 4 |
//	         own offset 4 | created 8 | own segment 4 | CRC 4
//	trailer  magic 8 | version 1 | zero 7 | nonce 8 | records 8 | zero 28 | CRC 4
//
// The nonce is random and the same in the whole file. Together with the own
// segment and offset it tells a record from the copy of one in somebody's mail.
const (
	headSize    = 64
	headerSize  = 64
	trailerSize = 64
	crcAt       = 60 // of all three: the CRC of the bytes before it

	version = 1

	headMagic    = 0x0131474553534850 // "PHSSEG1\x01"
	recordMagic  = 0x43455250         // "PREC"
	trailerMagic = 0x01444e4553534850 // "PHSSEND\x01"
)

// maxBody bounds what a header may claim.
const maxBody = 1 << 48

// errHeader means that bytes are not what they should be a header of.
var errHeader = errors.New("segment: damaged header")

// errVersion means that a newer version of this program wrote the file.
var errVersion = errors.New("segment: written by a newer version")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// place is where a record lies now.
type place struct {
	segment uint32
	offset  uint32
}

// header describes one record.
type header struct {
	at      place // where it lies
	origin  place // where it first lay; zero when it never moved
	nonce   uint64
	bodyLen uint64
	bodyCRC uint32
	metaLen uint32
	metaCRC uint32
	created int64 // Unix nanoseconds
}

// size is the length of the whole record.
func (h *header) size() int64 { return headerSize + int64(h.bodyLen) + int64(h.metaLen) }

// ref is the reference that was given when the record was first stored.
func (h *header) ref() blob.Ref {
	p := h.at
	if h.origin != (place{}) {
		p = h.origin
	}
	return blob.Ref{Segment: p.segment, Offset: p.offset, Length: h.bodyLen}
}

// encode writes the header into b, which is headerSize long.
func (h *header) encode(b []byte) {
	le := binary.LittleEndian
	clear(b[:headerSize])
	le.PutUint32(b, recordMagic)
	b[4] = version
	le.PutUint64(b[8:], h.nonce)
	le.PutUint64(b[16:], h.bodyLen)
	le.PutUint32(b[24:], h.metaLen)
	le.PutUint32(b[28:], h.bodyCRC)
	le.PutUint32(b[32:], h.metaCRC)
	le.PutUint32(b[36:], h.origin.segment)
	le.PutUint32(b[40:], h.origin.offset)
	le.PutUint32(b[44:], h.at.offset)
	le.PutUint64(b[48:], uint64(h.created))
	le.PutUint32(b[56:], h.at.segment)
	le.PutUint32(b[crcAt:], checksum(b[:crcAt]))
}

// parseHeader reads the header of the record at a place. It answers errHeader
// for anything that was not written there.
func parseHeader(b []byte, at place, nonce uint64) (header, error) {
	le := binary.LittleEndian
	if len(b) < headerSize || le.Uint32(b) != recordMagic || le.Uint32(b[crcAt:]) != checksum(b[:crcAt]) {
		return header{}, errHeader
	}
	if b[4] > version {
		return header{}, errVersion
	}
	h := header{
		at:      place{le.Uint32(b[56:]), le.Uint32(b[44:])},
		origin:  place{le.Uint32(b[36:]), le.Uint32(b[40:])},
		nonce:   le.Uint64(b[8:]),
		bodyLen: le.Uint64(b[16:]),
		metaLen: le.Uint32(b[24:]),
		bodyCRC: le.Uint32(b[28:]),
		metaCRC: le.Uint32(b[32:]),
		created: int64(le.Uint64(b[48:])),
	}
	if h.at != at || h.nonce != nonce || h.bodyLen > maxBody || h.metaLen > blob.MaxMeta {
		return header{}, errHeader
	}
	return h, nil
}

// head begins a segment file.
type head struct {
	segment uint32
	nonce   uint64
	created int64
}

func (h *head) encode(b []byte) {
	le := binary.LittleEndian
	clear(b[:headSize])
	le.PutUint64(b, headMagic)
	le.PutUint32(b[8:], h.segment)
	b[12] = version
	le.PutUint64(b[16:], h.nonce)
	le.PutUint64(b[24:], uint64(h.created))
	le.PutUint32(b[crcAt:], checksum(b[:crcAt]))
}

func parseHead(b []byte, segment uint32) (head, error) {
	le := binary.LittleEndian
	if len(b) < headSize || le.Uint64(b) != headMagic || le.Uint32(b[crcAt:]) != checksum(b[:crcAt]) {
		return head{}, errHeader
	}
	if b[12] > version {
		return head{}, errVersion
	}
	h := head{segment: le.Uint32(b[8:]), nonce: le.Uint64(b[16:]), created: int64(le.Uint64(b[24:]))}
	if h.segment != segment {
		return head{}, errHeader
	}
	return h, nil
}

// trailer ends a sealed segment file.
type trailer struct {
	nonce uint64
	count int64 // of records
}

func (t *trailer) encode(b []byte) {
	le := binary.LittleEndian
	clear(b[:trailerSize])
	le.PutUint64(b, trailerMagic)
	b[8] = version
	le.PutUint64(b[16:], t.nonce)
	le.PutUint64(b[24:], uint64(t.count))
	le.PutUint32(b[crcAt:], checksum(b[:crcAt]))
}

func parseTrailer(b []byte, nonce uint64) (trailer, bool) {
	le := binary.LittleEndian
	if len(b) < trailerSize || le.Uint64(b) != trailerMagic || le.Uint32(b[crcAt:]) != checksum(b[:crcAt]) {
		return trailer{}, false
	}
	t := trailer{nonce: le.Uint64(b[16:]), count: int64(le.Uint64(b[24:]))}
	return t, t.nonce == nonce && t.count >= 0
}

// headerNonce is the nonce that b, a header, names.
func headerNonce(b []byte) uint64 { return binary.LittleEndian.Uint64(b[8:]) }
