package pebble

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const childEnv = "POSTHOUSE_KV_KILL_CHILD"

// TestKillChild is not a test but the process that TestKill kills: it writes
// rows in the directory it is given and prints each that was acknowledged.
func TestKillChild(t *testing.T) {
	dir := os.Getenv(childEnv)
	if dir == "" {
		t.Skip("runs only as a child of TestKill")
	}
	s, err := Open(dir, Options{MemTableSize: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{}, shards)
	for shard := range uint16(shards) {
		go func() {
			defer func() { done <- struct{}{} }()
			var l ledger
			for {
				n, err := l.next(s, shard)
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
				// One write, shorter than a pipe takes at once: whole or absent.
				if _, err := fmt.Printf("acked %d %d\n", shard, n); err != nil {
					return
				}
			}
		}()
	}
	<-done // never, or on an error
	os.Exit(1)
}

// TestKill kills a writing process at random moments, again and again on the
// same store: nothing that it acknowledged may be missing.
func TestKill(t *testing.T) {
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	dir := t.TempDir()
	var l ledger
	for range rounds {
		lines := 1 + rand.IntN(600) // a log holds some 130
		killAfter(t, dir, lines, &l)
		s, err := Open(dir, Options{MemTableSize: 256 << 10})
		if err != nil {
			t.Fatalf("Open after kill -9: %v", err)
		}
		check(t, s, l.snapshot())
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if t.Failed() {
			t.Fatalf("killed after %d lines", lines)
		}
	}
}

// killAfter runs the child until it has printed so many lines, kills it, and
// reads what else it had said.
func killAfter(t *testing.T, dir string, lines int, l *ledger) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKillChild$")
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	n := 0
	for {
		line, err := r.ReadString('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Errorf("reading from the child: %v", err)
			break
		}
		var shard uint16
		var number uint64
		if _, err := fmt.Sscanf(line, "acked %d %d\n", &shard, &number); err != nil {
			t.Errorf("the child says %q", line)
			continue
		}
		l.ack(shard, number)
		if n++; n == lines {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	_ = cmd.Wait() // killed
	if n < lines {
		t.Fatalf("the child ended by itself after %d lines: %s", n, stderr.String())
	}
}
