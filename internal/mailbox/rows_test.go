package mailbox

import (
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"posthouse/internal/blob"
)

// What is on disk stays readable: the rows have these bytes, whatever code
// writes them; and a row cut short is an error.
func TestStoredRows(t *testing.T) {
	h := head{nextBox: 3, nextMessage: 300, modseq: 1 << 40, logFloor: 7, listSeq: 8, bytes: -1, messages: 70000, uidValidity: 1700000000}
	box := boxRow{name: "Entwürfe", specialUse: "\\Drafts", uidValidity: 1700000000, uidNext: 9, modseq: 300, keywords: 2, exists: 8, unseen: 1, deleted: 2, size: 123456, deletedSize: 99, recentFrom: 7, recent: 300}
	body := bodyRow{ref: blob.Ref{Segment: 1, Offset: 2, Length: 3}, rows: 4, hour: 500000}
	name := nameRow{id: 200, specialUse: "\\Sent"}
	thread := threadRow{thread: 5, message: 600}
	keywords := []string{"$Forwarded", "work"}
	tests := []struct {
		name, stored string
		written      []byte
		value        any
		read         func([]byte) (any, error)
	}{
		{"head", "0103ac02808080808020070801e0c50880e2cfaa06", h.encode(), h, func(b []byte) (any, error) { return decodeHead(b) }},
		{"mailbox", "0109456e7477c3bc726665075c44726166747380e2cfaa0609ac020208010280890fc60107ac02", box.encode(), box, func(b []byte) (any, error) { return decodeBox(b) }},
		{"body", "010000000100000002000000000000000304a0c21e", body.encode(), body, func(b []byte) (any, error) { return decodeBody(b) }},
		{"name", "01c801055c53656e74", name.encode(), name, func(b []byte) (any, error) { return decodeName(b) }},
		{"thread", "0105d804", thread.encode(), thread, func(b []byte) (any, error) { return decodeThread(b) }},
		{"keywords", "010a24466f7277617264656404776f726b", encodeKeywords(keywords), keywords, func(b []byte) (any, error) { return decodeKeywords(b) }},
	}
	for _, test := range tests {
		if got := hex.EncodeToString(test.written); got != test.stored {
			t.Errorf("%s is written as %s", test.name, got)
		}
		b, err := hex.DecodeString(test.stored)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := test.read(b); err != nil || !reflect.DeepEqual(got, test.value) {
			t.Errorf("%s is read as %+v, %v", test.name, got, err)
		}
		if _, err := test.read(b[:max(len(b)-1, 0)]); err == nil {
			t.Errorf("%s cut short was read", test.name)
		}
	}
	// A mailbox's row from before it told what is recent: nothing is.
	box.recentFrom, box.recent = box.uidNext, 0
	b, err := hex.DecodeString(strings.TrimSuffix(tests[1].stored, "07ac02"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeBox(b); err != nil || got != box {
		t.Errorf("the old row of a mailbox is read as %+v, %v", got, err)
	}
}
