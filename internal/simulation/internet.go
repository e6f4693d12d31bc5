// Package simulation is an Internet in virtual time: hundreds of sites with the
// habits of real providers, and a node of ours that sends to them, crashes, and
// starts again. Its test runs the real queue over the real store (on a disk in
// memory that loses what was not synced) and holds the journal against what the
// sites know.
package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"posthouse/internal/classify"
	"posthouse/internal/courier"
	"posthouse/internal/shaping"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// Internet is everybody else. Use it inside a synctest bubble.
type Internet struct {
	table   *classify.Table
	perSite int
	total   int

	mu      sync.Mutex
	rnd     *rand.Rand
	domains map[string]*site
	busy    int
	by      map[string]int // transactions under way, by habit
	faults  []string       // caps that were exceeded
	sent    int            // transactions
}

// site is the hosts that serve some domains.
type site struct {
	name  string
	habit habit
	taken map[string]int       // how often a message was taken, by recipient
	first map[string]time.Time // greylisting: when a recipient was first tried
	calls []time.Time          // throttling: of the last minute
	begun []time.Time          // transactions of the last minute, since the node's last start
	busy  int
}

// reply is what a site says to one recipient; the zero reply takes the message.
type reply struct {
	code int
	text string
}

// habit is how a site behaves.
type habit struct {
	name  string
	takes time.Duration // of a transaction
	// What our node is told to keep to: transactions at once to all sites of this
	// habit, and transactions a minute to each of them. 0 is no limit.
	atOnce, perMinute int
	// down reports whether the hosts cannot be reached, so long after the start.
	down func(age time.Duration) bool
	// answer judges one recipient; nil takes everything.
	answer func(in *Internet, s *site, rcpt string, now time.Time) reply
}

// NewInternet makes sites sites, each with one domain but every seventh with
// twenty. The caps are those that the courier announces to the queue.
func NewInternet(seed uint64, sites, perSite, total int) (*Internet, error) {
	table, err := classify.Standard()
	if err != nil {
		return nil, err
	}
	in := &Internet{
		table: table, perSite: perSite, total: total,
		rnd: rand.New(rand.NewPCG(seed, 1)), domains: make(map[string]*site), by: make(map[string]int),
	}
	kinds := habits()
	for i := range sites {
		h := kinds[i%len(kinds)]
		s := &site{name: fmt.Sprintf("mx%d.%s.test", i, h.name), habit: h, taken: make(map[string]int), first: make(map[string]time.Time)}
		domains := 1
		if i%7 == 0 {
			domains = 20
		}
		for d := range domains {
			in.domains[fmt.Sprintf("d%d.s%d.%s.test", d, i, h.name)] = s
		}
	}
	return in, nil
}

// route is the way to a domain; nil when it does not exist.
func (in *Internet) route(domain string) *courier.Route {
	in.mu.Lock()
	defer in.mu.Unlock()
	s := in.domains[domain]
	if s == nil {
		return nil
	}
	return &courier.Route{Site: s.name, Hosts: []courier.Host{{Name: s.name}}}
}

// begin counts a transaction in and judges the caps.
func (in *Internet) begin(domain string) *site {
	in.mu.Lock()
	defer in.mu.Unlock()
	s := in.domains[domain]
	s.busy++
	in.busy++
	in.sent++
	in.by[s.habit.name]++
	if s.busy > in.perSite {
		in.faults = append(in.faults, fmt.Sprintf("%s: %d connections, at most %d", s.name, s.busy, in.perSite))
	}
	if h := &s.habit; h.atOnce > 0 && in.by[h.name] > h.atOnce {
		in.faults = append(in.faults, fmt.Sprintf("%s: %d connections to all of them, at most %d", h.name, in.by[h.name], h.atOnce))
	}
	if s.habit.perMinute > 0 {
		s.meter(in)
	}
	if in.busy > in.total {
		in.faults = append(in.faults, fmt.Sprintf("%d connections in all, at most %d", in.busy, in.total))
	}
	return s
}

// meter judges the rate of transactions. Under in.mu.
func (s *site) meter(in *Internet) {
	now := time.Now()
	for len(s.begun) > 0 && now.Sub(s.begun[0]) >= time.Minute {
		s.begun = s.begun[1:]
	}
	s.begun = append(s.begun, now)
	if len(s.begun) > s.habit.perMinute {
		in.faults = append(in.faults, fmt.Sprintf("%s: %d transactions in a minute, at most %d", s.name, len(s.begun), s.habit.perMinute))
	}
}

// limits are what the node is told to keep to.
func limits() ([]shaping.Limit, error) {
	var list []shaping.Limit
	for _, h := range habits() {
		if h.atOnce == 0 && h.perMinute == 0 {
			continue
		}
		l := shaping.Limit{Match: "*." + h.name + ".test", Connections: h.atOnce}
		if h.perMinute > 0 {
			var err error
			if l.MessageRate, err = shaping.ParseRate(fmt.Sprintf("%d/m", h.perMinute)); err != nil {
				return nil, err
			}
			l.EachSite = true
		}
		list = append(list, l)
	}
	return shaping.Limits(list)
}

// restarted forgets what a node that starts again cannot know.
func (in *Internet) restarted() {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, s := range in.domains {
		s.begun = nil
	}
}

// ending is how a transaction ended.
type ending int

const (
	answered ending = iota
	died            // our node did; the site may have taken the message, unheard
	unreached
)

// end counts a transaction out, with the answers to its recipients.
func (in *Internet) end(s *site, rcpts []string, how ending) []reply {
	in.mu.Lock()
	defer in.mu.Unlock()
	s.busy--
	in.busy--
	in.by[s.habit.name]--
	if how == unreached || how == died && in.rnd.IntN(4) > 0 {
		return nil
	}
	now := time.Now()
	replies := make([]reply, len(rcpts))
	for i, r := range rcpts {
		if s.habit.answer != nil {
			replies[i] = s.habit.answer(in, s, r, now)
		}
		if replies[i].code == 0 {
			s.taken[r]++
		}
	}
	return replies
}

// node is the courier of one life of our node.
type node struct {
	in    *Internet
	born  time.Time // of the Internet
	dead  chan struct{}
	calls sync.WaitGroup
}

// Known implements queue.Courier: no name needs looking up.
func (n *node) Known(domain string) (*courier.Route, bool) {
	r := n.in.route(domain)
	return r, r != nil
}

// Resolve implements queue.Courier.
func (n *node) Resolve(_ context.Context, domain string) (*courier.Route, error) {
	if r := n.in.route(domain); r != nil {
		return r, nil
	}
	return nil, status.New(550, 1, 2, "Domain does not exist")
}

// Limits implements queue.Courier.
func (n *node) Limits() (perSite, total int) { return n.in.perSite, n.in.total }

// Deliver implements queue.Courier.
func (n *node) Deliver(ctx context.Context, t *courier.Transfer) []courier.Outcome {
	n.calls.Add(1)
	defer n.calls.Done()
	s := n.in.begin(t.Rcpts[0].To.Domain)
	rcpts := make([]string, len(t.Rcpts))
	for i := range t.Rcpts {
		rcpts[i] = t.Rcpts[i].To.String()
	}
	takes, how := s.habit.takes, answered
	if s.habit.down != nil && s.habit.down(time.Since(n.born)) {
		takes, how = connectTimeout, unreached
	}
	timer := time.NewTimer(takes)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-n.dead:
		how = max(how, died)
	case <-ctx.Done():
		how = max(how, died)
	}
	replies := n.in.end(s, rcpts, how)
	outs := make([]courier.Outcome, len(rcpts))
	for i := range outs {
		switch how {
		case died:
			outs[i] = courier.FromError(status.New(451, 4, 2, "Connection lost"))
		case unreached:
			outs[i] = courier.FromError(status.New(451, 4, 1, "Connection failed: timed out"))
		default:
			outs[i] = n.outcome(s, replies[i])
		}
	}
	return outs
}

const connectTimeout = 30 * time.Second

// outcome is what the real courier makes of a reply.
func (n *node) outcome(s *site, r reply) courier.Outcome {
	if r.code == 0 {
		return courier.Outcome{Code: 250, Enhanced: status.Enhanced{Class: 2}, Text: "Ok", Remote: true, Host: s.name}
	}
	said := smtp.NewReply(r.code, status.Enhanced{}, r.text)
	return courier.Outcome{
		Verdict: n.in.table.Classify(classify.StageRcpt, said), Stage: classify.StageRcpt,
		Code: r.code, Enhanced: status.Enhanced{Class: uint16(r.code / 100)}, Text: r.text, Remote: true, Host: s.name,
	}
}
