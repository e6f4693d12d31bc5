package queue

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"posthouse/internal/journal"
)

// TestDamagedOnDisk has a disk that flips a bit of a message that waits: it is tried
// and told to the operator, and the next server gets nothing that is not as it was
// accepted. What the store holds before the message counts too.
func TestDamagedOnDisk(t *testing.T) {
	s := newSink(t)
	dir := t.TempDir()
	tried := make(chan journal.Event, 10)
	h := openDisk(t, dir, s.ln.Addr().String(), func(e *journal.Event) {
		if e.Kind == journal.Attempted || e.Kind == journal.Relayed {
			tried <- *e
		}
	})
	const trace = "Return-Path: <alice@example.test>\r\n"
	m, err := h.acceptBehind(trace, messageText("<1@example.test>", 1000), "bob@example.net")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "log", "00000001.seg")
	all, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(all), "Subject: x")
	if at < 0 {
		t.Fatal("the message is not in the log")
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("R"), int64(at)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := h.q.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	e := <-tried
	if e.Kind != journal.Attempted || e.Message != m.Envelope.ID || e.Code != 451 || !strings.Contains(e.Text, "damaged") {
		t.Errorf("%+v", e)
	}
	h.close(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) > 0 {
		t.Errorf("taken: %v", s.seen)
	}
}
