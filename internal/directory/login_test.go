package directory

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/pbkdf2"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"posthouse/internal/blob"
)

type blobRef = blob.Ref

func copyDir(from, to string) error { return os.CopyFS(to, os.DirFS(from)) }

var far = netip.MustParseAddr("192.0.2.1")

func (h *house) login(login, password string, from netip.Addr) error {
	_, err := h.Authenticate(h.t.Context(), Attempt{Login: login, Remote: from}, password)
	return err
}

// patient logs in and tells how long the answer was held back.
func (h *house) patient(login, password string, from netip.Addr) (time.Duration, error) {
	h.clock.waited = 0
	err := h.login(login, password, from)
	return h.clock.waited, err
}

func TestLogin(t *testing.T) {
	h := newHouse(t, Options{})
	h.domain("a.test")
	h.account("Alice@a.test", "sésame")
	h.account("nopass@a.test", "")
	h.must(h.alias("boss@a.test", "alice@a.test"))
	trusted := netip.Addr{}
	for _, tt := range []struct {
		login, password string
		want            error
	}{
		{"alice@a.test", "sésame", nil},
		{"ALICE@A.TEST", "se\u0301same", nil}, // composed and decomposed are one
		{"alice@a.test", "sesame", ErrBadLogin},
		{"alice@a.test", "", ErrBadLogin},
		{"alice@a.test", "s\xffsame", ErrBadLogin},
		{"alice", "sésame", ErrBadLogin},
		{"alice+x@a.test", "sésame", ErrBadLogin},
		{"boss@a.test", "sésame", ErrBadLogin},
		{"nopass@a.test", "", ErrBadLogin},
		{"nobody@a.test", "sésame", ErrBadLogin},
		{"", "sésame", ErrBadLogin},
		{strings.Repeat("x", 5000), "sésame", ErrBadLogin},
	} {
		if err := h.login(tt.login, tt.password, trusted); !errors.Is(err, tt.want) {
			t.Errorf("%q with %q: %v, want %v", tt.login, tt.password, err, tt.want)
		}
	}
	h.must(h.SetPassword(t.Context(), addr("alice@a.test"), "open"))
	if err := h.login("alice@a.test", "sésame", trusted); !errors.Is(err, ErrBadLogin) {
		t.Errorf("the old password: %v", err)
	}
	h.must(h.login("alice@a.test", "open", trusted))
	_, err := h.RemoveAccount(t.Context(), addr("alice@a.test"))
	h.must(err)
	if err := h.login("alice@a.test", "open", trusted); !errors.Is(err, ErrBadLogin) {
		t.Errorf("a removed account: %v", err)
	}
	for _, p := range []string{"", "a\x00b", strings.Repeat("x", 2000), "\xff"} {
		if err := h.SetPassword(t.Context(), addr("nopass@a.test"), p); !errors.Is(err, ErrInvalid) {
			t.Errorf("password %q: %v", p, err)
		}
	}
}

func TestVerifiedCredentialsAreRemembered(t *testing.T) {
	h := newHouse(t, Options{CacheFor: time.Minute})
	h.domain("a.test")
	alice := h.account("alice@a.test", "secret")
	h.must(h.login("alice@a.test", "secret", far))
	l := h.impl.login
	// With all memory taken only a remembered password can be answered.
	h.must(l.memory.Acquire(t.Context(), l.total))
	for range 100 {
		h.must(h.login("Alice@a.test", "secret", far))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	check := func(password string) error {
		_, err := h.Authenticate(ctx, Attempt{Login: "alice@a.test", Remote: far}, password)
		return err
	}
	if err := check("wrong"); !errors.Is(err, context.Canceled) {
		t.Errorf("a wrong password was answered without a hash: %v", err)
	}
	h.clock.Advance(time.Minute + time.Second)
	if err := check("secret"); !errors.Is(err, context.Canceled) {
		t.Errorf("remembered too long: %v", err)
	}
	l.memory.Release(l.total)
	h.must(h.login("alice@a.test", "secret", far))
	h.must(h.SetPassword(t.Context(), alice.Address, "other"))
	if len(l.cache.known) != 0 {
		t.Error("the old password is still remembered")
	}
}

func TestHashingMemoryIsBounded(t *testing.T) {
	h := newHouse(t, Options{HashMemory: 1}) // less than one hash: one at a time
	h.domain("a.test")
	h.account("alice@a.test", "secret")
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			if err := h.login("alice@a.test", fmt.Sprint("wrong", i), netip.Addr{}); !errors.Is(err, ErrBadLogin) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestManyLoginsAtOnceShareOneHash(t *testing.T) {
	h := newHouse(t, Options{})
	h.domain("a.test")
	h.account("alice@a.test", "secret")
	l := h.impl.login
	h.must(l.memory.Acquire(t.Context(), l.total))
	var right atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if h.login("alice@a.test", "secret", far) == nil {
				right.Add(1)
			}
		})
	}
	l.memory.Release(l.total)
	wg.Wait()
	if right.Load() != 50 {
		t.Errorf("%d of 50 logged in", right.Load())
	}
}

func TestFailuresSlowDown(t *testing.T) {
	h := newHouse(t, Options{})
	h.domain("a.test")
	h.account("alice@a.test", "secret")
	h.account("bob@a.test", "secret")
	for range freeFailures {
		if waited, err := h.patient("alice@a.test", "wrong", far); waited > 0 || !errors.Is(err, ErrBadLogin) {
			t.Fatalf("after %v: %v", waited, err)
		}
	}
	for _, want := range []time.Duration{firstDelay, 2 * firstDelay, 4 * firstDelay} {
		if waited, err := h.patient("alice@a.test", "wrong", far); waited != want || !errors.Is(err, ErrBadLogin) {
			t.Errorf("waited %v, want %v: %v", waited, want, err)
		}
	}
	// The address is slow for any account, the account from any address.
	if waited, err := h.patient("bob@a.test", "secret", far); waited == 0 || err != nil {
		t.Errorf("another account waited %v: %v", waited, err)
	}
	if waited, err := h.patient("alice@a.test", "secret", netip.MustParseAddr("2001:db8::1")); waited == 0 || err != nil {
		t.Errorf("another address waited %v: %v", waited, err)
	}
	h.clock.Advance(10 * forgiveEvery)
	if waited, err := h.patient("alice@a.test", "wrong", far); waited > 0 || !errors.Is(err, ErrBadLogin) {
		t.Errorf("forgiven, but waited %v: %v", waited, err)
	}
}

func TestUnknownUsersAreSlowedDownAlike(t *testing.T) {
	h := newHouse(t, Options{})
	h.domain("a.test")
	h.account("alice@a.test", "secret")
	for i := range freeFailures + 2 {
		one, err1 := h.patient("alice@a.test", "wrong", netip.MustParseAddr("192.0.2.1"))
		two, err2 := h.patient("nobody@a.test", "wrong", netip.MustParseAddr("192.0.2.2"))
		if one != two || err1 != err2 {
			t.Errorf("attempt %d: %v %v, unknown %v %v", i, one, err1, two, err2)
		}
	}
}

func TestTooManyFailuresAreRefused(t *testing.T) {
	h := newHouse(t, Options{Trusted: netip.MustParsePrefix("10.0.0.0/8").Contains})
	h.domain("a.test")
	h.account("alice@a.test", "secret")
	l := h.impl.login
	inside := netip.MustParseAddr("10.1.2.3")
	h.must(h.login("alice@a.test", "secret", inside)) // remembered
	same, other := netip.MustParseAddr("2001:db8:0:1::5"), netip.MustParseAddr("2001:db8:0:2::5")
	for range addressLimit {
		l.failed(l.attempt(Attempt{Login: "somebody@a.test", Remote: netip.MustParseAddr("2001:db8:0:1::1")}))
	}
	if err := h.login("alice@a.test", "wrong", same); !errors.Is(err, ErrThrottled) {
		t.Errorf("the same /64: %v", err)
	}
	if err := h.login("alice@a.test", "secret", same); !errors.Is(err, ErrThrottled) {
		t.Errorf("a remembered password tells an attacker that it is right: %v", err)
	}
	h.must(h.login("alice@a.test", "secret", other))
	h.clock.Advance(10 * time.Minute)
	if _, err := h.patient("alice@a.test", "secret", same); err != nil {
		t.Errorf("not forgiven: %v", err)
	}
	for range 3 * addressLimit {
		l.failed(l.attempt(Attempt{Login: "alice@a.test", Remote: inside}))
	}
	if waited, err := h.patient("alice@a.test", "secret", inside); waited > 0 || err != nil {
		t.Errorf("a trusted network waited %v: %v", waited, err)
	}
}

func TestThrottleIsBounded(t *testing.T) {
	th := newThrottle[int](10)
	for range 5 {
		th.failed(-1, testStart)
	}
	for i := range 3 * maxThrottled {
		th.failed(i, testStart)
	}
	if len(th.count) > maxThrottled {
		t.Errorf("%d entries", len(th.count))
	}
	if wait, _ := th.look(-1, testStart); wait == 0 {
		t.Error("the guiltiest was forgotten first")
	}
}

func TestOldHashesAreRenewed(t *testing.T) {
	h := newHouse(t, Options{})
	h.domain("a.test")
	alice := h.account("alice@a.test", "secret")
	salt := []byte("0123456789abcdef")
	enc := base64.RawStdEncoding.EncodeToString
	cheap := "$argon2id$v=19$m=64,t=1,p=1$" + enc(salt) + "$" + enc(argon2.IDKey([]byte("secret"), salt, 1, 64, 1, 32))
	h.must(h.impl.changeAccount(t.Context(), alice.Address, true, func(f *accountForm) error {
		f.Hash, f.Scram, f.ScramSHA1 = cheap, nil, nil
		return nil
	}))
	h.must(h.login("alice@a.test", "secret", far))
	var form accountForm
	h.must(h.impl.read(t.Context(), accountRow(alice.ID), &form))
	if !strings.HasPrefix(form.Hash, "$argon2id$v=19$m=19456,t=2,p=1$") || form.Scram == nil || form.ScramSHA1 == nil {
		t.Errorf("still %s, %v, %v", form.Hash, form.Scram, form.ScramSHA1)
	}
	h.impl.login.cache.forget(alice.ID)
	h.must(h.login("alice@a.test", "secret", far))
}

func TestParseHash(t *testing.T) {
	good := newHash("x")
	back, err := parseHash(good.String())
	if err != nil || !reflect.DeepEqual(back, good) {
		t.Errorf("%+v, %v", back, err)
	}
	for _, s := range []string{"", "$argon2id$", "$argon2i$v=19$m=64,t=1,p=1$MDEyMzQ1Njc$MDEyMzQ1Njc4OTAxMjM0NTY",
		"$argon2id$v=19$m=99999999,t=1,p=1$MDEyMzQ1Njc$MDEyMzQ1Njc4OTAxMjM0NTY", "$argon2id$v=19$m=64,t=0,p=1$MDEyMzQ1Njc$MDEyMzQ1Njc4OTAxMjM0NTY"} {
		if h, err := parseHash(s); err == nil {
			t.Errorf("%q is %+v", s, h)
		}
	}
}

// fits checks a secret against what a client computes (RFC 5802 section 3).
func fits(t *testing.T, hash crypto.Hash, password string, s ScramSecret) bool {
	t.Helper()
	salted, err := pbkdf2.Key(hash.New, password, s.Salt, s.Iterations, hash.Size())
	if err != nil {
		t.Fatal(err)
	}
	m := hmac.New(hash.New, salted)
	m.Write([]byte("Client Key"))
	stored := hash.New()
	stored.Write(m.Sum(nil))
	return hmac.Equal(stored.Sum(nil), s.StoredKey)
}

// Accounts of releases without SCRAM-SHA-1 get their secret when they show the
// password; nothing else of theirs changes.
func TestScramSHA1ForOldAccounts(t *testing.T) {
	h := newHouse(t, Options{})
	h.domain("a.test")
	alice := h.account("alice@a.test", "secret")
	h.must(h.impl.changeAccount(t.Context(), alice.Address, true, func(f *accountForm) error {
		f.ScramSHA1 = nil
		return nil
	}))
	var before, after accountForm
	h.must(h.impl.read(t.Context(), accountRow(alice.ID), &before))
	a := Attempt{Login: "alice@a.test", Remote: far}
	s, err := h.Scram(t.Context(), a, crypto.SHA1)
	h.must(err)
	if fits(t, crypto.SHA1, "secret", s) {
		t.Error("a secret out of nothing")
	}
	if err := h.login("alice@a.test", "wrong", far); !errors.Is(err, ErrBadLogin) {
		t.Fatal(err)
	}
	h.must(h.login("alice@a.test", "secret", far))
	s, err = h.Scram(t.Context(), a, crypto.SHA1)
	h.must(err)
	if !fits(t, crypto.SHA1, "secret", s) {
		t.Error("no secret after the login")
	}
	h.must(h.impl.read(t.Context(), accountRow(alice.ID), &after))
	after.ScramSHA1 = nil
	if !reflect.DeepEqual(before, after) {
		t.Errorf("%+v became %+v", before, after)
	}
}

// Logins by token or certificate are slowed down as others are; one without a
// name does not count for all others without a name.
func TestJudgedElsewhere(t *testing.T) {
	h := newHouse(t, Options{})
	h.domain("a.test")
	alice := h.account("alice@a.test", "secret")
	a := Attempt{Login: "alice@a.test", Remote: far}
	h.must(h.Begin(t.Context(), a))
	if got, err := h.Finish(t.Context(), a, true); err != nil || got.ID != alice.ID {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := h.Finish(t.Context(), Attempt{Login: "nobody@a.test", Remote: far}, true); !errors.Is(err, ErrBadLogin) {
		t.Errorf("a token for nobody: %v", err)
	}
	for range addressLimit {
		if _, err := h.Finish(t.Context(), Attempt{Remote: far}, false); !errors.Is(err, ErrBadLogin) && !errors.Is(err, ErrThrottled) {
			t.Fatal(err)
		}
	}
	if err := h.Begin(t.Context(), Attempt{Remote: far}); !errors.Is(err, ErrThrottled) {
		t.Errorf("after many failures: %v", err)
	}
	for i := range 2 * accountLimit {
		from := netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})
		if _, err := h.Finish(t.Context(), Attempt{Remote: from}, false); !errors.Is(err, ErrBadLogin) {
			t.Fatal(err)
		}
	}
	h.must(h.Begin(t.Context(), Attempt{Remote: netip.MustParseAddr("203.0.113.9")}))
}

func TestScram(t *testing.T) {
	h := newHouse(t, Options{})
	h.domain("a.test")
	alice := h.account("alice@a.test", "secret")
	a := Attempt{Login: "Alice@a.test", Remote: far}
	for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
		s, err := h.Scram(t.Context(), a, hash)
		h.must(err)
		if !fits(t, hash, "secret", s) || s.Iterations < 4096 {
			t.Errorf("%s: %+v", hash, s)
		}
		made, err := h.Scram(t.Context(), Attempt{Login: "nobody@a.test", Remote: far}, hash)
		h.must(err)
		if len(made.Salt) != len(s.Salt) || len(made.StoredKey) != len(s.StoredKey) || len(made.ServerKey) != len(s.ServerKey) {
			t.Errorf("%s: made up: %+v", hash, made)
		}
	}
	s, err := h.Scram(t.Context(), a, crypto.SHA256)
	h.must(err)
	if got, err := h.Finish(t.Context(), a, true); err != nil || got.ID != alice.ID {
		t.Errorf("%+v, %v", got, err)
	}
	// An unknown login looks like a known one, today and after a restart.
	b := Attempt{Login: "nobody@a.test", Remote: far}
	one, err := h.Scram(t.Context(), b, crypto.SHA256)
	h.must(err)
	two, err := h.Scram(t.Context(), Attempt{Login: "other@a.test", Remote: far}, crypto.SHA256)
	h.must(err)
	h.close()
	h.open()
	again, err := h.Scram(t.Context(), b, crypto.SHA256)
	h.must(err)
	if len(one.Salt) != len(s.Salt) || one.Iterations != s.Iterations || string(one.Salt) == string(two.Salt) || string(one.Salt) != string(again.Salt) {
		t.Errorf("made up: %+v, %+v, %+v", one, two, again)
	}
	for range addressLimit {
		if _, err := h.Finish(t.Context(), b, false); !errors.Is(err, ErrBadLogin) {
			t.Fatal(err)
		}
	}
	if _, err := h.Scram(t.Context(), a, crypto.SHA256); !errors.Is(err, ErrThrottled) {
		t.Errorf("after many failures: %v", err)
	}
	if _, err := h.Finish(t.Context(), a, true); !errors.Is(err, ErrThrottled) {
		t.Errorf("an exchange begun before: %v", err)
	}
}

// Whatever is read as a hash is one that can be checked within our bounds, and
// is written as it was read.
func FuzzParseHash(f *testing.F) {
	for _, s := range []string{
		"$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=99999999,t=2,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "$argon2i$v=19$m=8,t=1,p=1$$", "$$$$$",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parseHash(s)
		if err != nil {
			return
		}
		if h.memory > maxHashMemory || h.time > maxHashTime || h.threads < 1 || len(h.sum) < 16 {
			t.Errorf("%q: %+v", s, h)
		}
		if again, err := parseHash(h.String()); err != nil || again.String() != h.String() {
			t.Errorf("%q is written %q: %v", s, h, err)
		}
	})
}
