package imapd

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestStress lets many clients do at random what they like to two mailboxes of
// one account, each with a picture of its mailbox made of nothing but what it was
// told. Every response is held against the rules (RFC 9051 sections 2.3, 5.5 and
// 7, RFC 7162), and at the end every picture must be the mailbox.
//
// STRESS_TIME is how long ("10m"), STRESS_SEED repeats a choice of commands,
// STRESS_CLIENTS is how many, and STRESS_SERVER="host:port login password" tries
// another server.
func TestStress(t *testing.T) {
	length, err := time.ParseDuration(cmp.Or(os.Getenv("STRESS_TIME"), "2s"))
	must(t, err)
	clients, err := strconv.Atoi(cmp.Or(os.Getenv("STRESS_CLIENTS"), "8"))
	must(t, err)
	seed, err := strconv.ParseUint(cmp.Or(os.Getenv("STRESS_SEED"), strconv.FormatUint(rand.Uint64(), 10)), 10, 64)
	must(t, err)
	t.Logf("STRESS_SEED=%d", seed)
	server, foreign := strings.Fields(os.Getenv("STRESS_SERVER")), true
	if len(server) != 3 {
		foreign = false
		server = []string{newHouse(t).addr, "alice", "secret"}
	}
	s := &stress{t: t, server: server, foreign: foreign, truths: map[string]*truth{"one": newTruth(), "two": newTruth()}, until: time.Now().Add(length)}
	first := s.client(0, seed)
	for box := range s.truths {
		_, _, err := first.do("CREATE "+box, "")
		must(t, err)
	}
	all := []*stresser{first}
	for i := 1; i < clients; i++ {
		all = append(all, s.client(i, seed))
	}
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(func() { c.blame(c.work()) })
	}
	wg.Wait()
	if !t.Failed() {
		s.settle(all)
	}
}

// stress is one run.
type stress struct {
	t       *testing.T
	server  []string
	foreign bool
	truths  map[string]*truth
	until   time.Time
}

// stresser is one client.
type stresser struct {
	*wirePeer
	s    *stress
	n    int
	rnd  *rand.Rand
	box  string // selected, "" for none
	view *clientView
	cond bool // CONDSTORE is enabled
	sent int  // messages appended
	did  int  // commands
}

// client logs in; some enable CONDSTORE, some IMAP4rev2.
func (s *stress) client(n int, seed uint64) *stresser {
	c := &stresser{wirePeer: dialPeer(s.t, s.server[0]), s: s, n: n, rnd: rand.New(rand.NewPCG(seed, uint64(n)))}
	s.t.Cleanup(func() { c.conn.Close() })
	login, _, err := c.do(fmt.Sprintf("LOGIN %q %q", s.server[1], s.server[2]), "")
	if err != nil || login.word != "OK" {
		s.t.Fatalf("login: %v %v", login.raw, err)
	}
	_, caps, err := c.do("CAPABILITY", "")
	must(s.t, err)
	for _, r := range caps {
		if n%3 == 1 && strings.Contains(r.raw, "IMAP4rev2") {
			_, _, err = c.do("ENABLE IMAP4rev2", "")
			must(s.t, err)
		}
	}
	if n%2 == 1 {
		_, _, err = c.do("ENABLE CONDSTORE", "")
		must(s.t, err)
		c.cond = true
	}
	return c
}

// blame reports an error with the end of the dialogue.
func (c *stresser) blame(err error) {
	if err != nil {
		c.s.t.Errorf("client %d: %v\n%s", c.n, err, strings.Join(c.past, "\n"))
	}
}

// do gives a command and takes everything until its answer. BAD is an error:
// the clients make no mistakes.
func (c *stresser) do(command, literal string) (tagged reply, data []reply, err error) {
	tag, err := c.wirePeer.send(command, literal)
	if err != nil {
		return tagged, nil, err
	}
	return c.await(tag, strings.Fields(command)[0]+" "+strings.Fields(command + " x")[1])
}

// await takes responses until the tag comes.
func (c *stresser) await(tag, command string) (tagged reply, data []reply, err error) {
	if !strings.HasPrefix(command, "UID ") {
		command, _, _ = strings.Cut(command, " ")
	}
	c.did++
	for {
		r, err := c.read()
		switch {
		case err != nil:
			return r, data, err
		case r.tag == tag && r.word == "BAD":
			return r, data, errors.New("BAD to a good command")
		case r.tag == tag:
			return r, data, nil
		case r.tag == "+":
			continue
		case r.tag != "*":
			return r, data, fmt.Errorf("a tag that was not given: %s", r.raw)
		}
		if c.view != nil {
			if err := c.view.take(&r, command); err != nil {
				return r, data, err
			}
		}
		data = append(data, r)
	}
}

// work does things until the time is over.
func (c *stresser) work() error {
	for time.Now().Before(c.s.until) && !c.s.t.Failed() {
		var err error
		switch n := c.rnd.IntN(100); {
		case c.view == nil || n < 3:
			err = c.selectBox()
		case n < 15 || len(c.view.msgs) < 5:
			err = c.append()
		case n < 97:
			err = c.inMailbox(n)
		case n < 98:
			err = c.leave()
		default:
			err = c.status()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *stresser) inMailbox(n int) error {
	if len(c.view.msgs) > 60 && n < 40 {
		return c.thin()
	}
	switch {
	case n < 45:
		return c.store()
	case n < 60:
		return c.fetch()
	case n < 70:
		return c.search()
	case n < 78:
		return c.idle()
	case n < 84:
		return c.expungeSome()
	case n < 90:
		return c.copyOrMove()
	case n < 93:
		return c.pipeline()
	}
	_, _, err := c.do([]string{"NOOP", "CHECK"}[c.rnd.IntN(2)], "")
	return err
}

func (c *stresser) otherBox() string {
	if c.box == "one" {
		return "two"
	}
	return "one"
}

func (c *stresser) selectBox() error {
	c.box = []string{"one", "two"}[c.rnd.IntN(2)]
	tr := c.s.truths[c.box]
	clock, next, highest := tr.marks()
	c.view = &clientView{truth: tr, since: clock, readOnly: c.rnd.IntN(6) == 0}
	verb := "SELECT "
	if c.view.readOnly {
		verb = "EXAMINE "
	}
	if !c.cond && c.rnd.IntN(8) == 0 {
		c.cond = true
		c.view.condsto = true
		verb += c.box + " (CONDSTORE)"
	} else {
		c.view.condsto = c.cond
		verb += c.box
	}
	// What comes before [CLOSED] would be of the mailbox before; we send none.
	tagged, data, err := c.do(verb, "")
	if err != nil || tagged.word != "OK" {
		return fmt.Errorf("select: %s, %w", tagged.raw, cmp.Or(err, errRefused))
	}
	for _, r := range data {
		if name, rest := r.code(); name != "" {
			if err := c.selectCode(name, rest, next, highest); err != nil {
				return err
			}
		}
	}
	if c.rnd.IntN(3) > 0 && len(c.view.msgs) > 0 {
		_, _, err = c.do("FETCH 1:* (UID FLAGS)", "")
	}
	return err
}

var errRefused = errors.New("refused")

// selectCode: what SELECT says may not fall behind what anyone was told before.
func (c *stresser) selectCode(name, rest string, next uint32, highest uint64) error {
	tr := c.view.truth
	n, _ := strconv.ParseUint(rest, 10, 63)
	tr.mu.Lock()
	defer tr.mu.Unlock()
	switch name {
	case "UIDNEXT":
		if n < uint64(next) {
			return fmt.Errorf("UIDNEXT %d, after %d", n, next)
		}
		tr.next = max(tr.next, uint32(n))
	case "HIGHESTMODSEQ":
		if n < highest {
			return fmt.Errorf("HIGHESTMODSEQ %d, after %d", n, highest)
		}
		tr.highest = max(tr.highest, n)
	case "UIDVALIDITY":
		if tr.epoch != "" && tr.epoch != rest {
			return fmt.Errorf("UIDVALIDITY %s, after %s", rest, tr.epoch)
		}
		tr.epoch = rest
	case "UNSEEN":
		if n == 0 || n > uint64(len(c.view.msgs)) {
			return fmt.Errorf("UNSEEN %d of %d", n, len(c.view.msgs))
		}
	}
	return nil
}

// leave closes the mailbox, in one of the two ways.
func (c *stresser) leave() error {
	how := []string{"CLOSE", "UNSELECT"}[c.rnd.IntN(2)]
	c.view, c.box = nil, ""
	_, _, err := c.do(how, "")
	return err
}

// settle waits until nothing is new to anyone and holds every picture against
// the mailbox.
func (s *stress) settle(all []*stresser) {
	total := 0
	for _, c := range all {
		total += c.did
		if c.view == nil {
			continue
		}
		if _, _, err := c.do("NOOP", ""); err != nil {
			c.blame(err)
			return
		}
	}
	s.t.Logf("%d commands", total)
	for box := range s.truths {
		fresh := s.client(1, 0)
		fresh.box, fresh.cond = box, true
		fresh.view = &clientView{truth: newTruth(), condsto: true}
		for _, command := range []string{"EXAMINE " + box, "FETCH 1:* (UID FLAGS MODSEQ)"} {
			if _, _, err := fresh.do(command, ""); err != nil && !strings.Contains(err.Error(), "BAD") {
				fresh.blame(err)
				return
			}
		}
		for _, c := range all {
			if c.box == box {
				c.blame(c.compare(fresh.view))
				c.blame(c.searchQuiet())
			}
		}
	}
}

// compare holds the picture against that of a client who has just come.
func (c *stresser) compare(is *clientView) error {
	if len(is.msgs) != len(c.view.msgs) {
		return fmt.Errorf("%d messages, and there are %d", len(c.view.msgs), len(is.msgs))
	}
	for i, m := range c.view.msgs {
		n := is.msgs[i]
		switch {
		case m.missing:
			return fmt.Errorf("message %d was left out of an answer and is there", i+1)
		case m.uid != 0 && m.uid != n.uid:
			return fmt.Errorf("message %d has UID %d, and that is %d", i+1, m.uid, n.uid)
		case m.known && !slices.Equal(m.flags, n.flags):
			return fmt.Errorf("message %d UID %d has flags %v, and they are %v", i+1, n.uid, m.flags, n.flags)
		case c.cond && m.modseq > n.modseq:
			return fmt.Errorf("message %d UID %d has modseq %d, and that is %d", i+1, n.uid, m.modseq, n.modseq)
		}
	}
	return nil
}

// searchQuiet searches when nothing changes: the answer must be the picture's.
func (c *stresser) searchQuiet() error {
	if len(c.view.msgs) == 0 {
		return nil
	}
	if _, _, err := c.do("FETCH 1:* (UID FLAGS)", ""); err != nil {
		return err
	}
	for key, flag := range map[string]string{"SEEN": `\seen`, "FLAGGED": `\flagged`, "DELETED": `\deleted`, "KEYWORD $two": "$two"} {
		_, data, err := c.do("SEARCH "+key, "")
		if err != nil {
			return err
		}
		got, err := found(data)
		var want []uint32
		for i, m := range c.view.msgs {
			if slices.Contains(m.flags, flag) {
				want = append(want, uint32(i+1))
			}
		}
		if err != nil || !slices.Equal(got, want) {
			return fmt.Errorf("SEARCH %s finds %v, %v: want %v", key, got, err, want)
		}
	}
	return nil
}
