package pebble

import (
	"context"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"posthouse/internal/kv"
)

// BenchmarkDelivery is what a delivery writes: six small rows in five
// partitions, 64 deliveries at a time. The disk is memory, so that the figure is
// the engine's own work: see cpu-ns/op.
func BenchmarkDelivery(b *testing.B) {
	s, err := Open("", Options{FS: vfs.NewMem()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	deliveries(b, s)
}

// BenchmarkDeliveryDisk is the same on a real disk.
func BenchmarkDeliveryDisk(b *testing.B) {
	s, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	deliveries(b, s)
}

func deliveries(b *testing.B, s *Store) {
	var serial atomic.Uint64
	value := make([]byte, 100)
	before := cpu()
	b.ReportAllocs()
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n := serial.Add(1)
			account := kv.AccountPartition(n % 1000)
			parts := kv.Partitions{account, kv.AccountPartition(5000 + n%1000),
				kv.QueueShard(uint16(n % 16)), kv.JournalShard(uint16(n % 64)), kv.BodyShard(uint16(n % 64))}
			err := s.Update(context.Background(), parts, func(tx kv.Tx) error {
				if _, err := tx.Get(kv.NewKey(account).Byte('m')); err != nil && err != kv.ErrNotFound {
					return err
				}
				for _, p := range parts {
					if err := tx.Set(kv.NewKey(p).Byte('r').Uint64(n), value); err != nil {
						return err
					}
				}
				return tx.Set(kv.NewKey(account).Byte('m'), value[:20])
			})
			if err != nil {
				b.Error(err)
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(b.N)/float64(s.Metrics().Syncs), "updates/sync")
}

// cpu is the processor time that this process has used, in nanoseconds.
func cpu() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
