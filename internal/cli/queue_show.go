package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"posthouse/internal/admin"
	"posthouse/internal/queue"
)

// queueShow prints the entry of an ID, or every entry of a message's.
func (a *app) queueShow(c *cobra.Command, args []string) error {
	return a.withAPI(c, func(api admin.API) error {
		e, err := api.QueueEntry(c.Context(), args[0])
		switch {
		case err == nil && a.json:
			return a.printJSON(e)
		case err == nil:
			a.printEntry(&e)
			return nil
		case !errors.Is(err, admin.ErrNotFound) || strings.Contains(args[0], "."):
			return err
		}
		return a.queueShowMessage(c, api, args[0], err)
	})
}

// queueShowMessage prints the entries of a message; none is the error missing.
func (a *app) queueShowMessage(c *cobra.Command, api admin.API, message string, missing error) error {
	list, err := api.Queue(c.Context(), queue.Selector{ID: message}, queue.Page{Limit: queuePage})
	if err != nil {
		return err
	}
	var all []queue.Entry
	for _, listed := range list {
		e, err := api.QueueEntry(c.Context(), listed.ID)
		if errors.Is(err, admin.ErrNotFound) {
			continue // it has just left
		}
		if err != nil {
			return err
		}
		all = append(all, e)
	}
	if len(all) == 0 {
		return missing
	}
	if a.json {
		return a.printJSON(all)
	}
	for i := range all {
		if i > 0 {
			fmt.Fprintln(a.Out)
		}
		a.printEntry(&all[i])
	}
	return nil
}

func (a *app) printEntry(e *queue.Entry) {
	why := e.Why
	if !e.Until.IsZero() {
		why += ", until " + timeText(e.Until)
	}
	fmt.Fprintf(a.Out, "entry    %s\nmessage  %s\nfrom     <%s>\nto       <%s>\nsize     %s\nstate    %s\nwhy      %s\ncreated  %s\nnext     %s\nexpires  %s\npriority %s\n",
		e.ID, e.Message, e.From, e.To, bytesText(e.Size), e.State, why, timeText(e.Created), timeText(e.Next), timeText(e.Expires), e.Priority)
	for _, f := range [][2]string{{"site", e.Site}, {"source", e.Source}, {"via", e.Via}, {"last", e.Last}, {"hint", e.Hint}} {
		if f[1] != "" {
			fmt.Fprintf(a.Out, "%-8s %s\n", f[0], f[1])
		}
	}
	for _, t := range e.History {
		fmt.Fprintf(a.Out, "tried    %s  %s  %s\n", timeText(t.At), t.Host, t.Result)
	}
}
