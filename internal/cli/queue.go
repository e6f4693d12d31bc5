package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"posthouse/internal/admin"
	"posthouse/internal/queue"
)

func (a *app) queueCommand() *cobra.Command {
	var sel queue.Selector
	selectors := func(c *cobra.Command) *cobra.Command {
		f := c.Flags()
		f.StringVar(&sel.Domain, "domain", "", "entries for recipients in `DOMAIN`")
		f.StringVar(&sel.Sender, "sender", "", "entries from `ADDRESS`")
		f.StringVar(&sel.ID, "id", "", "one entry, or those of one message, by `ID`")
		f.DurationVar(&sel.OlderThan, "older-than", 0, "entries older than a `DURATION` such as 90m")
		return c
	}
	change := func(verb admin.QueueVerb, short string) *cobra.Command {
		var all bool
		c := selectors(&cobra.Command{Use: string(verb), Short: short, Args: args(cobra.NoArgs),
			RunE: func(c *cobra.Command, _ []string) error { return a.queueChange(c, verb, sel, all) }})
		c.Flags().BoolVar(&all, "all", false, "every entry")
		return c
	}
	return group("queue", "Mail that waits for its next host",
		a.listFlags(selectors(&cobra.Command{Use: "list", Short: "List the entries", Args: args(cobra.NoArgs),
			RunE: func(c *cobra.Command, _ []string) error { return a.queueList(c, sel) }})),
		a.listFlags(&cobra.Command{Use: "show ID", Short: "Show one entry with its attempts", Args: args(cobra.ExactArgs(1)), RunE: a.queueShow}),
		a.explainCommand(),
		change(admin.QueueRetry, "Try entries now"),
		change(admin.QueueHold, "Keep entries from being tried"),
		change(admin.QueueRelease, "Let held entries go on"),
		change(admin.QueueDrop, "Remove entries; nobody is told"),
	)
}

// queueChange acts on the selected entries. Everything at once must be meant.
func (a *app) queueChange(c *cobra.Command, verb admin.QueueVerb, sel queue.Selector, all bool) error {
	if sel == (queue.Selector{}) && !all {
		return usageError{fmt.Errorf("queue %s needs a selector (--domain, --sender, --id, --older-than) or --all", verb)}
	}
	return a.withAPI(c, func(api admin.API) error {
		n, err := api.QueueDo(c.Context(), verb, sel)
		if err == nil {
			fmt.Fprintln(a.Out, n)
		}
		return err
	})
}

func (a *app) queueList(c *cobra.Command, sel queue.Selector) error {
	return a.withAPI(c, func(api admin.API) error {
		list, err := api.Queue(c.Context(), sel)
		if err != nil {
			return err
		}
		return print(a, list, []string{"ID", "STATE", "AGE", "TRIES", "NEXT", "SIZE", "FROM", "TO", "LAST RESULT"},
			func(e queue.Entry) []string {
				return []string{e.ID, string(e.State), time.Since(e.Created).Round(time.Second).String(), fmt.Sprint(e.Attempts),
					timeText(e.Next), bytesText(e.Size), "<" + e.From + ">", "<" + e.To + ">", e.Last}
			})
	})
}

func (a *app) queueShow(c *cobra.Command, args []string) error {
	return a.withAPI(c, func(api admin.API) error {
		e, err := api.QueueEntry(c.Context(), args[0])
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(e)
		}
		fmt.Fprintf(a.Out, "entry    %s\nmessage  %s\nfrom     <%s>\nto       <%s>\nsize     %s\nstate    %s\ncreated  %s\nnext     %s\nexpires  %s\n",
			e.ID, e.Message, e.From, e.To, bytesText(e.Size), e.State, timeText(e.Created), timeText(e.Next), timeText(e.Expires))
		if e.Class != "" {
			fmt.Fprintf(a.Out, "because  %s (%s): %s\n", e.Class, e.Scope, e.Action)
		}
		if e.Hint != "" {
			fmt.Fprintf(a.Out, "hint     %s\n", e.Hint)
		}
		for _, t := range e.History {
			fmt.Fprintf(a.Out, "tried    %s  %s  %s  %s\n", timeText(t.At), t.Host, t.Class, t.Result)
		}
		return nil
	})
}
