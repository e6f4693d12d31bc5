package queue

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"posthouse/internal/journal"
)

const childDir, childVia = "QUEUE_TEST_DIR", "QUEUE_TEST_VIA"

// TestChild is the process that TestKill kills: it accepts messages as fast as
// it can and says which, after they are durable, and which are recorded as sent.
func TestChild(t *testing.T) {
	dir, via := os.Getenv(childDir), os.Getenv(childVia)
	if dir == "" {
		t.Skip("only as a child of TestKill")
	}
	h := openDisk(t, dir, via, func(e *journal.Event) { fmt.Println(e.Kind, e.Message) })
	if err := h.q.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 100_000 {
		mid := fmt.Sprintf("<%d.%d@test>", os.Getpid(), i)
		m, err := h.accept(messageText(mid, 500), "bob@example.net")
		if err != nil {
			t.Fatal(err)
		}
		h.q.Enqueued(m)
		fmt.Println("accepted", m.Envelope.ID, mid)
	}
}

// lives are processes with one store, one after another: what they said, and
// what came of it.
type lives struct {
	sinks []*sink // each life's own

	mu       sync.Mutex
	accepted map[string]string // Message-IDs by ID
	recorded map[string][]int  // the lives that recorded it as sent, by ID
}

// record notes that the present life recorded a message as sent.
func (l *lives) record(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recorded[id] = append(l.recorded[id], len(l.sinks)-1)
}

// sink begins a life.
func (l *lives) sink(t *testing.T) *sink {
	s := newSink(t)
	l.sinks = append(l.sinks, s)
	return s
}

// listen reads what a process says to its end, and gives what it should not have
// said.
func (l *lives) listen(out io.Reader) (other string) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		switch word := strings.Fields(lines.Text()); {
		case len(word) == 3 && word[0] == "accepted":
			l.mu.Lock()
			l.accepted[word[1]] = word[2]
			l.mu.Unlock()
		case len(word) == 2 && word[0] == string(journal.Relayed):
			l.record(word[1])
		default:
			other += lines.Text() + "\n"
		}
	}
	return other
}

// kill lets a process live until it has sent 150 messages.
func (l *lives) kill(t *testing.T, dir string) {
	t.Helper()
	s := l.sink(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$", "-test.v")
	cmd.Env = append(os.Environ(), childDir+"="+dir, childVia+"="+s.ln.Addr().String())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan string, 1)
	go func() { ended <- l.listen(out) }()
	for range 150 {
		select {
		case <-s.took:
		case other := <-ended:
			t.Fatalf("the process ended by itself (%v):\n%s", cmd.Wait(), other)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	_ = cmd.Wait() // killed
}

// judge compares what was said with what came.
func (l *lives) judge(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	sent, twice := map[string]int{}, 0
	for i, s := range l.sinks {
		s.mu.Lock()
		defer s.mu.Unlock()
		for mid, n := range s.seen {
			if n > 1 {
				t.Errorf("%s was sent %d times in life %d", mid, n, i)
			}
			if sent[mid] += n; sent[mid] > 1 {
				twice++
			}
		}
	}
	for id, mid := range l.accepted {
		if sent[mid] == 0 {
			t.Errorf("%s was accepted and never sent", mid)
		}
		by := l.recorded[id]
		if len(by) > 1 {
			t.Errorf("%s was recorded as sent in the lives %v", mid, by)
		}
		if len(by) == 0 {
			continue // the process died before it could tell
		}
		for i, s := range l.sinks[by[0]+1:] {
			if s.seen[mid] > 0 {
				t.Errorf("%s was recorded as sent in life %d and sent again in life %d", mid, by[0], by[0]+1+i)
			}
		}
	}
	t.Logf("%d accepted, %d sent, %d twice", len(l.accepted), len(sent), twice)
}

// kill -9 while messages come in and go out: none that was accepted is lost, and
// what was recorded as sent is not sent again.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	l := &lives{accepted: map[string]string{}, recorded: map[string][]int{}}
	for range 4 {
		l.kill(t, dir)
	}
	s := l.sink(t)
	h := openDisk(t, dir, s.ln.Addr().String(), func(e *journal.Event) {
		if e.Kind == journal.Relayed {
			l.record(string(e.Message))
		}
	})
	if err := h.q.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.waitEmpty(t)
	if err := h.q.Verify(t.Context(), func(fault string) { t.Error(fault) }); err != nil {
		t.Error(err)
	}
	h.close(t)
	l.judge(t)
}
