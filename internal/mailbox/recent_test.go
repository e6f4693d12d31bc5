package mailbox

import (
	"sync"
	"sync/atomic"
	"testing"
)

// Of all sessions that ask at the same time, each message is recent in one.
func TestRecentIsTakenOnce(t *testing.T) {
	g := newGround(t)
	g.create(1)
	m := g.box(g.account(1), "INBOX")
	for round := range uint32(20) {
		g.deliver(1, "INBOX", mail("s", "b"))
		var got atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				r, ok, err := m.Recent(t.Context(), true)
				if err != nil {
					t.Error(err)
				}
				if ok {
					got.Add(1)
					if want := (UIDRange{First: round + 1, Last: round + 1}); r != want {
						t.Errorf("%v, want %v", r, want)
					}
				}
			})
		}
		wg.Wait()
		if n := got.Load(); n != 1 {
			t.Fatalf("%d sessions got it", n)
		}
	}
	g.verify()
}
