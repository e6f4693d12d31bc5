package directory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"posthouse/internal/blob/refs"
	"posthouse/internal/blob/segment"
	"posthouse/internal/clock"
	"posthouse/internal/id"
	"posthouse/internal/kv"
	"posthouse/internal/kv/pebble"
	"posthouse/internal/record"
	"posthouse/internal/smtp"
)

var testStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// house is a directory on a real disk.
type house struct {
	*Directory
	t      testing.TB
	dir    string
	db     kv.Store
	bodies *segment.Store
	clock  *eager
	opt    Options
}

// eager is a clock on which every wait is over at once: it moves ahead instead.
type eager struct {
	*clock.Fake
	mu     sync.Mutex
	waited time.Duration
}

func (e *eager) NewTimer(d time.Duration) clock.Timer {
	e.mu.Lock()
	e.waited += d
	e.mu.Unlock()
	t := e.Fake.NewTimer(d)
	e.Advance(d)
	return t
}

func newHouse(t testing.TB, opt Options) *house {
	h := &house{t: t, dir: t.TempDir(), clock: &eager{Fake: clock.NewFake(testStart)}}
	opt.Clock = h.clock
	if opt.ScramIterations == 0 {
		opt.ScramIterations = minScram
	}
	h.opt = opt
	h.open()
	t.Cleanup(h.close)
	return h
}

func (h *house) open() {
	h.t.Helper()
	db, err := pebble.Open(filepath.Join(h.dir, "index"), pebble.Options{})
	if err != nil {
		h.t.Fatal(err)
	}
	h.db = db
	if h.bodies, err = segment.Open(filepath.Join(h.dir, "bodies"), segment.Options{}); err != nil {
		h.t.Fatal(err)
	}
	h.opt.Bodies, h.opt.Counts = h.bodies, refs.New(h.bodies)
	if h.Directory, err = Open(context.Background(), h.db, h.opt); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) close() {
	if err := errors.Join(h.Directory.Close(), h.bodies.Close(), h.db.Close()); err != nil {
		h.t.Error(err)
	}
}

func addr(s string) smtp.Address {
	var a smtp.Address
	if err := a.UnmarshalText([]byte(s)); err != nil {
		panic(err)
	}
	return a
}

func addrs(list ...string) (out []smtp.Address) {
	for _, s := range list {
		out = append(out, addr(s))
	}
	return out
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) domain(name string) {
	h.t.Helper()
	_, err := h.AddDomain(h.t.Context(), name)
	h.must(err)
}

func (h *house) account(address, password string) Account {
	h.t.Helper()
	a, err := h.AddAccount(h.t.Context(), addr(address), password)
	h.must(err)
	return a
}

func (h *house) alias(from string, to ...string) error {
	return h.SetAlias(h.t.Context(), Alias{addr(from), addrs(to...)})
}

// goesTo resolves address into one word: where it goes, or why not.
func (h *house) goesTo(address string) string {
	h.t.Helper()
	targets, err := h.Resolve(h.t.Context(), addr(address))
	if err != nil {
		return strings.TrimPrefix(err.Error(), "directory: ")
	}
	var list []string
	for _, t := range targets {
		switch {
		case t.Account.ID != 0:
			list = append(list, t.Account.Address.String())
		default:
			list = append(list, "<"+t.Address.String()+">")
		}
	}
	return strings.Join(list, " ")
}

func TestAccountsLiveInDomains(t *testing.T) {
	h := newHouse(t, Options{})
	ctx := t.Context()
	if _, err := h.AddAccount(ctx, addr("alice@example.test"), ""); !errors.Is(err, ErrNotLocal) {
		t.Errorf("account without a domain: %v", err)
	}
	h.domain("Example.TEST.")
	if _, err := h.AddDomain(ctx, "example.test"); !errors.Is(err, ErrExists) {
		t.Errorf("the same domain: %v", err)
	}
	alice := h.account("Alice@Example.test", "")
	if alice.ID != 1 || alice.Address.String() != "Alice@Example.test" || alice.Tenant != "main" || !alice.Created.Equal(testStart) {
		t.Errorf("%+v", alice)
	}
	if _, err := h.AddAccount(ctx, addr("ALICE@example.test"), ""); !errors.Is(err, ErrExists) {
		t.Errorf("the same account: %v", err)
	}
	if a, err := h.Account(ctx, addr("alice@EXAMPLE.test")); err != nil || a.ID != alice.ID {
		t.Errorf("%+v, %v", a, err)
	}
	if err := h.RemoveDomain(ctx, "example.test"); !errors.Is(err, ErrInUse) {
		t.Errorf("a domain in use: %v", err)
	}
	if _, err := h.RemoveAccount(ctx, addr("alice@example.test")); err != nil {
		t.Error(err)
	}
	if _, err := h.AccountByID(ctx, alice.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("a removed account: %v", err)
	}
	if again := h.account("alice@example.test", ""); again.ID != 2 {
		t.Errorf("number %d was given again", again.ID)
	}
	if _, err := h.RemoveAccount(ctx, addr("alice@example.test")); err != nil {
		t.Error(err)
	}
	h.must(h.RemoveDomain(ctx, "EXAMPLE.test"))
	if local, _ := h.IsLocal(ctx, "example.test"); local {
		t.Error("a removed domain is still local")
	}
}

func TestNamesAreChecked(t *testing.T) {
	h := newHouse(t, Options{})
	for _, name := range []string{"", "a b", "-x.test", "[127.0.0.1]", "127.0.0.1", "x..test", "a/b.test"} {
		if _, err := h.AddDomain(t.Context(), name); !errors.Is(err, ErrInvalid) {
			t.Errorf("domain %q: %v", name, err)
		}
	}
	h.domain("bücher.test")
	if d, err := h.Domain(t.Context(), "BÜCHER.test"); err != nil || d.Name != "xn--bcher-kva.test" {
		t.Errorf("%+v, %v", d, err)
	}
	for _, a := range []smtp.Address{{Local: "a\x00b", Domain: "bücher.test"}, {Domain: "bücher.test"}, {Local: strings.Repeat("x", 65), Domain: "bücher.test"}} {
		if _, err := h.AddAccount(t.Context(), a, ""); !errors.Is(err, ErrInvalid) {
			t.Errorf("account %q: %v", a, err)
		}
	}
	h.account("alice@xn--bcher-kva.test", "")
	if to := h.goesTo("alice@Bücher.test"); to != "alice@xn--bcher-kva.test" {
		t.Errorf("by U-label: %s", to)
	}
}

func TestResolve(t *testing.T) {
	h := newHouse(t, Options{})
	h.domain("a.test")
	h.domain("b.test")
	for _, a := range []string{"alice@a.test", "bob@a.test", "carol+x@a.test"} {
		h.account(a, "")
	}
	h.must(h.alias("team@a.test", "alice@a.test", "bob+team@a.test", "ALICE@a.test", "far@elsewhere.test"))
	h.must(h.alias("all@b.test", "team@a.test", "bob@a.test", "other@elsewhere.test", "far@ELSEWHERE.test"))
	h.must(h.alias("dead@a.test", "nobody@a.test"))
	h.must(h.alias("@b.test", "bob@a.test"))
	for address, want := range map[string]string{
		"alice@a.test":        "alice@a.test",
		"ALICE+News@A.test":   "alice@a.test",
		"carol+x@a.test":      "carol+x@a.test",
		"carol@a.test":        "no such user",
		"team+x@a.test":       "alice@a.test bob@a.test <far@elsewhere.test>",
		"all@b.test":          "alice@a.test bob@a.test <far@elsewhere.test> <other@elsewhere.test>",
		"anything@b.test":     "bob@a.test",
		"dead@a.test":         "no such user",
		"nobody@a.test":       "no such user",
		"x@elsewhere.test":    "domain does not live here",
		"postmaster":          "alice@a.test",
		"Postmaster@a.test":   "alice@a.test",
		"postmaster@b.test":   "bob@a.test",
		"postmaster@c.test":   "domain does not live here",
		"+@a.test":            "no such user",
		"\"ali ce\"@a.test":   "no such user",
		"postmaster+x@a.test": "alice@a.test",
		"abuse@a.test":        "alice@a.test",
		"Abuse@b.test":        "bob@a.test",
		"abuse@c.test":        "domain does not live here",
	} {
		if have := h.goesTo(address); have != want {
			t.Errorf("%s goes to %s, want %s", address, have, want)
		}
	}
	h.must(h.alias("postmaster@a.test", "carol+x@a.test"))
	h.must(h.alias("info@a.test", "abuse@a.test", "bob@a.test"))
	for _, address := range []string{"postmaster", "abuse@a.test"} {
		if have := h.goesTo(address); have != "carol+x@a.test" {
			t.Errorf("%s goes to %s", address, have)
		}
	}
	if have := h.goesTo("info@a.test"); have != "bob@a.test carol+x@a.test" {
		t.Errorf("an alias that leads to an office goes to %s", have)
	}
	// Two offices that lead to each other are with whom neither is.
	h.must(h.alias("postmaster@a.test", "abuse@a.test"))
	if have := h.goesTo("abuse@a.test"); have != "alice@a.test" {
		t.Errorf("offices without anybody go to %s", have)
	}
	h.must(h.alias("abuse@a.test", "bob@a.test"))
	if have := h.goesTo("postmaster@a.test"); have != "bob@a.test" {
		t.Errorf("postmaster goes to %s", have)
	}
	targets, err := h.Resolve(t.Context(), addr("team@a.test"))
	if err != nil || targets[0].Via != addr("team@a.test") {
		t.Errorf("%+v, %v", targets, err)
	}
}

func TestAliasesAreChecked(t *testing.T) {
	h := newHouse(t, Options{})
	h.domain("a.test")
	h.account("alice@a.test", "")
	for _, tt := range []struct {
		from string
		to   []string
		want error
	}{
		{"alice@a.test", []string{"x@far.test"}, ErrExists},
		{"x@far.test", []string{"alice@a.test"}, ErrNotLocal},
		{"@far.test", []string{"alice@a.test"}, ErrNotLocal},
		{"x@a.test", nil, ErrInvalid},
		{"x@a.test", []string{"@a.test"}, ErrInvalid},
		{"x@a.test", []string{"X+y@a.test"}, ErrAliasLoop},
		{"one@a.test", []string{"two@a.test"}, nil},
		{"two@a.test", []string{"three@a.test", "alice@a.test"}, nil},
		{"three@a.test", []string{"far@far.test", "one+x@a.test"}, ErrAliasLoop},
		{"@a.test", []string{"three@a.test"}, ErrAliasLoop}, // three@ is nobody: the catch-all takes it
		{"@a.test", []string{"one@a.test"}, ErrAliasLoop},   // by two@ to three@, which is nobody
		{"three@a.test", []string{"alice@a.test"}, nil},
		{"@a.test", []string{"one@a.test"}, nil},
	} {
		if err := h.alias(tt.from, tt.to...); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
			t.Errorf("%s to %v: %v, want %v", tt.from, tt.to, err, tt.want)
		}
	}
	// Without three@ the catch-all closes a loop that was none when it was made.
	h.must(h.RemoveAlias(t.Context(), addr("three@a.test")))
	if to := h.goesTo("one@a.test"); to != "aliases in a loop" {
		t.Errorf("one@ goes to %s", to)
	}
	if err := h.RemoveAlias(t.Context(), addr("alice@a.test")); !errors.Is(err, ErrNotFound) {
		t.Errorf("an account is no alias: %v", err)
	}
	list, err := h.Aliases(t.Context())
	if err != nil || len(list) != 3 || list[0].Address.String() != "@a.test" {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestMaySend(t *testing.T) {
	h := newHouse(t, Options{})
	h.domain("a.test")
	alice, bob := h.account("alice@a.test", ""), h.account("bob@a.test", "")
	h.must(h.alias("sales@a.test", "alice@a.test", "x@far.test"))
	for _, tt := range []struct {
		who  id.Account
		as   string
		want bool
	}{
		{alice.ID, "alice@a.test", true}, {alice.ID, "Alice+x@A.test", true}, {alice.ID, "sales@a.test", true},
		{alice.ID, "bob@a.test", false}, {bob.ID, "sales@a.test", false}, {alice.ID, "x@far.test", false},
		{alice.ID, "nobody@a.test", false}, {alice.ID, "", false}, {99, "alice@a.test", false},
	} {
		if ok, err := h.MaySend(t.Context(), tt.who, addr(tt.as)); ok != tt.want || err != nil {
			t.Errorf("%d as %s: %v, %v", tt.who, tt.as, ok, err)
		}
	}
}

// An address is its owner's since the account was made, unless an operator knows
// better (RFC 7293 section 9).
func TestOwnerSince(t *testing.T) {
	h := newHouse(t, Options{})
	h.domain("a.test")
	h.account("alice@a.test", "")
	since := func() time.Time {
		t.Helper()
		a, err := h.Account(t.Context(), addr("alice@a.test"))
		h.must(err)
		return a.OwnerSince
	}
	created := since()
	if a, _ := h.Account(t.Context(), addr("alice@a.test")); !created.Equal(a.Created) || created.IsZero() {
		t.Errorf("at first since %v, created %v", created, a.Created)
	}
	early := time.Date(2019, 5, 1, 0, 0, 0, 0, time.UTC)
	h.must(h.SetOwnerSince(t.Context(), addr("alice@a.test"), early))
	h.must(h.SetQuota(t.Context(), addr("alice@a.test"), 1))
	h.close()
	h.open()
	if got := since(); !got.Equal(early) {
		t.Errorf("since %v, want %v", got, early)
	}
	h.must(h.SetOwnerSince(t.Context(), addr("alice@a.test"), time.Time{}))
	if got := since(); got.Before(created) {
		t.Errorf("handed over now: since %v, created %v", got, created)
	}
	if err := h.SetOwnerSince(t.Context(), addr("alice@a.test"), time.Now().Add(100*365*24*time.Hour)); !errors.Is(err, ErrInvalid) {
		t.Errorf("in a hundred years: %v", err)
	}
	if err := h.SetOwnerSince(t.Context(), addr("nobody@a.test"), early); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
}

func TestDirectoryOutlivesTheProcess(t *testing.T) {
	h := newHouse(t, Options{})
	ctx := t.Context()
	h.domain("a.test")
	h.account("alice@a.test", "secret")
	h.account("bob@a.test", "")
	h.must(h.alias("team@a.test", "alice@a.test", "bob@a.test"))
	h.must(h.SetQuota(ctx, addr("bob@a.test"), 5<<30))
	_, err := h.RemoveAccount(ctx, addr("bob@a.test"))
	h.must(err)
	before, err := h.Domains(ctx)
	h.must(err)
	h.close()
	h.open()
	if to := h.goesTo("team@a.test"); to != "alice@a.test" {
		t.Errorf("team goes to %s", to)
	}
	after, err := h.Domains(ctx)
	h.must(err)
	if len(after) != 1 || !slices.EqualFunc(before[0].DKIM, after[0].DKIM, func(a, b DKIMKey) bool {
		return a.Selector == b.Selector && string(a.Private) == string(b.Private)
	}) {
		t.Errorf("domains %+v", after)
	}
	if _, err := h.Authenticate(ctx, Attempt{Login: "alice@a.test"}, "secret"); err != nil {
		t.Error(err)
	}
	if carol := h.account("carol@a.test", ""); carol.ID != 3 {
		t.Errorf("number %d", carol.ID)
	}
	if err := h.RemoveDomain(ctx, "a.test"); !errors.Is(err, ErrInUse) {
		t.Error(err)
	}
}

func TestOnCreateIsPartOfTheTransaction(t *testing.T) {
	refuse := errors.New("no")
	var fail error
	h := newHouse(t, Options{OnCreate: func(tx kv.Tx, acct id.Account) error {
		if fail != nil {
			return fail
		}
		return tx.Set(kv.NewKey(kv.AccountPartition(uint64(acct))).Byte('x'), []byte{1})
	}})
	h.domain("a.test")
	fail = refuse
	if _, err := h.AddAccount(t.Context(), addr("alice@a.test"), ""); !errors.Is(err, refuse) {
		t.Errorf("%v", err)
	}
	if to := h.goesTo("alice@a.test"); to != "no such user" {
		t.Errorf("goes to %s", to)
	}
	fail = nil
	alice := h.account("alice@a.test", "")
	err := h.db.View(t.Context(), func(r kv.Reader) error {
		_, err := r.Get(kv.NewKey(kv.AccountPartition(uint64(alice.ID))).Byte('x'))
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// copies reads every object of the directory out of the log, as rebuild does.
func (h *house) copies() (out []Object) {
	h.t.Helper()
	err := h.bodies.Records(h.t.Context(), func(r segment.Record) error {
		if r.Err != nil {
			return r.Err
		}
		meta, err := record.Decode(r.Meta)
		if err != nil {
			return err
		}
		data := make([]byte, r.Ref.Length)
		if _, err := io.ReadFull(r.Body, data); err != nil {
			return err
		}
		out = append(out, Object{Name: meta.Object, Date: meta.Date, Ref: r.Ref, Data: data})
		return nil
	})
	h.must(err)
	return out
}

func TestRestore(t *testing.T) {
	var made []id.Account
	h := newHouse(t, Options{OnCreate: func(tx kv.Tx, acct id.Account) error {
		made = append(made, acct)
		return nil
	}})
	ctx := t.Context()
	h.domain("a.test")
	h.domain("gone.test")
	h.account("alice@a.test", "old")
	h.account("bob@a.test", "")
	h.must(h.alias("team@a.test", "bob@a.test"))
	h.must(h.alias("team@a.test", "alice@a.test"))
	h.must(h.alias("x@a.test", "alice@a.test"))
	everything := h.copies() // with what is removed and replaced below
	h.clock.Advance(time.Minute)
	h.must(h.SetPassword(ctx, addr("alice@a.test"), "new"))
	_, err := h.RemoveAccount(ctx, addr("bob@a.test"))
	h.must(err)
	h.must(h.RemoveAlias(ctx, addr("x@a.test")))
	h.must(h.RemoveDomain(ctx, "gone.test"))
	everything = append(everything, h.copies()...)

	live := 0
	h.must(h.db.View(ctx, func(r kv.Reader) error {
		return refs.Scan(r, func(_ blobRef, n int) bool { live += n; return true })
	}))
	if live != 4 { // ledger, domain, account, alias
		t.Errorf("%d copies are live, want 4", live)
	}

	made = nil
	fresh := newHouse(t, h.opt)
	for i := range everything {
		everything[i].Ref = blobRef{} // another log
	}
	errs, err := fresh.Restore(ctx, everything)
	if err != nil || len(errs) > 0 {
		t.Fatalf("%v, %v", errs, err)
	}
	if to := fresh.goesTo("team@a.test"); to != "alice@a.test" {
		t.Errorf("team goes to %s", to)
	}
	if to := fresh.goesTo("x@a.test") + fresh.goesTo("bob@a.test") + fresh.goesTo("a@gone.test"); to != "no such userno such userdomain does not live here" {
		t.Errorf("what was removed: %s", to)
	}
	if !slices.Equal(made, []id.Account{1}) {
		t.Errorf("mailboxes made for %v", made)
	}
	if _, err := fresh.Authenticate(ctx, Attempt{Login: "alice@a.test"}, "new"); err != nil {
		t.Error(err)
	}
	if c := fresh.account("carol@a.test", ""); c.ID != 3 {
		t.Errorf("number %d", c.ID)
	}
	if _, err := fresh.Restore(ctx, everything); !errors.Is(err, ErrExists) {
		t.Errorf("over a directory in use: %v", err)
	}
}

func TestRestoreInPlaceKeepsTheCopies(t *testing.T) {
	h := newHouse(t, Options{})
	h.domain("a.test")
	h.account("alice@a.test", "secret")
	// The index is lost, the log is not.
	h.must(errors.Join(h.bodies.Close(), h.db.Close()))
	old := h.dir
	h.dir = t.TempDir()
	h.must(copyDir(filepath.Join(old, "bodies"), filepath.Join(h.dir, "bodies")))
	h.open()
	errs, err := h.Restore(t.Context(), h.copies())
	if err != nil || len(errs) > 0 {
		t.Fatalf("%v, %v", errs, err)
	}
	h.must(h.SetPassword(t.Context(), addr("alice@a.test"), "other")) // drops a restored copy
	h.close()
	h.open()
	if _, err := h.Authenticate(t.Context(), Attempt{Login: "alice@a.test"}, "other"); err != nil {
		t.Error(err)
	}
}

func TestDKIMRecords(t *testing.T) {
	h := newHouse(t, Options{})
	h.domain("a.test")
	d, err := h.Domain(t.Context(), "a.test")
	h.must(err)
	for i, want := range []struct{ selector, record string }{
		{"2026a-rsa", "v=DKIM1; k=rsa; p=MIIBIjANBgkq"}, {"2026a-ed", "v=DKIM1; k=ed25519; p="},
	} {
		rec, err := DKIMRecord(d.DKIM[i])
		if err != nil || d.DKIM[i].Selector != want.selector || !strings.HasPrefix(rec, want.record) {
			t.Errorf("%s: %s, %v", d.DKIM[i].Selector, rec, err)
		}
	}
	if _, err := DKIMRecord(DKIMKey{Private: []byte("x")}); err == nil {
		t.Error("a broken key has a record")
	}
}

func FuzzNames(f *testing.F) {
	h := newHouse(f, Options{})
	if _, err := h.AddDomain(context.Background(), "a.test"); err != nil {
		f.Fatal(err)
	}
	if _, err := h.AddAccount(context.Background(), addr("alice@a.test"), ""); err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"alice@a.test", "+@a.test", "\"a b\"@a.test", "alice+x@A.TEST.", "@a.test", "ünï@bücher.test", "a@[127.0.0.1]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at := h.impl.login.attempt(Attempt{Login: s})
		if at.entry != nil && !strings.EqualFold(s, "alice@a.test") {
			t.Errorf("%q logs in as alice", s)
		}
		a, err := smtp.ParseAddress(s)
		if err != nil {
			return
		}
		targets, err := h.Resolve(context.Background(), a)
		if err == nil && len(targets) != 1 {
			t.Errorf("%q goes to %v", s, targets)
		}
		if key := plainKey(a.Key()); plainKey(key) != key {
			t.Errorf("%q has two details", s)
		}
	})
}

func BenchmarkResolve(b *testing.B) {
	d := &dirImpl{ix: newIndex()}
	d.ix.setDomain(Domain{Name: "a.test"})
	for i := range 100_000 {
		d.ix.loadAccount(Account{ID: id.Account(i + 1), Address: smtp.Address{Local: fmt.Sprintf("user%d", i), Domain: "a.test"}})
	}
	dir := &Directory{d}
	to := smtp.Address{Local: "user77777", Domain: "a.test"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := dir.Resolve(context.Background(), to); err != nil {
			b.Fatal(err)
		}
	}
}
