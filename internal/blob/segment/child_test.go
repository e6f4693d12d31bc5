package segment

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"posthouse/internal/blob"
)

const childVar = "SEGMENT_TEST_CHILD_DIR"

var childOptions = Options{SegmentSize: 256 << 10, MemoryLimit: 32 << 10}

// childMain is the whole of a child process: it commits, releases and collects
// until it is killed, and says what it did once it is so: "+ ref seed size" for
// an acknowledged body, "- ref" before a release.
func childMain() bool {
	dir := os.Getenv(childVar)
	if dir == "" {
		return false
	}
	s, err := Open(dir, childOptions)
	if err != nil {
		fmt.Println("!", err)
		return true
	}
	var out sync.Mutex
	say := func(format string, args ...any) {
		out.Lock()
		defer out.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	for w := range 8 {
		go func() {
			rng := rand.New(rand.NewPCG(uint64(os.Getpid()), uint64(w)))
			for {
				seed, size := rng.Uint64()%1e6, rng.IntN(12_000)
				if rng.IntN(20) == 0 {
					size *= 10 // a file of its own
				}
				ref, err := tryPut(s, pattern(seed, size), "meta")
				if err != nil {
					say("! %v", err)
					return
				}
				say("+ %x %d %d", ref.Append(nil), seed, size)
				if rng.IntN(4) > 0 {
					say("- %x", ref.Append(nil))
					_ = s.Release(ref)
				}
			}
		}()
	}
	for {
		if _, err := s.GC(context.Background()); err != nil {
			say("! %v", err)
		}
		s.flushDead()
	}
}

// TestKill kills a writing process again and again; what it had acknowledged
// and not released is there after every round.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	type sum struct {
		seed uint64
		size int
	}
	live := make(map[blob.Ref]sum)
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	for round := range rounds {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(os.Environ(), childVar+"="+dir)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stopAfter := 100 + rand.IntN(400)
		lines, killed := 0, false
		in := bufio.NewReader(stdout)
		for {
			line, err := in.ReadString('\n')
			if err == io.EOF {
				break // a line without its end was never said
			}
			if err != nil {
				t.Fatal(err)
			}
			f := strings.Fields(line)
			raw, err := hex.DecodeString(f[1])
			ref, ok := blob.ParseRef(raw)
			if f[0] == "!" || err != nil || !ok {
				t.Fatalf("child: %s", line)
			}
			if f[0] == "+" {
				seed, _ := strconv.ParseUint(f[2], 10, 64)
				size, _ := strconv.Atoi(f[3])
				if _, again := live[ref]; again {
					t.Fatalf("%v was given twice", ref)
				}
				live[ref] = sum{seed, size}
			} else {
				delete(live, ref)
			}
			if lines++; lines >= stopAfter && !killed {
				killed = true
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		cancel()
		if !killed {
			t.Fatalf("round %d: the child ended by itself", round)
		}
		s := openStore(t, dir, childOptions)
		for ref, w := range live {
			wantBody(t, s, ref, pattern(w.seed, w.size))
		}
		err = s.Records(context.Background(), func(r Record) error {
			if w, ok := live[r.Ref]; ok && r.Err == nil {
				if got, err := io.ReadAll(r.Body); err != nil || !bytes.Equal(got, pattern(w.seed, w.size)) || string(r.Meta) != "meta" {
					t.Errorf("record %v differs", r.Ref)
				}
			}
			return r.Err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
