// Package kvtest is the contract of kv.Store as a test suite, which every engine
// runs.
package kvtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"posthouse/internal/kv"
)

// Open opens the store in dir. The suite closes it, and may open dir again.
type Open func(t *testing.T, dir string) kv.Store

// Run runs the whole suite against the engine that open opens.
func Run(t *testing.T, open func(t *testing.T, dir string) kv.Store) {
	tests := []struct {
		name string
		run  func(t *testing.T, s kv.Store)
	}{
		{"Atomic", testAtomic},
		{"ErrorLeavesNothing", testErrorLeavesNothing},
		{"CancelledLeavesNothing", testCancelled},
		{"GetNotFound", testGetNotFound},
		{"ReadOwnWrites", testReadOwnWrites},
		{"ScanMergesOwnWrites", testScanMerges},
		{"WritesDuringScan", testWritesDuringScan},
		{"ScanBounds", testScanBounds},
		{"ScanStops", testScanStops},
		{"DeleteRange", testDeleteRange},
		{"SnapshotIsStable", testSnapshot},
		{"CallerKeepsItsSlices", testCopies},
		{"OutsidePartitions", testOutside},
		{"Limits", testLimits},
		{"Exclusion", testExclusion},
		{"OverlappingPartitions", testOverlapping},
		{"SerialPerPartition", testSerial},
		{"WaitForPartitionEndsWithContext", testLockContext},
		{"ReadOnlyUpdate", testReadOnlyUpdate},
		{"Sync", testSync},
		{"WatchWakes", testWatchWakes},
		{"WatchCoalesces", testWatchCoalesces},
		{"WatchOnlyItsPartition", testWatchOther},
		{"WatchCancel", testWatchCancel},
		{"PanicLetsGo", testPanic},
		{"RandomOperations", testRandom},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			test.run(t, s)
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	t.Run("Reopen", func(t *testing.T) { testReopen(t, open) })
	t.Run("Closed", func(t *testing.T) { testClosed(t, open) })
}

const partA, partB = kv.Partition("Q\x00\x01"), kv.Partition("Q\x00\x02")

var errBoom = errors.New("boom")

func key(p kv.Partition, name string) []byte { return kv.NewKey(p).Byte('k').String(name) }

func update(t *testing.T, s kv.Store, fn func(kv.Tx) error, parts ...kv.Partition) {
	t.Helper()
	if err := s.Update(context.Background(), parts, fn); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

func view(t *testing.T, s kv.Store, fn func(kv.Reader) error) {
	t.Helper()
	if err := s.View(context.Background(), fn); err != nil {
		t.Fatalf("View: %v", err)
	}
}

// put sets names to their own names, each in p.
func put(t *testing.T, s kv.Store, p kv.Partition, names ...string) {
	t.Helper()
	update(t, s, func(tx kv.Tx) error {
		for _, n := range names {
			if err := tx.Set(key(p, n), []byte(n)); err != nil {
				return err
			}
		}
		return nil
	}, p)
}

// rows renders what a scan of [from, to) sees.
func rows(r kv.Reader, from, to []byte, back bool) (string, error) {
	var b bytes.Buffer
	scan := r.Scan
	if back {
		scan = r.ScanBack
	}
	err := scan(from, to, func(k, v []byte) bool {
		name, _, ok := kv.CutString(k[len(partA)+1:])
		if !ok {
			name = fmt.Sprintf("?%x", k)
		}
		fmt.Fprintf(&b, "%s=%s ", name, v)
		return true
	})
	return b.String(), err
}

// want checks what partition p holds in r, forwards and backwards.
func want(t *testing.T, r kv.Reader, p kv.Partition, forward, backward string) {
	t.Helper()
	k := kv.NewKey(p)
	for _, c := range []struct {
		back bool
		want string
	}{{false, forward}, {true, backward}} {
		got, err := rows(r, k, k.End(), c.back)
		if err != nil {
			t.Fatalf("scan: %v", err)
		}
		if got != c.want {
			t.Errorf("scan back=%v: got %q, want %q", c.back, got, c.want)
		}
	}
}
