package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// killsPerHouse bounds how large the mailboxes of one house grow.
const killsPerHouse = 12

// TestTorture kills the server at random moments under SMTP, IMAP and outbound
// load, and proves from the clients' own records that nothing acknowledged is
// missing, nothing is there twice, and no UID is given twice. TORTURE_KILLS
// is the number of kills.
func TestTorture(t *testing.T) {
	kills := 24
	if s := os.Getenv("TORTURE_KILLS"); s != "" {
		kills, _ = strconv.Atoi(s)
	} else if testing.Short() {
		t.Skip("starts and kills servers")
	}
	for house := 0; house*killsPerHouse < kills; house++ {
		t.Run(fmt.Sprint(house), func(t *testing.T) { torture(t, min(killsPerHouse, kills-house*killsPerHouse)) })
	}
}

// ledger is what the clients know.
type ledger struct {
	mu      sync.Mutex
	next    int
	maybe   map[string]bool            // tokens sent, acknowledged or not
	filed   map[string]map[string]bool // token -> accounts that must have it
	gone    map[string]bool            // tokens whose removal was begun
	removed map[string]bool            // tokens whose removal was acknowledged
	relayed map[string]bool            // tokens acknowledged for elsewhere
	uids    map[string]map[uint32]string
	top     map[string]uint32
	epoch   map[string]string // UIDVALIDITY
}

func newLedger() *ledger {
	return &ledger{
		maybe: map[string]bool{}, filed: map[string]map[string]bool{}, gone: map[string]bool{}, removed: map[string]bool{},
		relayed: map[string]bool{}, uids: map[string]map[uint32]string{}, top: map[string]uint32{}, epoch: map[string]string{},
	}
}

func (l *ledger) token() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	token := fmt.Sprintf("tok%06d", l.next)
	l.maybe[token] = true
	return token
}

func (l *ledger) note(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fn()
}

func (l *ledger) fileIn(token string, accounts ...string) {
	l.note(func() {
		if l.filed[token] == nil {
			l.filed[token] = map[string]bool{}
		}
		for _, a := range accounts {
			l.filed[token][a] = true
		}
	})
}

// saw notes that an account's INBOX showed token under uid.
func (l *ledger) saw(t *testing.T, account string, uid uint32, token string) {
	l.note(func() {
		if l.uids[account] == nil {
			l.uids[account] = map[uint32]string{}
		}
		if old, ok := l.uids[account][uid]; ok && old != token {
			t.Errorf("%s: UID %d was %s and is now %s", account, uid, old, token)
		}
		l.uids[account][uid] = token
		l.top[account] = max(l.top[account], uid)
	})
}

func torture(t *testing.T, kills int) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	sink := NewSink(t, "127.0.0.1")
	accounts := []string{"u1@" + Domain, "u2@" + Domain, "u3@" + Domain}
	h := NewHouse(t, "127.0.0.1", "mx.example.test",
		"---\n[outbound]\nretry = \"1s\"\n[[outbound.route]]\nmatch = \"*\"\nvia = \"smtp://"+sink.Addr+"\"\n[log]\nlevel = \"warn\"\n", accounts...)
	l := newLedger()
	h.Start()
	for range kills {
		stop := make(chan struct{})
		var load sync.WaitGroup
		for i := range 4 {
			r := rand.New(rand.NewPCG(rnd.Uint64(), uint64(i)))
			load.Go(func() { sendLoad(h, l, accounts, r, stop) })
			r2 := rand.New(rand.NewPCG(rnd.Uint64(), uint64(i)))
			account := accounts[i%len(accounts)]
			load.Go(func() { imapLoad(t, h, l, account, r2, stop) })
		}
		time.Sleep(time.Duration(rnd.IntN(500)+20) * time.Millisecond) // the random moment
		h.Kill()
		close(stop)
		load.Wait()
		h.Start()
		for _, a := range accounts {
			checkMailbox(t, h, l, a)
		}
		if t.Failed() {
			h.Kill()
			t.Fatalf("log of the server:\n%s", h.Log())
		}
	}
	checkRelayed(t, h, l, sink, kills)
	h.Stop()
	h.Verify()
}

func tortureMessage(token string, r *rand.Rand) []byte {
	return []byte("From: <a@client.test>\r\nSubject: torture\r\nX-Token: " + token + "\r\n\r\n" +
		strings.Repeat("0123456789abcdef\r\n", r.IntN(700)) + "end\r\n")
}

// sendLoad sends mail to one, several or remote recipients until the server is
// gone.
func sendLoad(h *House, l *ledger, accounts []string, r *rand.Rand, stop chan struct{}) {
	var c *SMTP
	defer func() {
		if c != nil {
			c.Close()
		}
	}()
	for {
		select {
		case <-stop:
			return
		default:
		}
		var err error
		if c == nil {
			if c, err = DialSMTP(h.Addr["submission"], accounts[0]); err != nil {
				return
			}
		}
		token := l.token()
		var local, to []string
		if n := r.IntN(5); n < 3 {
			local = []string{accounts[r.IntN(len(accounts))]}
		} else if n == 3 {
			local = accounts
		}
		to = append(to, local...)
		if len(local) != 1 {
			to = append(to, "someone@elsewhere.test")
		}
		msg := tortureMessage(token, r)
		msg = []byte(strings.Replace(string(msg), "a@client.test", accounts[0], 1))
		if err := c.Send(accounts[0], to, msg); err != nil {
			return
		}
		l.fileIn(token, local...)
		if len(local) != 1 {
			l.note(func() { l.relayed[token] = true })
		}
	}
}

var appendUID = regexp.MustCompile(`APPENDUID \d+ (\d+)`)

// imapLoad appends, flags, looks and expunges until the server is gone.
func imapLoad(t *testing.T, h *House, l *ledger, account string, r *rand.Rand, stop chan struct{}) {
	c, err := DialIMAP(h.Addr["imap"], account)
	if err != nil {
		return
	}
	defer c.Close()
	if _, _, err := c.Cmd("SELECT INBOX"); err != nil {
		return
	}
	for {
		select {
		case <-stop:
			return
		default:
		}
		token := l.token()
		ok, err := c.Append("INBOX", `\Seen`, tortureMessage(token, r))
		if err != nil {
			return
		}
		l.fileIn(token, account)
		m := appendUID.FindStringSubmatch(ok)
		if m == nil {
			t.Errorf("no APPENDUID: %s", ok)
			return
		}
		uid, _ := strconv.ParseUint(m[1], 10, 32)
		l.saw(t, account, uint32(uid), token)
		switch r.IntN(4) {
		case 0:
			if _, _, err := c.Cmd(`UID STORE %d +FLAGS (\Flagged $Work)`, uid); err != nil {
				return
			}
		case 1:
			l.note(func() { l.gone[token] = true })
			if _, _, err := c.Cmd(`UID STORE %d +FLAGS.SILENT (\Deleted)`, uid); err != nil {
				return
			}
			if _, _, err := c.Cmd(`UID EXPUNGE %d`, uid); err != nil {
				return
			}
			l.note(func() { l.removed[token] = true })
		case 2:
			all, _, err := c.Cmd("UID FETCH %d:* (BODY.PEEK[HEADER.FIELDS (X-Token)])", max(1, int(uid)-20))
			seeAll(t, l, account, all)
			if err != nil {
				return
			}
		}
	}
}

var fetchUID = regexp.MustCompile(`UID (\d+)`)

// seeAll notes what FETCH responses with UID and X-Token show.
func seeAll(t *testing.T, l *ledger, account string, all []Response) map[string]int {
	tokens := map[string]int{}
	for _, r := range all {
		m := fetchUID.FindStringSubmatch(r.Text)
		if m == nil || len(r.Literals) != 1 {
			continue
		}
		uid, _ := strconv.ParseUint(m[1], 10, 32)
		token := TokenOf(r.Literals[0])
		tokens[token]++
		l.saw(t, account, uint32(uid), token)
	}
	return tokens
}

var (
	uidNext     = regexp.MustCompile(`UIDNEXT (\d+)`)
	uidValidity = regexp.MustCompile(`UIDVALIDITY (\d+)`)
)

// checkMailbox compares an INBOX with the ledger.
func checkMailbox(t *testing.T, h *House, l *ledger, account string) {
	t.Helper()
	c, err := DialIMAP(h.Addr["imap"], account)
	if err != nil {
		t.Fatalf("%s: %v", account, err)
	}
	defer c.Close()
	all, _, err := c.Cmd("SELECT INBOX")
	if err != nil {
		t.Fatalf("%s: %v", account, err)
	}
	var text string
	for _, r := range all {
		text += r.Text + "\n"
	}
	if m := uidNext.FindStringSubmatch(text); m != nil {
		if next, _ := strconv.ParseUint(m[1], 10, 32); uint32(next) <= l.top[account] {
			t.Errorf("%s: UIDNEXT is %d, UID %d was seen", account, next, l.top[account])
		}
	}
	m := uidValidity.FindStringSubmatch(text)
	if m == nil || l.epoch[account] != "" && l.epoch[account] != m[1] {
		t.Errorf("%s: UIDVALIDITY %v, was %s", account, m, l.epoch[account])
		return
	}
	l.epoch[account] = m[1]
	if all, _, err = c.Cmd("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (X-Token)])"); err != nil {
		t.Fatalf("%s: %v", account, err)
	}
	tokens := seeAll(t, l, account, all)
	for token, n := range tokens {
		if n > 1 {
			t.Errorf("%s: %s is there %d times", account, token, n)
		}
		if !l.maybe[token] {
			t.Errorf("%s: %q was never sent", account, token)
		}
		if l.removed[token] {
			t.Errorf("%s: %s was expunged and is back", account, token)
		}
	}
	for token, in := range l.filed {
		if in[account] && tokens[token] == 0 && !l.gone[token] {
			t.Errorf("%s: %s was acknowledged and is missing", account, token)
		}
	}
}

// checkRelayed waits for the queue to drain. Everything acknowledged for
// elsewhere must have arrived there; twice only where a kill can explain it.
func checkRelayed(t *testing.T, h *House, l *ledger, sink *Sink, kills int) {
	t.Helper()
	deadline := time.Now().Add(clientTimeout)
	for {
		var entries []struct{ ID string }
		if err := json.Unmarshal([]byte(h.Run("", "queue", "list", "--json")), &entries); err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d entries still in the queue", len(entries))
		}
		time.Sleep(50 * time.Millisecond) // polling another process
	}
	taken := sink.Taken()
	twice := 0
	for token := range l.relayed {
		if taken[token] == 0 {
			t.Errorf("%s was acknowledged and never arrived elsewhere", token)
		}
	}
	for token, n := range taken {
		if !l.maybe[token] {
			t.Errorf("%q arrived elsewhere and was never sent", token)
		}
		if n > kills+1 {
			t.Errorf("%s arrived %d times with %d kills", token, n, kills)
		}
		twice += n - 1
	}
	// A transfer in flight at a kill may be repeated, one per connection to the
	// site (20), and outcomes that wait for their group commit.
	if limit := kills * 64; twice > limit {
		t.Errorf("%d repeated transfers with %d kills", twice, kills)
	}
	t.Logf("%d filed, %d relayed, %d repeated in %d kills", len(l.filed), len(l.relayed), twice, kills)
}
