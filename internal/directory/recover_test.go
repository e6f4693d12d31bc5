package directory

import (
	"errors"
	"testing"
	"time"

	"posthouse/internal/id"
	"posthouse/internal/smtp"
)

// An index tells of objects whose copy the log has lost; what is newer in the log counts.
func TestMergeTakesWhatTheLogLost(t *testing.T) {
	h := newHouse(t, Options{})
	h.domain("a.test")
	h.account("alice@a.test", "secret")
	h.account("bob@a.test", "secret")
	h.account("carol@a.test", "")
	stored, bad, err := Stored(t.Context(), h.db)
	if err != nil || len(bad) > 0 || len(stored) != 5 {
		t.Fatalf("%d objects, %v, %v", len(stored), bad, err)
	}
	h.clock.Advance(time.Minute)
	_, err = h.RemoveAccount(t.Context(), addr("carol@a.test"))
	h.must(err)
	h.must(h.SetQuota(t.Context(), addr("bob@a.test"), 17))
	var log []Object
	for _, o := range h.copies() { // the domain's copy and alice's are lost
		if o.Name != "domain/a.test" && o.Name != "account/1" {
			log = append(log, o)
		}
	}
	merged := Merge(log, stored)
	for i := range merged {
		merged[i].Ref = blobRef{} // another log
	}
	fresh := newHouse(t, h.opt)
	if errs, err := fresh.Restore(t.Context(), merged); err != nil || len(errs) > 0 {
		t.Fatalf("%v, %v", errs, err)
	}
	if _, err := fresh.Authenticate(t.Context(), Attempt{Login: "alice@a.test"}, "secret"); err != nil {
		t.Error(err)
	}
	if bob, err := fresh.Account(t.Context(), addr("bob@a.test")); err != nil || bob.Quota != 17 {
		t.Errorf("an older bob: %+v, %v", bob, err)
	}
	if _, err := fresh.Account(t.Context(), addr("carol@a.test")); !errors.Is(err, ErrNotFound) || !fresh.WasRemoved(3) || fresh.WasRemoved(2) {
		t.Errorf("carol, who was removed: %v", err)
	}
	before, _ := h.Domain(t.Context(), "a.test")
	if d, err := fresh.Domain(t.Context(), "a.test"); err != nil || string(d.DKIM[0].Private) != string(before.DKIM[0].Private) {
		t.Errorf("the domain: %+v, %v", d, err)
	}
}

// A domain cannot have been removed while there was something in it.
func TestRestoreMakesALostDomain(t *testing.T) {
	h := newHouse(t, Options{})
	h.domain("a.test")
	h.domain("b.test")
	h.account("alice@a.test", "secret")
	h.must(h.alias("x@b.test", "alice@a.test"))
	var log []Object
	for _, o := range h.copies() {
		if rank(o.Name) > 1 {
			o.Ref = blobRef{} // another log
			log = append(log, o)
		}
	}
	fresh := newHouse(t, h.opt)
	if errs, err := fresh.Restore(t.Context(), log); err != nil || len(errs) != 2 {
		t.Fatalf("%v, %v", errs, err)
	}
	if to := fresh.goesTo("x@b.test"); to != "alice@a.test" {
		t.Errorf("x goes to %s", to)
	}
	if d, err := fresh.Domain(t.Context(), "b.test"); err != nil || len(d.DKIM) != 2 {
		t.Errorf("%+v, %v", d, err)
	}
	if err := fresh.RemoveDomain(t.Context(), "a.test"); !errors.Is(err, ErrInUse) {
		t.Errorf("remove a domain in use: %v", err)
	}
}

// Of two accounts with one address, one of which was removed, the younger has it.
func TestRestoreGivesAnAddressOnce(t *testing.T) {
	h := newHouse(t, Options{})
	h.domain("a.test")
	h.account("alice@a.test", "old")
	log := h.copies()
	_, err := h.RemoveAccount(t.Context(), addr("alice@a.test"))
	h.must(err)
	h.account("alice@a.test", "new")
	for _, o := range h.copies() {
		if o.Name != ledgerName {
			log = append(log, o)
		}
	}
	for i := range log {
		log[i].Ref = blobRef{}
	}
	fresh := newHouse(t, h.opt)
	if errs, err := fresh.Restore(t.Context(), log); err != nil || len(errs) != 1 || !errors.Is(errs[0], ErrExists) {
		t.Fatalf("%v, %v", errs, err)
	}
	if a, err := fresh.Account(t.Context(), addr("alice@a.test")); err != nil || a.ID != 2 {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestRecover(t *testing.T) {
	h := newHouse(t, Options{})
	recover := func(n id.Account, from smtp.Address, want string) {
		t.Helper()
		a, err := h.Recover(t.Context(), n, from, "mx.test")
		if err != nil || a.ID != n || a.Address.String() != want {
			t.Errorf("%+v, %v, want %s", a, err, want)
		}
	}
	recover(7, smtp.Address{}, "recovered-7@mx.test")
	recover(3, addr("bob@a.test"), "bob@a.test")
	recover(4, addr("BOB@a.test"), "recovered-4@a.test")
	recover(5, smtp.Address{}, "recovered-5@a.test")
	if _, err := h.Recover(t.Context(), 3, addr("c@a.test"), "mx.test"); !errors.Is(err, ErrExists) {
		t.Errorf("a number that is taken: %v", err)
	}
	if _, err := h.Authenticate(t.Context(), Attempt{Login: "bob@a.test"}, ""); !errors.Is(err, ErrBadLogin) {
		t.Errorf("a login without a password: %v", err)
	}
	h.close()
	h.open()
	if a := h.account("new@a.test", ""); a.ID != 8 {
		t.Errorf("the next account is %d", a.ID)
	}
	h.must(h.SetPassword(t.Context(), addr("bob@a.test"), "secret"))
	if _, err := h.Authenticate(t.Context(), Attempt{Login: "bob@a.test"}, "secret"); err != nil {
		t.Error(err)
	}
}
