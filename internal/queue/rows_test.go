package queue

import (
	"encoding/hex"
	"reflect"
	"testing"
	"time"

	"posthouse/internal/courier"
	"posthouse/internal/envelope"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// What is on disk stays readable: an entry row has these bytes, whatever code
// writes it.
func TestStoredEntryRow(t *testing.T) {
	const stored = "01770eac028a8095ee8c91d0972f" + "03616e6e09612e6578616d706c65" + "06583a20790d0a" + "054e45564552" +
		"147266633832323b616e6e40612e6578616d706c65" + "c303040701" + "056c617465720c6d782e612e6578616d706c65" +
		"028a80d0e2c6bfce972f0c6d782e612e6578616d706c650f34353120342e372e31206c61746572000000" +
		"760d00000000000000000000000002" + "720a8a80d0e2c6bfce972f01" + "3e14736d74703a2f2f72656c61792e6578616d706c65"
	at := time.Unix(1700000000, 5)
	r := &row{
		rcpt: Rcpt{Prepend: "X: y\r\n", Rcpt: envelope.Rcpt{
			To: smtp.Address{Local: "ann", Domain: "a.example"}, Notify: "NEVER", ORcpt: "rfc822;ann@a.example",
			RRVS: at.UTC(), RRVSContinue: true,
		}},
		state: Waiting, notified: true, attempts: 300, next: at.Add(time.Hour), uncertain: 2, via: "smtp://relay.example",
		last:    courier.Outcome{Code: 451, Enhanced: status.Enhanced{Class: 4, Subject: 7, Detail: 1}, Text: "later", Host: "mx.a.example", Remote: true},
		history: []Attempt{{At: at, Host: "mx.a.example", Result: "451 4.7.1 later"}, {}},
	}
	if got := hex.EncodeToString(r.encode()); got != stored {
		t.Errorf("written as %s", got)
	}
	b, err := hex.DecodeString(stored)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeRow(b, false)
	if err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("read as %+v, %v", got, err)
	}
	if _, err := decodeRow(b[:len(b)-1], false); err == nil {
		t.Error("a row cut short was read")
	}
}
