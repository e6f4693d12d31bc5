package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"posthouse/internal/admin"
	"posthouse/internal/config"
	"posthouse/internal/queue"
)

func (a *app) queueCommand() *cobra.Command {
	change := func(verb admin.QueueVerb, short string) *cobra.Command {
		return a.queueChange(&cobra.Command{Use: string(verb), Short: short},
			func(c *cobra.Command, api admin.API, sel queue.Selector) (int, error) {
				return api.QueueDo(c.Context(), verb, sel)
			})
	}
	return group("queue", "Mail that waits for its next host",
		a.queueListCommand(),
		a.listFlags(&cobra.Command{Use: "show ID", Short: "Show an entry, or all of a message: what it waits for, and its attempts", Args: args(cobra.ExactArgs(1)), RunE: a.queueShow}),
		a.explainCommand(),
		a.listFlags(&cobra.Command{Use: "sites", Short: "Show the traffic with each set of mail hosts", Args: args(cobra.NoArgs), RunE: a.queueSites}),
		change(admin.QueueRetry, "Try entries now"),
		change(admin.QueueHold, "Keep entries from being tried"),
		change(admin.QueueRelease, "Let held entries go on"),
		change(admin.QueueDrop, "Remove entries; nobody is told"),
		a.queueRerouteCommand(),
		a.queueSuspendCommand("suspend", "Stop the mail for a domain or a site", admin.API.QueueSuspend),
		a.queueSuspendCommand("resume", "Let suspended mail go on", admin.API.QueueResume),
	)
}

// selectors adds the flags that choose entries.
func selectors(c *cobra.Command, sel *queue.Selector) {
	f := c.Flags()
	f.StringVar(&sel.Domain, "domain", "", "entries for recipients in `DOMAIN`")
	f.BoolVar(&sel.Below, "below", false, "with --domain: in the domains below it as well")
	f.StringVar(&sel.Sender, "sender", "", "entries from `ADDRESS`")
	f.StringVar(&sel.Recipient, "recipient", "", "entries for `ADDRESS`")
	f.StringVar(&sel.ID, "id", "", "one entry, or those of one message, by `ID`")
	f.Func("older-than", "entries older than a `DURATION` such as 90m or 2d", func(text string) error {
		var d config.Duration
		err := d.UnmarshalText([]byte(text))
		sel.OlderThan = d.Duration
		return err
	})
	f.StringVar(&sel.Site, "site", "", "entries for the mail hosts `SITE`, as queue sites names them, or one of them")
	f.StringVar(&sel.Source, "source", "", "entries that leave from the source `NAME`")
	f.StringVar((*string)(&sel.State), "state", "", "entries that are `STATE`: ready, waiting or held")
	f.StringVar(&sel.Priority, "priority", "", "entries of `PRIORITY`: urgent, high, normal, low or last")
}

// checkGiven refuses flags that are given with nothing in them: that is a mistake,
// of a script perhaps, and must not choose everything.
func checkGiven(c *cobra.Command, names ...string) error {
	for _, name := range names {
		if f := c.Flags().Lookup(name); f != nil && f.Changed && strings.TrimSpace(f.Value.String()) == "" {
			return usageError{fmt.Errorf("--%s is empty", name)}
		}
	}
	return nil
}

// checkSelector refuses what no entry can be.
func checkSelector(c *cobra.Command, sel *queue.Selector) error {
	if err := checkGiven(c, "domain", "sender", "recipient", "id", "site", "source", "state", "priority"); err != nil {
		return err
	}
	if sel.Below && sel.Domain == "" {
		return usageError{errors.New("--below which --domain?")}
	}
	switch sel.State {
	case "", queue.Ready, queue.Waiting, queue.Held:
	default:
		return usageError{fmt.Errorf("--state %q is none of ready, waiting, held", sel.State)}
	}
	switch sel.Priority {
	case "", "urgent", "high", "normal", "low", "last":
		return nil
	}
	return usageError{fmt.Errorf("--priority %q is none of urgent, high, normal, low, last", sel.Priority)}
}

// queueChange makes a command that acts on the selected entries. Everything at
// once must be meant.
func (a *app) queueChange(c *cobra.Command, fn func(*cobra.Command, admin.API, queue.Selector) (int, error)) *cobra.Command {
	var sel queue.Selector
	var all bool
	selectors(c, &sel)
	c.Flags().BoolVar(&all, "all", false, "every entry")
	c.Args = args(cobra.NoArgs)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := checkSelector(c, &sel); err != nil {
			return err
		}
		if sel == (queue.Selector{}) && !all {
			return usageError{fmt.Errorf("queue %s needs a selector (--domain, --sender, --recipient, --id, --older-than, --site, --source, --state, --priority) or --all", c.Name())}
		}
		if sel != (queue.Selector{}) && all {
			return usageError{fmt.Errorf("queue %s: either selectors or --all", c.Name())}
		}
		return a.withAPI(c, func(api admin.API) error {
			n, err := fn(c, api, sel)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]int{"count": n})
			}
			_, err = fmt.Fprintln(a.Out, n)
			return err
		})
	}
	return a.listFlags(c)
}

func (a *app) queueRerouteCommand() *cobra.Command {
	var to string
	c := a.queueChange(&cobra.Command{Use: "reroute --to smtp://HOST:PORT|mx", Short: "Send entries another way; --to mx is by their domains again"},
		func(c *cobra.Command, api admin.API, sel queue.Selector) (int, error) {
			return api.QueueReroute(c.Context(), sel, to)
		})
	c.PreRunE = func(*cobra.Command, []string) error {
		if to == "" {
			return usageError{errors.New("where to? --to smtp://host:port, smtps://host:port or mx")}
		}
		if err := queue.CheckWay(to); err != nil {
			return usageError{fmt.Errorf("--to: %w", err)}
		}
		return nil
	}
	c.Flags().StringVar(&to, "to", "", "smtp://`HOST:PORT`, smtps://HOST:PORT or mx")
	return c
}

// queuePage is how many entries a list asks for at once.
const queuePage = 10_000

func (a *app) queueListCommand() *cobra.Command {
	var sel queue.Selector
	var limit int
	c := a.listFlags(&cobra.Command{Use: "list", Short: "List the entries", Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkSelector(c, &sel); err != nil {
				return err
			}
			if limit < 0 {
				return usageError{fmt.Errorf("--limit %d is less than none", limit)}
			}
			return a.withAPI(c, func(api admin.API) error { return a.queueList(c, api, sel, limit) })
		}})
	selectors(c, &sel)
	c.Flags().IntVar(&limit, "limit", 0, "at most `N` entries, the oldest; 0 is all")
	return c
}

// queueList prints page by page, so that a million entries take no more memory
// than ten thousand.
func (a *app) queueList(c *cobra.Command, api admin.API, sel queue.Selector, limit int) error {
	list := newLister(a, []string{"ID", "STATE", "AGE", "TRIES", "NEXT", "SIZE", "FROM", "TO", "LAST RESULT"},
		func(e queue.Entry) []string {
			return []string{e.ID, string(e.State), time.Since(e.Created).Round(time.Second).String(), fmt.Sprint(e.Attempts),
				timeText(e.Next), bytesText(e.Size), "<" + e.From + ">", "<" + e.To + ">", e.Last}
		})
	page := queue.Page{Limit: queuePage}
	for left := limit; ; {
		if limit > 0 {
			page.Limit = min(left, queuePage)
		}
		entries, err := api.Queue(c.Context(), sel, page)
		if err != nil {
			return err
		}
		if err := list.add(entries); err != nil {
			return err
		}
		left -= len(entries)
		if len(entries) < page.Limit || limit > 0 && left <= 0 {
			return list.end()
		}
		page.After = entries[len(entries)-1].ID
	}
}

func (a *app) queueSites(c *cobra.Command, _ []string) error {
	return a.withAPI(c, func(api admin.API) error {
		t, err := api.QueueSites(c.Context())
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(t)
		}
		err = print(a, t.Sites, []string{"SITE", "SOURCE", "READY", "BUSY", "WINDOW", "UNTIL", "WHY"}, func(s queue.Site) []string {
			why := s.Suspended
			if why == "" {
				why = s.Why
			}
			if why == "" && s.CutWhy != "" {
				why = "window cut " + timeText(s.Cut) + ": " + s.CutWhy
			}
			return []string{s.Site, s.Source, fmt.Sprint(s.Ready), fmt.Sprint(s.Busy), fmt.Sprintf("%d/%d", s.Window, s.Max), timeText(s.Until), why}
		})
		for _, s := range t.Suspended {
			fmt.Fprintf(a.Out, "suspended: %s since %s %s\n", strings.TrimSpace(s.Domain+" "+s.Site), timeText(s.Since), s.Why)
		}
		return err
	})
}
