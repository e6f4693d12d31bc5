package directory

import (
	"bytes"
	"testing"

	"posthouse/internal/blob"
)

// FuzzRows reads anything as each kind of object. What is damaged is an error, and
// what is read is written and read again as it was.
func FuzzRows(f *testing.F) {
	for _, object := range []string{
		`{"v":1,"id":7,"tenant":"t","address":"a@b.test","quota":5,"created":"2024-05-06T07:08:09Z","hash":"$argon2id$","scram":{"salt":"YQ==","iterations":-1}}`,
		`{"v":1,"name":"b.test","created":"2024-05-06T07:08:09Z","dkim":[{"selector":"s","algorithm":"rsa","private":"AAAA"}]}`,
		`{"v":1,"address":"a@b.test","targets":["c@d.test","@","\u0000"]}`, `{"v":1,"next":9,"salt":"YQ==","removed":[{"object":"x","at":"2024-05-06T07:08:09Z"}]}`,
		`{"v":2}`, `{"v":1e400}`, `{"v":1,"dkim":null,"targets":[null]}`, `[]`, `null`, ``,
	} {
		f.Add(encodeRow(blob.Ref{Segment: 1, Offset: 64, Length: 9}, []byte(object)))
	}
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, row []byte) {
		again[accountForm](t, row)
		again[domainForm](t, row)
		again[aliasForm](t, row)
		again[ledgerForm](t, row)
		var d domainForm
		if _, err := decodeRow(row, &d); err == nil {
			for _, key := range d.domain().DKIM {
				_, _ = DKIMRecord(key)
			}
		}
	})
}

func again[T any](t *testing.T, row []byte) {
	t.Helper()
	var first, second T
	ref, err := decodeRow(row, &first)
	if err != nil {
		return
	}
	object, err := encodeObject(&first)
	if err != nil {
		return // a year that JSON cannot say
	}
	back, err := decodeRow(encodeRow(ref, object), &second)
	if err != nil || back != ref {
		t.Fatalf("%q: %+v, then %v", row, first, err)
	}
	if after, err := encodeObject(&second); err != nil || !bytes.Equal(after, object) {
		t.Errorf("%s, then %s, %v", object, after, err)
	}
}
