package greylist

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"posthouse/internal/listen"
	"posthouse/internal/smtp"
)

// model is a list as one would write it without a store: three maps.
type model struct {
	opt      *Options
	fresh    time.Duration
	networks map[string]record
	passed   map[string]time.Time
	waiting  map[string]time.Time
}

func (m *model) check(t Triplet, now time.Time) Decision {
	n := listen.Neighbourhood(t.Remote).String()
	id := n + t.From.Key() + ">" + t.To.Key()
	network := m.networks[n]
	if network.exists() && now.Sub(network.at) > m.opt.Lifetime {
		network = record{}
	}
	if m.opt.Learn > 0 && int(network.count) >= m.opt.Learn {
		if now.Sub(network.at) > m.fresh {
			m.networks[n] = record{now, network.count}
		}
		return Decision{Result: Known}
	}
	if at, ok := m.passed[id]; ok && now.Sub(at) <= m.opt.Lifetime {
		if now.Sub(at) > m.fresh {
			m.passed[id] = now
		}
		return Decision{Result: Passed}
	}
	first, ok := m.waiting[id]
	switch age := now.Sub(first); {
	case !ok || age > m.opt.Window:
		m.waiting[id] = now
		return Decision{Waiting, m.opt.Delay}
	case age < m.opt.Delay:
		return Decision{Waiting, m.opt.Delay - age}
	}
	m.passed[id] = now
	m.networks[n] = record{now, network.count + 1}
	return Decision{Result: Passed}
}

// TestModel is the property: whatever comes when, and whenever rows are written
// and expired and the house starts anew, the list says what the model says.
func TestModel(t *testing.T) {
	p := newPost(t, 0)
	rapid.Check(t, func(r *rapid.T) {
		p.opt.Learn = rapid.IntRange(0, 3).Draw(r, "learn")
		p.List = New(p.opt)
		p.clock.Advance(2 * p.opt.Lifetime) // all that was is forgotten
		m := &model{
			opt: &p.opt, fresh: p.freshFor(),
			networks: make(map[string]record), passed: make(map[string]time.Time), waiting: make(map[string]time.Time),
		}
		pause := rapid.SampledFrom([]time.Duration{
			0, time.Second, 4 * time.Minute, 5 * time.Minute, time.Hour, 23 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour, 36 * 24 * time.Hour, 37 * 24 * time.Hour,
		})
		attempt := func(r *rapid.T) {
			triplet := Triplet{
				Remote: netip.AddrFrom4([4]byte{192, 0, byte(rapid.IntRange(0, 2).Draw(r, "network")), byte(rapid.IntRange(1, 9).Draw(r, "host"))}),
				From:   smtp.Address{Local: fmt.Sprint("s", rapid.IntRange(0, 1).Draw(r, "from")), Domain: "remote.test"},
				To:     smtp.Address{Local: fmt.Sprint("r", rapid.IntRange(0, 2).Draw(r, "to")), Domain: "example.test"},
			}
			got, err := p.Check(t.Context(), triplet)
			if want := m.check(triplet, p.clock.Now()); err != nil || got != want {
				r.Fatalf("%+v: %+v, %v; want %+v", triplet, got, err, want)
			}
		}
		r.Repeat(map[string]func(*rapid.T){
			"attempt": attempt, "again": attempt, "and again": attempt,
			"pause": func(r *rapid.T) { p.clock.Advance(pause.Draw(r, "pause")) },
			"write": func(r *rapid.T) { p.must(r, p.write(t.Context())) },
			"start anew": func(r *rapid.T) {
				p.must(r, p.write(t.Context()))
				p.List = New(p.opt)
				p.must(r, p.expire(t.Context()))
			},
		})
	})
}

func (p *post) must(r *rapid.T, err error) {
	if err != nil {
		r.Fatal(err)
	}
}
