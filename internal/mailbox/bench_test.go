package mailbox

import (
	"sync/atomic"
	"testing"

	"posthouse/internal/id"
	"posthouse/internal/kv"
	"posthouse/internal/message"
)

// BenchmarkDeliver is the index side of a delivery: 64 at a time, durable, into
// 100 accounts that nobody has open.
func BenchmarkDeliver(b *testing.B) {
	g := newDiskGround(b)
	const accounts = 100
	for acct := id.Account(1); acct <= accounts; acct++ {
		g.create(acct)
	}
	stored := g.store(mail("one", "hello"))
	var n atomic.Uint64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			acct := id.Account(1 + n.Add(1)%accounts)
			err := g.db.Update(b.Context(), kv.Partitions{kv.AccountPartition(uint64(acct))}, func(tx kv.Tx) error {
				_, err := g.DeliverTx(tx, Delivery{Account: acct, Mailbox: "INBOX", Stored: stored})
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
			g.Published(acct)
		}
	})
}

func bigBox(b *testing.B) (*ground, *Account, *Mailbox) {
	g := newDiskGround(b)
	g.create(1)
	g.fill(1, "INBOX", 100_000)
	a := g.account(1)
	return g, a, g.box(a, "INBOX")
}

func BenchmarkLoad100k(b *testing.B) {
	_, a, m := bigBox(b)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		box := &box{a: a.a, id: m.ID()}
		if err := box.refresh(b.Context(), 0); err != nil || box.snap.Load().Len() != 100_000 {
			b.Fatal(err)
		}
	}
}

func BenchmarkStoreFlags100k(b *testing.B) {
	_, _, m := bigBox(b)
	b.ResetTimer()
	for i := range b.N {
		_, err := m.StoreFlags(b.Context(), StoreRequest{UIDs: everything, Op: FlagOp(1 + i%2), Flags: Seen})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStoreFlagsOne(b *testing.B) {
	_, _, m := bigBox(b)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		_, err := m.StoreFlags(b.Context(), StoreRequest{UIDs: one(uint32(1 + i*7%100_000)), Op: FlagOp(1 + i/100_000%2), Flags: Seen})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRange100k(b *testing.B) {
	_, _, m := bigBox(b)
	s := m.Snapshot()
	b.ResetTimer()
	var sum uint64
	for range b.N {
		for _, e := range s.Range(0, s.Len()) {
			sum += uint64(e.UID)
		}
	}
	_ = sum
}

func BenchmarkSummaries100k(b *testing.B) {
	_, _, m := bigBox(b)
	s := m.Snapshot()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		n := 0
		all := func(yield func(Entry) bool) {
			for _, e := range s.Range(0, s.Len()) {
				if !yield(*e) {
					return
				}
			}
		}
		err := m.Summaries(b.Context(), message.KeptWhole, all, func(Entry, *message.Summary) bool { n++; return true })
		if err != nil || n != s.Len() {
			b.Fatal(err, n)
		}
	}
}

func BenchmarkSearchSubject100k(b *testing.B) {
	_, _, m := bigBox(b)
	b.ResetTimer()
	for range b.N {
		if _, err := m.Search(b.Context(), m.Snapshot(), &Criterion{Kind: MatchSubject, Text: "nowhere"}); err != nil {
			b.Fatal(err)
		}
	}
}
