package mailbox

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"posthouse/internal/blob/refs"
	"posthouse/internal/blob/segment"
	"posthouse/internal/clock"
	"posthouse/internal/id"
	"posthouse/internal/kv/pebble"
)

// crashDir names the directory in the environment of the child of TestCrash.
const crashDir = "POSTHOUSE_MAILBOX_CRASH_DIR"

// TestCrash kills a process that delivers, over and over. What it had
// acknowledged must be there once, and a UID it showed must never mean anything else.
func TestCrash(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		crashChild(dir)
		return
	}
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	if n, err := strconv.Atoi(os.Getenv("POSTHOUSE_CRASH_ROUNDS")); err == nil {
		rounds = n
	}
	g := newDiskGround(t)
	g.create(1)
	acked := make(map[string]uint32)
	for round := range rounds {
		g.close()
		crashRound(t, g.dir, round, acked)
		g.open()
		checkCrash(t, g, acked)
	}
}

// crashRound runs the child until it has acknowledged some messages, and kills it.
func crashRound(t *testing.T, dir string, round int, acked map[string]uint32) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrash$")
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), crashDir+"="+dir, fmt.Sprintf("ROUND=%d", round))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	want := 20 + 37*round%150
	n := 0
	for ; n < want && lines.Scan(); n++ {
		noteAck(t, lines.Text(), acked)
	}
	cmd.Process.Kill()
	for lines.Scan() { // what it said before it died counts
		noteAck(t, lines.Text(), acked)
	}
	cmd.Wait()
	if n < want {
		t.Fatalf("the child ended by itself after %d lines", n)
	}
}

// noteAck reads "ack SUBJECT UID"; a line that the kill cut short says nothing.
func noteAck(t *testing.T, line string, acked map[string]uint32) {
	var subject string
	var uid uint32
	var end string
	if n, _ := fmt.Sscan(line, &subject, &uid, &end); n != 3 || end != "." {
		return
	}
	for other, u := range acked {
		if u == uid {
			t.Errorf("uid %d was given to %s and to %s", uid, other, subject)
		}
	}
	acked[subject] = uid
}

func checkCrash(t *testing.T, g *ground, acked map[string]uint32) {
	a, err := g.Account(t.Context(), 1)
	g.must(err)
	defer a.Release()
	m, err := a.Open(t.Context(), "INBOX")
	g.must(err)
	defer m.Close()
	s := m.Snapshot()
	found := make(map[string]uint32)
	var entries []Entry
	for _, e := range s.Range(0, s.Len()) {
		entries = append(entries, *e)
	}
	for _, e := range entries {
		body, err := m.Body(t.Context(), e)
		g.must(err)
		text := make([]byte, body.Size())
		body.ReadAt(text, 0)
		body.Close()
		_, after, _ := strings.Cut(string(text), "Subject: ")
		subject, _, _ := strings.Cut(after, "\r\n")
		if u := found[subject]; u != 0 {
			t.Errorf("%s is there twice, as %d and %d", subject, u, e.UID)
		}
		found[subject] = e.UID
	}
	for subject, uid := range acked {
		if found[subject] != uid {
			t.Errorf("%s was acknowledged as %d and is %d", subject, uid, found[subject])
		}
	}
	g.verify()
}

// crashChild delivers from several goroutines, with a session that looks on,
// until it is killed.
func crashChild(dir string) {
	db, err := pebble.Open(filepath.Join(dir, "kv"), pebble.Options{})
	exitOn(err)
	bodies, err := segment.Open(filepath.Join(dir, "blob"), segment.Options{})
	exitOn(err)
	counts := refs.New(bodies)
	s, err := Open(db, bodies, counts, Options{Clock: clock.System{}})
	exitOn(err)
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Minute)
	defer stop()
	var out sync.Mutex
	var wg sync.WaitGroup
	for k := range 8 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				subject := fmt.Sprintf("r%s-%d-%d", os.Getenv("ROUND"), k, i)
				done, err := deliver(ctx, s, db, counts, id.Account(1), "INBOX", mail(subject, "hello"))
				exitOn(err)
				out.Lock()
				fmt.Println(subject, done.UID, ".")
				out.Unlock()
			}
		})
	}
	wg.Wait()
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
