package mailbox

import (
	"encoding/hex"
	"errors"
	"reflect"
	"testing"

	"posthouse/internal/message"
)

// FuzzRows reads anything as each kind of row. What is damaged is an error that
// says so; what is read is written and read again as it was.
func FuzzRows(f *testing.F) {
	for _, stored := range []string{
		"0103ac02808080808020070801e0c50880e2cfaa06", "0109456e7477c3bc726665075c44726166747380e2cfaa0609ac020208010280890fc601",
		"010000000100000002000000000000000304a0c21e", "01c801055c53656e74", "0105d804", "010a24466f7277617264656404776f726b",
		"", "01", "02", "01ffffffffffffffffff01", "0101" + "00" + "05" + "0100010101",
		"010000" + "0101" + "01" + "ffffffffffffffffff01" + "000000" + "0000", // a mailbox of 2^64-1 keywords
	} {
		b, err := hex.DecodeString(stored)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(appendEntry(nil, &Entry{Flags: Seen, Keywords: 3, Size: 9}))
	f.Add(appendChange([]byte{rowVersion}, 3, 1, UIDSet{{1, 4}, {6, 9}}))
	f.Add(encodeSummary(message.Parse([]byte("Subject: x\r\n\r\ny\r\n"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		again(t, b, decodeHead, (*head).encode)
		again(t, b, decodeBody, (*bodyRow).encode)
		again(t, b, decodeName, (*nameRow).encode)
		again(t, b, decodeThread, (*threadRow).encode)
		again(t, b, decodeKeywords, func(names *[]string) []byte { return encodeKeywords(*names) })
		again(t, b, decodeBox, (*boxRow).encode)
		again(t, b, func(b []byte) (e Entry, err error) { return e, decodeEntry(1, b, &e) }, func(e *Entry) []byte { return appendEntry(nil, e) })
		n := 0
		if err := decodeChanges(b, 0, func(c change) { n += len(c.uids) }); err != nil && !errors.Is(err, errRow) {
			t.Error(err)
		}
		if n > len(b) {
			t.Errorf("%d ranges in %d bytes", n, len(b))
		}
		_, _ = decodeSummary(b)
	})
}

func again[T any](t *testing.T, b []byte, decode func([]byte) (T, error), encode func(*T) []byte) {
	t.Helper()
	row, err := decode(b)
	if err != nil {
		if !errors.Is(err, errRow) {
			t.Errorf("%x: %v", b, err)
		}
		return
	}
	if back, err := decode(encode(&row)); err != nil || !reflect.DeepEqual(back, row) {
		t.Errorf("%x: %+v, then %+v, %v", b, row, back, err)
	}
}

// A count of keywords that no mailbox can have is damage, and not a number to
// shift by.
func TestBoxRowKeywords(t *testing.T) {
	for n, good := range map[int]bool{0: true, maxKeywords: true, maxKeywords + 1: false, -1: false} {
		row := boxRow{name: "a", keywords: n}
		if _, err := decodeBox(row.encode()); (err == nil) != good {
			t.Errorf("%d keywords: %v", n, err)
		}
	}
}
