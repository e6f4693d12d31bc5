package conformance

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Outcome is how a run of a case ended.
type Outcome string

// The outcomes. Only Fail is a failure.
const (
	Pass  Outcome = "pass"
	Fail  Outcome = "fail"
	Known Outcome = "known" // it differs, and a note says so
	Stale Outcome = "stale" // it passes, and a note says that it differs
	Skip  Outcome = "skip"  // the server does not announce what it needs
)

// Result is one run of one case.
type Result struct {
	Subject  string        `json:"subject"`
	Case     string        `json:"case"`
	Line     int           `json:"line"`
	Listener string        `json:"listener"`
	RFC      []string      `json:"rfc"`
	Outcome  Outcome       `json:"outcome"`
	Why      string        `json:"why,omitempty"`  // it did not pass
	Note     string        `json:"note,omitempty"` // of a known difference
	Took     time.Duration `json:"took_ns"`
	// Unchecked means that nobody looked at what was delivered.
	Unchecked bool `json:"unchecked,omitempty"`
}

// caseTimeouts bounds one case: so many times what a reply may take.
const caseTimeouts = 6

// Run runs cases on every listener they are for and the target has, at most
// parallel at a time. The results are in the order of the cases. The error is
// for a listener that cannot be talked to at all.
func (t *Target) Run(ctx context.Context, cases []*Case, parallel int) ([]Result, error) {
	announced := make(map[string]keywords)
	for listener := range t.Addr {
		found, err := t.probe(ctx, listener)
		if err != nil {
			return nil, err
		}
		announced[listener] = found
	}
	type job struct {
		c        *Case
		listener string
	}
	var jobs []job
	for _, c := range cases {
		for _, l := range c.On {
			if t.Addr[l] != "" {
				jobs = append(jobs, job{c, l})
			}
		}
	}
	results := make([]Result, len(jobs))
	turn := make(chan struct{}, max(parallel, 1))
	var wg sync.WaitGroup
	for i, j := range jobs {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			results[i] = t.runCase(ctx, j.c, j.listener, announced[j.listener])
		})
	}
	wg.Wait()
	return results, ctx.Err()
}

func (t *Target) runCase(ctx context.Context, c *Case, listener string, announced keywords) Result {
	r := Result{Subject: c.File, Case: c.Name, Line: c.Line, Listener: listener, RFC: c.RFC, Outcome: Skip}
	for _, require := range c.Requires {
		if !announced.has(require) {
			r.Why = "needs " + require
			return r
		}
	}
	ctx, cancel := context.WithTimeout(ctx, caseTimeouts*t.timeout())
	defer cancel()
	d := t.dialogue(ctx, listener)
	began := time.Now()
	err := d.run(c)
	r.Took, r.Unchecked = time.Since(began), d.unchecked
	note, noted := c.Notes[t.Known]
	switch {
	case err == nil && noted:
		r.Outcome, r.Note = Stale, note
	case err == nil:
		r.Outcome = Pass
	case noted:
		r.Outcome, r.Why, r.Note = Known, err.Error(), note
	default:
		r.Outcome, r.Why = Fail, err.Error()
	}
	return r
}

// Count is how many results have an outcome.
func Count(results []Result, o Outcome) (n int) {
	for i := range results {
		if results[i].Outcome == o {
			n++
		}
	}
	return n
}

// String is the result in one line.
func (r *Result) String() string {
	s := fmt.Sprintf("%-5s  %s.txt:%d  %s [%s]", r.Outcome, r.Subject, r.Line, r.Case, r.Listener)
	if r.Why != "" {
		s += "\n       " + r.Why
	}
	if r.Note != "" {
		s += "\n       note: " + r.Note
	}
	return s
}
