package queue

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"posthouse/internal/courier"
	"posthouse/internal/envelope"
	"posthouse/internal/status"
)

// Whatever the settings and the moment: the next try is later, not sooner than
// the first interval, not later than the longest one allows, and the schedule ends.
func TestScheduleProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := Options{
			FirstRetry:  time.Duration(rapid.Int64Range(int64(time.Minute), int64(time.Hour)).Draw(t, "first")),
			ExpireAfter: time.Duration(rapid.Int64Range(int64(time.Minute), int64(10*24*time.Hour)).Draw(t, "expire")),
			DelayNotice: time.Duration(rapid.Int64Range(-1, int64(24*time.Hour)).Draw(t, "notice")),
		}
		o.MaxRetry = o.FirstRetry * time.Duration(rapid.IntRange(1, 100).Draw(t, "factor"))
		created := time.Unix(1_800_000_000, 0)
		expires := created.Add(o.ExpireAfter)
		now := created
		for n := 1; now.Before(expires); n++ {
			next := o.nextAttempt(n, o.noticeAt(created), expires, now, rapid.Float64Range(0, 0.999).Draw(t, "random"))
			wait := next.Sub(now)
			if wait < o.FirstRetry {
				t.Fatalf("try %d comes after %v, sooner than %v", n+1, wait, o.FirstRetry)
			}
			if wait > o.MaxRetry*6/5 {
				t.Fatalf("try %d comes after %v, later than %v", n+1, wait, o.MaxRetry)
			}
			if next.After(expires.Add(o.FirstRetry)) {
				t.Fatalf("try %d is %v after the end", n+1, next.Sub(expires))
			}
			now = next
			if n > 1_000_000 {
				t.Fatal("no end")
			}
		}
	})
}

func TestRowsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 20, 200)
		r := &row{
			rcpt:  Rcpt{Rcpt: envelope.Rcpt{To: addr("a@b.c"), Notify: text.Draw(t, "notify"), ORcpt: text.Draw(t, "orcpt")}, Prepend: text.Draw(t, "prepend")},
			state: rapid.SampledFrom([]State{Ready, Waiting, Held}).Draw(t, "state"),
			drop:  rapid.Bool().Draw(t, "drop"), notified: rapid.Bool().Draw(t, "notified"),
			next: time.Unix(0, rapid.Int64Range(1, 1<<61).Draw(t, "next")),
		}
		r.extra = rapid.IntRange(0, 1000).Draw(t, "extra")
		if rapid.Bool().Draw(t, "rrvs") {
			r.rcpt.RRVS, r.rcpt.RRVSContinue = time.Unix(rapid.Int64Range(1, 1<<33).Draw(t, "since"), 0).UTC(), rapid.Bool().Draw(t, "continue")
		}
		for range rapid.IntRange(0, 30).Draw(t, "tries") {
			r.tried(time.Unix(0, 1), &courier.Outcome{
				Code: 451, Enhanced: status.Enhanced{Class: 4, Subject: 7, Detail: 1}, Text: text.Draw(t, "text"), Remote: true, Host: "h"})
		}
		if len(r.history) > maxHistory {
			t.Fatalf("%d attempts remembered", len(r.history))
		}
		b := r.encode()
		got, err := decodeRow(b, false)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Fatalf("%+v\n%+v\n%v", r, got, err)
		}
		if !bytes.Equal(got.encode(), b) {
			t.Fatal("another form")
		}
	})
}

func FuzzDecodeRow(f *testing.F) {
	f.Add((&row{rcpt: Rcpt{Rcpt: envelope.Rcpt{To: addr("a@b.c")}}, state: Ready}).encode())
	f.Add([]byte{1, 'r', 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodeRow(b, false); err == nil && len(r.history) > maxHistory {
			t.Fatal("unbounded")
		}
		_, _ = decodeMessage(b)
	})
}
