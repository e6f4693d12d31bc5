package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
	"testing/synctest"
	"time"

	"posthouse/internal/journal"
)

// The node crashes this often while messages come in, in the first hours.
const (
	crashes  = 5
	arriving = 12 * time.Hour
	tick     = 10 * time.Second
)

// TestInternet sends messages to hundreds of sites for half a day, with crashes
// in between, and waits until the last has been given up. Every recipient must
// have exactly one fate in the journal, the one that the site knows of; no cap
// may have been exceeded; and a message may be taken twice only if a crash came
// between the site's answer and the record of it.
func TestInternet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, err := NewInternet(42, 300, 20, 500)
		if err != nil {
			t.Fatal(err)
		}
		h, err := newHouse(in)
		if err != nil {
			t.Fatal(err)
		}
		arrive(t, h)
		settle(t, h)
		judge(t, h)
		if err := h.stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// arrive lets the messages in, and the node crash.
func arrive(t *testing.T, h *house) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(7, 7))
	var domains []string
	for d := range h.in.domains {
		domains = append(domains, d)
	}
	sort.Strings(domains)
	ticks := int(arriving / tick)
	crashAt := map[int]bool{}
	for len(crashAt) < crashes {
		crashAt[rnd.IntN(ticks*3/4)] = true
	}
	n := 0
	for i := range ticks {
		var to []string
		for ; n < due(i, ticks); n++ {
			// Some domains get much more than others.
			d := domains[int(float64(len(domains))*rnd.Float64()*rnd.Float64())]
			to = append(to, fmt.Sprintf("u%d@%s", n, d))
		}
		for part := range slices.Chunk(to, 100) {
			if err := h.accept(part); err != nil {
				t.Fatal(err)
			}
		}
		wait := tick
		if crashAt[i] {
			// In the middle of what the batch has set going.
			early := time.Duration(rnd.IntN(2000)) * time.Millisecond
			time.Sleep(early)
			wait -= early
			if err := h.crash(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(wait)
	}
}

// due is how many messages have come in by the end of a tick: half of them at an
// even pace, half in a burst every hour.
func due(i, ticks int) int {
	perHour := int(time.Hour / tick)
	return messages/2*(i+1)/ticks + messages/2*(i/perHour+1)*perHour/ticks
}

// settle waits for the end of the last message.
func settle(t *testing.T, h *house) {
	t.Helper()
	for range 3 * 24 {
		n, err := h.waiting()
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
		time.Sleep(time.Hour)
	}
	n, _ := h.waiting()
	t.Fatalf("%d recipients still wait after three days", n)
}

// judge compares the journal with what the sites know.
func judge(t *testing.T, h *house) {
	t.Helper()
	fates, err := h.fates()
	if err != nil {
		t.Fatal(err)
	}
	taken := map[string]int{}
	for _, s := range h.in.domains {
		for rcpt, n := range s.taken {
			taken[rcpt] = n
		}
	}
	for _, fault := range h.in.faults {
		t.Error(fault)
	}
	if len(h.letters) != messages {
		t.Errorf("%d messages accepted, want %d", len(h.letters), messages)
	}
	repeated, bounced, tries := 0, 0, 0
	took := map[string][]time.Duration{}
	for rcpt, accepted := range h.letters {
		f := fates[rcpt]
		if f == nil || len(f.finals) != 1 {
			t.Errorf("%s: not one fate in the journal: %+v", rcpt, f)
			continue
		}
		tries += f.tries
		if n := taken[rcpt]; n > 1 {
			repeated += n - 1
		}
		switch {
		case f.finals[0] == journal.Relayed && taken[rcpt] == 0:
			t.Errorf("%s: relayed, says the journal, and the site does not have it", rcpt)
		case f.finals[0] == journal.Relayed:
			took[habitOf(rcpt)] = append(took[habitOf(rcpt)], f.at.Sub(accepted))
		case taken[rcpt] > 0:
			t.Errorf("%s: %s, says the journal, and the site has it", rcpt, f.finals[0])
		default:
			bounced++
		}
	}
	// Each crash can repeat what was under way: never more than there were connections.
	if repeated > crashes*h.in.total {
		t.Errorf("%d messages repeated in %d crashes", repeated, crashes)
	}
	t.Logf("%d messages, %d tries in %d transactions, %d given up, %d reports, %d repeated by %d crashes",
		messages, tries, h.in.sent, bounced, h.reports, repeated, crashes)
	var names []string
	for name := range took {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		t.Logf("%-9s %6d delivered  %s", name, len(took[name]), percentiles(took[name]))
	}
}
