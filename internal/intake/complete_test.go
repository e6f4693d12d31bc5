package intake

import (
	"bytes"
	"testing"

	"posthouse/internal/envelope"
	"posthouse/internal/smtp"
)

// What people submit gets the fields it lacks, however it is cut into pieces.
func TestSubmittedMessageIsCompleted(t *testing.T) {
	h := newHouse(t, "alice@example.test")
	a, err := h.directory.Account(t.Context(), addr("alice@example.test"))
	h.must(err)
	const date, msgid = "Date: Sun, 01 Mar 2026 12:00:00 +0000\r\n", "Message-ID: <ID@mx.house.test>\r\n"
	for sent, added := range map[string]string{
		"From: alice@example.test\r\n\r\ntext\r\n":                                    date + msgid,
		"From: alice@example.test\r\ndate: Wed, 1 Jan 2025 12:00:00 +0000\r\n\r\nt":   msgid,
		"MESSAGE-id: <x@y>\r\n\r\n":                                                   date,
		"Message-ID:\r\n <x@y>\r\nDate: Wed, 1 Jan 2025 12:00:00 +0000\r\n\r\nDate:x": "",
		"Subject: no end\r\n":                                                         date + msgid,
		"\r\nDate: in the body\r\n\r\n":                                               date + msgid,
		"":                                                                            date + msgid,
	} {
		for cut := range len(sent) + 1 {
			env := &envelope.Envelope{
				From: addr("alice@example.test"), Rcpts: []envelope.Rcpt{{To: addr("alice@example.test")}},
				Origin: envelope.Origin{Account: a.ID},
			}
			got := h.file(env, sent[:cut], sent[cut:])
			want := bytes.ReplaceAll([]byte(added+sent), []byte("ID@"), []byte(string(env.ID)+"@"))
			if !bytes.HasSuffix(got, append([]byte("+0000\r\n"), want...)) {
				t.Fatalf("%q, cut at %d: %q does not end with %q", sent, cut, got, want)
			}
		}
		env := &envelope.Envelope{From: smtp.Address{}, Rcpts: []envelope.Rcpt{{To: addr("alice@example.test")}}}
		if got := h.file(env, sent); !bytes.HasSuffix(got, []byte("+0000\r\n"+sent)) {
			t.Errorf("from a stranger, %q became %q", sent, got)
		}
	}
}

// file takes a message in pieces and gives it as it lies in the INBOX of alice.
func (h *house) file(env *envelope.Envelope, pieces ...string) []byte {
	h.t.Helper()
	tr, err := h.in.Begin(h.t.Context(), env)
	h.must(err)
	for _, p := range pieces {
		_, err := tr.Write([]byte(p))
		h.must(err)
	}
	_, err = tr.Commit(h.t.Context(), true)
	h.must(err)
	all := h.inbox("alice@example.test")
	return all[len(all)-1]
}
