// Command cmd runs the conformance cases against a server.
//
//	go run ./conformance/cmd -mx 127.0.0.1:25 -submission 127.0.0.1:587 -imap imaps://127.0.0.1:993 \
//	    -user alice@example.test -local bob@example.test -third carol@example.test -pass secret
//
// It prints what differs and a table by subject. The exit status is 1 when a
// case fails, 2 when the run was not possible.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"posthouse/conformance"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	failed, err := run(ctx, os.Args[1:], os.Stdout)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(2)
	case failed:
		os.Exit(1)
	}
}

// options are the flags that are not of the target.
type options struct {
	parallel int
	match    string
	asJSON   bool
	verbose  bool
}

func parse(args []string) (*conformance.Target, *options, error) {
	t := &conformance.Target{Addr: make(map[string]string)}
	o := new(options)
	f := flag.NewFlagSet("conformance", flag.ContinueOnError)
	listeners := make(map[string]*string)
	for _, l := range conformance.Listeners {
		listeners[l] = f.String(l, "", "`host:port` of the "+l+" listener")
	}
	f.StringVar(&t.IMAP, "imap", "", "where to read mail, `imap[s]://host:port`; without it nobody looks at what was delivered")
	f.StringVar(&t.User, "user", "alice@example.test", "an `address` that logs in and sends")
	f.StringVar(&t.Local, "local", "bob@example.test", "another account's `address`")
	f.StringVar(&t.Third, "third", "carol@example.test", "a third account's `address`")
	f.StringVar(&t.Pass, "pass", "", "the `password` of all three")
	f.StringVar(&t.Unknown, "unknown", "", "an `address` that does not exist in a domain of the server (default no-such-user@ the domain of -local)")
	f.StringVar(&t.Remote, "remote", "someone@elsewhere.test", "an `address` in a domain that is not the server's")
	f.StringVar(&t.Known, "known", "", "the `server`'s name in the notes of cases: its known differences are no failures")
	f.DurationVar(&t.Timeout, "timeout", 10*time.Second, "for one reply")
	f.DurationVar(&t.Settle, "settle", 0, "how long to wait for deliveries that should not come")
	f.IntVar(&o.parallel, "j", 8, "how many cases run at a time")
	f.StringVar(&o.match, "run", "", "only cases whose subject/name matches the `pattern`")
	f.BoolVar(&o.asJSON, "json", false, "print the results as JSON")
	f.BoolVar(&o.verbose, "v", false, "print every result")
	if err := f.Parse(args); err != nil {
		return nil, nil, err
	}
	for l, addr := range listeners {
		if *addr != "" {
			t.Addr[l] = *addr
		}
	}
	if t.Unknown == "" {
		_, domain, _ := strings.Cut(t.Local, "@")
		t.Unknown = "no-such-user@" + domain
	}
	if len(t.Addr) == 0 {
		return nil, nil, fmt.Errorf("name at least one listener: -mx, -submission, -submissions or -lmtp")
	}
	return t, o, nil
}

func run(ctx context.Context, args []string, out io.Writer) (failed bool, err error) {
	t, o, err := parse(args)
	if err != nil {
		return false, err
	}
	cases, err := conformance.Cases()
	if err != nil {
		return false, err
	}
	if cases, err = choose(cases, o.match); err != nil {
		return false, err
	}
	results, err := t.Run(ctx, cases, o.parallel)
	if err != nil {
		return false, err
	}
	failed = conformance.Count(results, conformance.Fail) > 0
	if o.asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return failed, e.Encode(results)
	}
	printResults(out, results, o.verbose)
	return failed, nil
}

// choose is the cases that match a pattern.
func choose(cases []*conformance.Case, pattern string) ([]*conformance.Case, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	var chosen []*conformance.Case
	for _, c := range cases {
		if re.MatchString(c.File + "/" + c.Name) {
			chosen = append(chosen, c)
		}
	}
	return chosen, nil
}

func printResults(out io.Writer, results []conformance.Result, verbose bool) {
	for i := range results {
		r := &results[i]
		if verbose || r.Outcome != conformance.Pass && r.Outcome != conformance.Skip {
			fmt.Fprintln(out, r)
		}
	}
	var subjects []string
	by := make(map[string][]conformance.Result)
	for _, r := range results {
		if by[r.Subject] == nil {
			subjects = append(subjects, r.Subject)
		}
		by[r.Subject] = append(by[r.Subject], r)
	}
	outcomes := []conformance.Outcome{conformance.Pass, conformance.Fail, conformance.Known, conformance.Stale, conformance.Skip}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, list []conformance.Result) {
		fmt.Fprintf(w, "%s\t", name)
		for _, o := range outcomes {
			fmt.Fprintf(w, "%d\t", conformance.Count(list, o))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "\tpass\tfail\tknown\tstale\tskip\t\n")
	for _, s := range subjects {
		row(s, by[s])
	}
	row("all", results)
	w.Flush()
}
