package queue

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"posthouse/internal/blob"
	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/rowcodec"
	"posthouse/internal/smtp"
)

// head is the part of a message row that the schedule keeps in memory.
type head struct {
	from    smtp.Address
	body    blob.Ref
	size    int64
	created time.Time
	expires time.Time
	// What decides its turn and its source.
	stream   envelope.Stream
	priority int
	// notice is when its sender is told that it takes long; zero is some time
	// after created, as configured.
	notice time.Time
	// holder is the account that has it held until a time (FUTURERELEASE); 0 is
	// nobody.
	holder id.Account
}

var streams = []envelope.Stream{envelope.Person, envelope.Transactional, envelope.Bulk}

// rest is the other part, as JSON.
type rest struct {
	Envelope  envelope.Envelope `json:"env"`
	Skip      int64             `json:"skip,omitempty"`
	EightBit  bool              `json:"eight,omitempty"`
	UTF8      bool              `json:"utf8,omitempty"`
	BareLines bool              `json:"bare,omitempty"`
	MessageID string            `json:"mid,omitempty"`
}

func encodeMessage(h *head, m *Message) ([]byte, error) {
	r := rest{Envelope: *m.Envelope, Skip: m.Skip, EightBit: m.EightBit, UTF8: m.UTF8, BareLines: m.BareLines, MessageID: m.MessageID}
	r.Envelope.Rcpts = nil
	text, err := json.Marshal(&r)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, 128+len(text))
	b = append(b, messageVersion)
	b = h.body.Append(b)
	b = rowcodec.AppendVarint(b, h.size)
	b = rowcodec.AppendTime(b, h.created)
	b = rowcodec.AppendTime(b, h.expires)
	b = rowcodec.AppendString(b, h.from.Local)
	b = rowcodec.AppendString(b, h.from.Domain)
	b = append(b, byte(max(slices.Index(streams, h.stream), 0)))
	b = rowcodec.AppendVarint(b, int64(h.priority))
	b = rowcodec.AppendTime(b, h.notice)
	b = rowcodec.AppendUvarint(b, uint64(h.holder))
	return append(b, text...), nil
}

func decodeHead(b []byte) (h head, text []byte, err error) {
	d := rowcodec.NewReader(b)
	version := d.Byte()
	if version < 1 || version > messageVersion {
		return head{}, nil, errRow
	}
	h.body, _ = blob.ParseRef(d.Take(blob.RefSize))
	h.size = d.Varint()
	h.created, h.expires = d.Time(), d.Time()
	h.from = smtp.Address{Local: d.String(), Domain: d.String()}
	h.stream = envelope.Person
	if version > 1 {
		h.stream = streams[min(int(d.Byte()), len(streams)-1)]
		h.priority = int(d.Varint())
	}
	if version > 2 {
		h.notice = d.Time()
	}
	if version > 3 {
		h.holder = id.Account(d.Uvarint())
	}
	if d.Bad() {
		return head{}, nil, errRow
	}
	return h, d.Rest(), nil
}

func decodeMessage(b []byte) (*Message, error) {
	h, text, err := decodeHead(b)
	if err != nil {
		return nil, err
	}
	var r rest
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", errRow, err)
	}
	return &Message{
		Envelope: &r.Envelope, Body: h.body, Skip: r.Skip, Size: h.size,
		EightBit: r.EightBit, UTF8: r.UTF8, BareLines: r.BareLines, MessageID: r.MessageID,
	}, nil
}
