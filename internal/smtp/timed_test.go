package smtp

import (
	"errors"
	"testing"
	"time"
)

func TestParseHoldFor(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"1": time.Second, "86400": 24 * time.Hour, "999999999": MaxSeconds * time.Second,
		"": 0, "0": 0, "007": 0, "-5": 0, "+5": 0, "1000000000": 0, "5s": 0, "٣": 0,
	} {
		if got, err := ParseHoldFor(in); got != want || (err == nil) != (want != 0) || err != nil && !errors.Is(err, ErrParameter) {
			t.Errorf("HOLDFOR=%s: %v, %v; want %v", in, got, err, want)
		}
	}
}

func TestParseDateTime(t *testing.T) {
	want := time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)
	for _, in := range []string{"2026-03-01T12:30:00Z", "2026-03-01t12:30:00z", "2026-03-01T13:30:00+01:00", "2026-03-01T12:30:00.00Z", "2026-03-01T12:30:00-00:00"} {
		if got, err := ParseDateTime(in); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "2026-03-01", "2026-03-01T12:30:00", "2026-03-01 12:30:00Z", "2026-02-30T12:30:00Z", "2026-03-01T25:30:00Z", "2026-03-01T1:30:00ZZ", "2026-03-01T12:30:00,5Z", "soon", "9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00"} {
		if got, err := ParseDateTime(in); !errors.Is(err, ErrParameter) {
			t.Errorf("%s: %v, %v; want an error", in, got, err)
		}
	}
}

func TestParseBy(t *testing.T) {
	for in, want := range map[string]By{
		"120;R": {2 * time.Minute, true, false}, "+120;rt": {2 * time.Minute, true, true}, "-1;N": {-time.Second, false, false},
		"0;n": {}, "0;NT": {0, false, true}, "999999999;N": {MaxSeconds * time.Second, false, false},
	} {
		if got, err := ParseBy(in); err != nil || got != want {
			t.Errorf("BY=%s: %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "120", "120;", "120;X", "120;TR", "120;T", "120;RTT", "0;R", "-5;R", "+;N", "-+5;N", "1000000000;N", "1.5;N", ";R", "120;R;T", " 5;N"} {
		if got, err := ParseBy(in); !errors.Is(err, ErrParameter) {
			t.Errorf("BY=%s: %+v, %v; want an error", in, got, err)
		}
	}
	for want, by := range map[string]By{
		"90;RT": {In: 90 * time.Second, Return: true, Trace: true}, "1;R": {In: 999 * time.Millisecond, Return: true},
		"0;N": {In: 999 * time.Millisecond}, "-90;NT": {In: -90 * time.Second, Trace: true},
	} {
		if got := by.String(); got != want {
			t.Errorf("written %q, want %q", got, want)
		}
	}
}

func TestParsePriority(t *testing.T) {
	for in, want := range map[string]int{"0": 0, "9": 9, "-9": -9, "-1": -1, "3": 3} {
		if got, err := ParsePriority(in); err != nil || got != want {
			t.Errorf("MT-PRIORITY=%s: %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "-", "-0", "+3", "10", "-10", "03", "x", "1.0"} {
		if got, err := ParsePriority(in); !errors.Is(err, ErrParameter) {
			t.Errorf("MT-PRIORITY=%s: %d, %v; want an error", in, got, err)
		}
	}
}

func TestParseRRVS(t *testing.T) {
	since := time.Date(2014, 4, 3, 23, 1, 0, 0, time.UTC)
	for in, goOn := range map[string]bool{"2014-04-03T23:01:00Z": false, "2014-04-03T23:01:00Z;R": false, "2014-04-03T23:01:00Z;c": true} {
		if got, err := ParseRRVS(in); err != nil || !got.Since.Equal(since) || got.Continue != goOn {
			t.Errorf("RRVS=%s: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "yesterday", "2014-04-03T23:01:00Z;", "2014-04-03T23:01:00Z;X", "2014-04-03T23:01:00Z;CR", ";C", "2014-04-03T23:01:00.5Z", "2014-04-03T23:01:00.0Z;C"} {
		if got, err := ParseRRVS(in); !errors.Is(err, ErrParameter) {
			t.Errorf("RRVS=%s: %+v, %v; want an error", in, got, err)
		}
	}
}

// FuzzTimed gives the parsers of parameters about time anything: what they take
// stays within its bounds and reads back.
func FuzzTimed(f *testing.F) {
	for _, s := range []string{"1", "120;RT", "-5;N", "-9", "2014-04-03T23:01:00Z;C", "2026-03-01T13:30:00+01:00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseHoldFor(s); err == nil && (d < time.Second || d > MaxSeconds*time.Second) {
			t.Fatalf("HOLDFOR=%q is %v", s, d)
		}
		if by, err := ParseBy(s); err == nil {
			if again, err := ParseBy(by.String()); err != nil || again != by {
				t.Fatalf("BY=%q: %+v reads back as %+v, %v", s, by, again, err)
			}
		}
		if n, err := ParsePriority(s); err == nil && (n < MinPriority || n > MaxPriority) {
			t.Fatalf("MT-PRIORITY=%q is %d", s, n)
		}
		if r, err := ParseRRVS(s); err == nil {
			again, err := ParseRRVS(r.String())
			if err != nil || !again.Since.Equal(r.Since.Truncate(time.Second)) || again.Continue != r.Continue {
				t.Fatalf("RRVS=%q: %v reads back as %v, %v", s, r, again, err)
			}
		}
	})
}
