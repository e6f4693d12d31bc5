package cli

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"posthouse/internal/admin"
	"posthouse/internal/journal"
)

func (a *app) messageCommand() *cobra.Command {
	return group("message", "What happened to messages",
		a.listFlags(&cobra.Command{Use: "trace ID-OR-MESSAGE-ID", Short: "The timeline of a message",
			Args: args(cobra.ExactArgs(1)), RunE: a.messageTrace}),
	)
}

func (a *app) messageTrace(c *cobra.Command, args []string) error {
	return a.withAPI(c, func(api admin.API) error {
		stories, err := api.Trace(c.Context(), args[0])
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(stories)
		}
		for _, s := range stories {
			printStory(a.Out, s)
		}
		return nil
	})
}

// printStory is a timeline for people.
func printStory(w io.Writer, s admin.Story) {
	fmt.Fprintf(w, "message %s\n", s.Message)
	for _, e := range s.Events {
		fmt.Fprintf(w, "  %s  %-9s  %s\n", e.At.Local().Format("2006-01-02 15:04:05.000"), e.Kind, eventText(e))
		if len(e.Steps) > 0 {
			fmt.Fprintf(w, "  %25s%s\n", "", stepsText(e.Steps))
		}
	}
}

// eventText says in one line what happened.
func eventText(e journal.Event) string {
	var parts []string
	add := func(format string, v string) {
		if v != "" {
			parts = append(parts, fmt.Sprintf(format, v))
		}
	}
	switch e.Kind {
	case journal.Accepted, journal.Rejected:
		parts = append(parts, "from <"+e.From+">")
		add("Message-ID %s", e.MessageID)
	default:
		add("to <%s>", e.To)
	}
	if e.Code != 0 && e.Kind != journal.Accepted {
		parts = append(parts, fmt.Sprint(e.Code))
	}
	add("%s", e.Text)
	keys := make([]string, 0, len(e.Detail))
	for k := range e.Detail {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		add(k+"=%s", e.Detail[k])
	}
	return strings.Join(parts, "  ")
}

func stepsText(steps []journal.Step) string {
	var parts []string
	for _, s := range steps {
		parts = append(parts, s.Name+" "+roundText(s.Took))
	}
	return strings.Join(parts, ", ")
}

// roundText is a duration with three digits that matter.
func roundText(d time.Duration) string {
	for unit := time.Nanosecond; unit <= time.Second; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit).String()
		}
	}
	return d.Round(time.Second).String()
}
