package courier

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"posthouse/internal/classify"
	"posthouse/internal/journal"
	"posthouse/internal/status"
	"posthouse/internal/tlspolicy"
)

// Bounds of one Deliver.
const (
	maxCalls    = 8 // addresses that are called
	maxSessions = 2 // servers that answered and then failed (RFC 5321 section 5.1 asks for two tries at least)
	maxDeliver  = 3 * time.Hour
	maxAlone    = 20 // recipients that get the message each alone when one of them was refused after the content
)

// delivery is one Deliver.
type delivery struct {
	c        *Courier
	t        *Transfer
	claim    *claim // on connections
	source   *Source
	skipped  *Host // that must not be called
	outs     []Outcome
	done     []bool
	steps    []journal.Step
	last     *failure // why there is no session
	sessions int
	spoken   bool // a server was asked to take the message
	calls    int
	asked    []netip.Addr // servers that answered and said: elsewhere
	most     int          // recipients in one transaction; 0 is all
}

// Deliver tries once to hand t over, to the hosts of its route in order of
// preference. It answers one outcome per recipient.
func (c *Courier) Deliver(ctx context.Context, t *Transfer) []Outcome {
	d := &delivery{
		c: c, t: t, claim: t.claim(), source: c.source(t.Source), outs: make([]Outcome, len(t.Rcpts)), done: make([]bool, len(t.Rcpts)),
	}
	ctx, cancel := context.WithTimeout(ctx, maxDeliver)
	defer cancel()
	if t.Route.Took > 0 {
		d.steps = append(d.steps, journal.Step{Name: "dns", Took: t.Route.Took})
	}
	calling, hangUp := t.calling(ctx)
	defer hangUp()
	d.run(ctx, calling)
	for i := range d.outs {
		if !d.done[i] && d.outs[i].Code == 0 {
			d.outs[i] = d.last.outcome
			d.outs[i].Untried = !d.spoken && t.leaves()
		}
		d.outs[i].Steps = d.steps
	}
	return d.outs
}

// run finds connections, as long as calling lasts, until every recipient is decided
// or nothing is left to try.
func (d *delivery) run(ctx, calling context.Context) {
	s, waited, err := d.c.pool.acquire(calling, d.claim)
	if err != nil {
		d.last = &failure{outcome: FromError(status.New(451, 3, 2, "Stopped while waiting for a connection"))}
		return
	}
	if waited > 0 {
		d.steps = append(d.steps, journal.Step{Name: "wait", Took: waited})
	}
	if s != nil {
		alive, fresh := d.use(ctx, s, true)
		switch {
		case alive && d.elsewhere(s):
			d.sessions++
			s.quit()
		case alive:
			d.c.pool.release(d.claim, s)
			return
		case d.settled() || !fresh:
			d.c.pool.drop(d.claim)
			return
		}
	}
	d.call(ctx, calling)
}

// call goes through the hosts. It holds leave for one connection.
func (d *delivery) call(ctx, calling context.Context) {
	targets, probing := d.c.targets(d.t.Route)
	if probing {
		defer d.c.probes.Delete(d.t.Route.Site)
	}
	if len(targets) == 0 {
		d.last = &failure{outcome: FromError(status.New(451, 4, 1, "No mail host could be reached a moment ago"+d.c.whyDead(d.t.Route)))}
		d.last.outcome.Host, d.last.outcome.Stage = d.t.Route.Hosts[0].Name, classify.StageConnect
	}
	for _, g := range targets {
		if d.calls == maxCalls || d.sessions == maxSessions || calling.Err() != nil {
			break
		}
		if slices.Contains(d.asked, g.addr) {
			continue
		}
		if g.source = d.source; !d.reaches(g) {
			continue
		}
		g.policy = d.t.policy(g.host)
		if f := d.forbidden(g); f != nil {
			d.fail(f)
			continue
		}
		d.calls++
		s, f := d.c.session(calling, d.t.Route, g)
		if f != nil {
			d.fail(f)
			if f.outcome.Action == classify.StopSite {
				break
			}
			continue
		}
		s.claim = d.claim
		if f := d.unfit(s); f != nil {
			s.quit()
			d.fail(f)
			continue
		}
		d.sessions++
		alive, fresh := d.use(ctx, s, false)
		if alive && d.sessions < maxSessions && d.elsewhere(s) {
			s.quit()
			continue
		}
		if alive {
			d.c.pool.release(d.claim, s)
			return
		}
		if d.settled() || !fresh {
			break
		}
	}
	d.c.pool.drop(d.claim)
	if d.last == nil {
		d.last = &failure{outcome: FromError(status.New(451, 3, 2, "Stopped on this side"))}
	}
	d.onlyNow()
}

// reaches reports whether the source has an address of the target's family. What
// it cannot reach is noted as long as there is nothing else to say.
func (d *delivery) reaches(g target) bool {
	_, ok := d.source.local(g.addr)
	if !ok && d.last == nil {
		d.last = &failure{outcome: Outcome{Code: 451, Enhanced: status.Enhanced{Class: 4, Subject: 4, Detail: 1}, Host: g.host.Name,
			Text: "The source " + d.source.Name + " has no address of the kind that the mail hosts have", Verdict: classify.NetworkFailure.Verdict(451)}}
	}
	return ok
}

// fail notes why a host was no use. The outcome is permanent only if all hosts
// say so, and what a server said counts for more than a server that is not there.
func (d *delivery) fail(f *failure) {
	if f.policy && d.t.mustTLS() {
		// RFC 8689 section 4.2.1: where no host will do the message is returned.
		f.outcome.Code, f.outcome.Enhanced = 550, status.Enhanced{Class: 5, Subject: 7, Detail: 10}
		f.outcome.Verdict = classify.TLS.Verdict(550)
	}
	switch {
	case d.last == nil:
		d.last = f
	case d.last.outcome.Permanent() != f.outcome.Permanent():
		if f.outcome.Temporary() {
			d.last = f
		}
	case f.refused || !d.last.refused:
		d.last = f
	}
}

// elsewhere takes back the decisions of s's server that another one may make
// otherwise (RFC 5321 section 5.1), if there is another: they hold when that
// gives no answer. It reports whether there are any.
func (d *delivery) elsewhere(s *conn) bool {
	if !d.c.another(d.t.Route, append(d.asked, s.addr.Addr())) {
		return false
	}
	found := false
	for i := range d.outs {
		if d.done[i] && d.outs[i].Action == classify.RetryElsewhere {
			d.done[i], found = false, true
		}
	}
	if found {
		d.asked = append(d.asked, s.addr.Addr())
	}
	return found
}

// another reports whether a route has an address besides those in but that may
// be called.
func (c *Courier) another(r *Route, but []netip.Addr) bool {
	for i := range r.Hosts {
		for _, a := range r.Hosts[i].Addrs {
			if !slices.Contains(but, a) && !c.dead.has(netip.AddrPortFrom(a, r.port)) {
				return true
			}
		}
	}
	return false
}

func (d *delivery) settled() bool { return !slices.Contains(d.done, false) }

// use sends the message over s. alive: the connection can be used again.
// fresh: another connection may be tried for those not decided.
func (d *delivery) use(ctx context.Context, s *conn, reused bool) (alive, fresh bool) {
	d.spoken = true
	stop := context.AfterFunc(ctx, func() { s.w.Close() })
	if !reused {
		d.steps = append(d.steps, s.steps...)
	}
	s.steps = s.steps[:0]
	var left []int
	for i, done := range d.done {
		if !done {
			left = append(left, i)
		}
	}
	for first := true; len(left) > 0; first = false {
		now, later := left, []int(nil)
		if d.most > 0 && len(left) > d.most {
			now, later = left[:d.most], left[d.most:]
		}
		x := &transaction{c: d.c, s: s, t: d.t, rcpts: now, outs: d.outs, done: d.done}
		x.run()
		s.sent++
		if len(s.steps) == 0 {
			x.step("commands")
		}
		d.steps = append(d.steps, s.steps...)
		s.steps = s.steps[:0]
		if x.broken != nil {
			stop()
			s.w.Close()
			return false, d.lost(x, reused && first)
		}
		d.fill(x)
		left = append(append(later, x.rest...), x.again...)
		if x.most > 0 {
			d.most = x.most
		}
		if o, no := d.takesNone(x); no {
			for _, i := range left {
				x.decide(i, o)
			}
			break
		}
		for _, i := range x.again {
			d.outs[i] = Outcome{} // what was said of all is not true of each
		}
		for _, i := range left {
			d.done[i] = false
		}
	}
	return stop(), false // stopped in time: the context has not closed it
}

// takesNone reports whether the server of x takes no more recipients in this
// session, and what that means for those that are left.
func (d *delivery) takesNone(x *transaction) (Outcome, bool) {
	if x.s.spent() {
		return x.noMore(), true
	}
	if d.most == 1 && len(x.rcpts) == 1 && d.outs[x.rcpts[0]].Class == classify.TooManyRecipients {
		return d.outs[x.rcpts[0]], true // one is too many
	}
	return Outcome{}, false
}

// fill settles what a whole transaction has left open.
func (d *delivery) fill(x *transaction) {
	for _, i := range x.rcpts {
		if !d.done[i] {
			x.decide(i, x.s.outcome(451, status.Enhanced{Class: 4, Subject: 5, Detail: 0}, "The server gave no answer for this recipient"))
		}
	}
}

// lost judges a transaction whose connection is gone, and reports whether those
// recipients that are not decided may be tried over another one at once.
func (d *delivery) lost(x *transaction, reused bool) bool {
	d.last = x.broken
	o := &x.broken.outcome
	if reused && x.replies == 0 && !(o.Uncertain && x.broken.timeout) {
		// It was closed while it lay idle, whatever the last words: nothing of
		// this message was taken.
		o.Uncertain = false
		return true
	}
	if x.broken.refused && o.Code != 421 || o.Uncertain || o.Action == classify.StopSite {
		x.decideAll(*o)
		o.Uncertain = false // for those it had not come to
		return false
	}
	return true
}

// target is one address to call.
type target struct {
	host   *Host
	addr   netip.Addr
	policy *tlspolicy.Policy // set before the call
	source *Source           // likewise
}

// targets are the addresses of a route in the order of calling: by preference,
// hosts of the same preference shuffled (RFC 5321 section 5.1). Those that did
// not answer lately are left out; if that is all of them, one caller at a time
// may try them (probing), and the others get none.
func (c *Courier) targets(r *Route) (list []target, probing bool) {
	hosts := make([]*Host, len(r.Hosts))
	for i := range r.Hosts {
		hosts[i] = &r.Hosts[i]
	}
	rand.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	slices.SortStableFunc(hosts, func(a, b *Host) int { return int(a.Preference) - int(b.Preference) })
	var dead []target
	for _, h := range hosts {
		for _, a := range h.Addrs {
			if c.dead.has(netip.AddrPortFrom(a, r.port)) {
				dead = append(dead, target{host: h, addr: a})
			} else {
				list = append(list, target{host: h, addr: a})
			}
		}
	}
	if len(list) > 0 {
		return list, false
	}
	if _, busy := c.probes.LoadOrStore(r.Site, true); busy {
		return nil, false
	}
	return dead, true
}

// whyDead is what failed with one of the hosts, in brackets.
func (c *Courier) whyDead(r *Route) string {
	for _, h := range r.Hosts {
		for _, a := range h.Addrs {
			if why := c.dead.why(netip.AddrPortFrom(a, r.port)); why != "" {
				return " (" + why + ")"
			}
		}
	}
	return ""
}

// session opens a session with one address. When TLS fails it calls again and
// speaks in clear, unless TLS is asked for.
func (c *Courier) session(ctx context.Context, r *Route, g target) (*conn, *failure) {
	ap := netip.AddrPortFrom(g.addr, r.port)
	mayBePlain := !g.policy.Strict() && (r.via == nil || !r.via.implicitTLS)
	inClear := mayBePlain && c.bad.has(ap)
	s, f := c.open(ctx, r, g, inClear)
	if f == nil && inClear {
		c.tellTLS(s, tlspolicy.ValidationFailure, c.bad.why(ap))
	}
	if f != nil && f.tls && mayBePlain && ctx.Err() == nil {
		c.opt.Log.Info("TLS failed, going on in clear", "host", g.host.Name, "addr", ap.String(), "reason", f.outcome.Text)
		c.bad.add(ap, f.outcome.Text)
		s, f = c.open(ctx, r, g, true)
	}
	switch {
	case f == nil:
		c.dead.remove(ap)
	case !f.refused && !f.policy && !f.notOurs && ctx.Err() == nil:
		c.dead.add(ap, f.outcome.Text)
	}
	return s, f
}
