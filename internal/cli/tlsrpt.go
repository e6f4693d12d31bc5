package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"posthouse/internal/admin"
	"posthouse/internal/mailauth/tlsrpt"
)

func (a *app) tlsrptCommand() *cobra.Command {
	return group("tlsrpt", "Reports of others on the TLS of our hosts",
		a.listFlags(&cobra.Command{Use: "list ADDRESS", Short: "List the reports in an account's mailboxes",
			Args: args(cobra.ExactArgs(1)), RunE: a.tlsrptList}),
		a.listFlags(&cobra.Command{Use: "show ADDRESS REPORT-ID", Short: "Show one of them",
			Args: args(cobra.ExactArgs(2)), RunE: a.tlsrptShow}),
		a.listFlags(&cobra.Command{Use: "read FILE", Short: "Show the report in a file: a message, JSON, or JSON compressed; - is standard input",
			Args: args(cobra.ExactArgs(1)), RunE: a.tlsrptRead}),
	)
}

func (a *app) tlsrptList(c *cobra.Command, args []string) error {
	return a.withAPI(c, func(api admin.API) error {
		list, err := api.TLSReports(c.Context(), args[0])
		if err != nil {
			return err
		}
		return print(a, list, []string{"DAY", "FROM", "ABOUT", "GOOD", "FAILED", "REPORT-ID"}, func(r admin.TLSReport) []string {
			if r.Error != "" {
				return []string{dayText(r.Received), "?", "?", "?", "?", fmt.Sprintf("%s/%d: %s", r.Mailbox, r.UID, oneLine(fmt.Errorf("%s", r.Error)))}
			}
			return []string{dayText(r.Start), clean(r.Organization), clean(aboutText(&r)), strconv.FormatInt(r.Success, 10), strconv.FormatInt(r.Failure, 10), clean(r.ID)}
		})
	})
}

// aboutText are the domains of a report.
func aboutText(r *admin.TLSReport) string {
	var names []string
	seen := make(map[string]bool)
	for _, p := range r.Policies {
		if d := p.Policy.Domain; !seen[d] {
			seen[d] = true
			names = append(names, d)
		}
	}
	return strings.Join(names, ",")
}

func dayText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02")
}

// clean keeps a stranger's text from steering the terminal.
func clean(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 {
			return '?'
		}
		return c
	}, s)
}

func (a *app) tlsrptShow(c *cobra.Command, args []string) error {
	return a.withAPI(c, func(api admin.API) error {
		list, err := api.TLSReports(c.Context(), args[0])
		if err != nil {
			return err
		}
		for i := range list {
			if list[i].ID == args[1] {
				return a.printTLSReport(&list[i])
			}
		}
		return fmt.Errorf("report %s: %w", args[1], admin.ErrNotFound)
	})
}

func (a *app) tlsrptRead(_ *cobra.Command, args []string) error {
	in := a.In
	if args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	report, err := tlsrpt.Read(in)
	if err != nil {
		return err
	}
	r := admin.NewTLSReport(report)
	return a.printTLSReport(&r)
}

func (a *app) printTLSReport(r *admin.TLSReport) error {
	if a.json {
		return a.printJSON(r)
	}
	w := a.Out
	fmt.Fprintf(w, "report   %s\nfrom     %s (%s)\ntime     %s to %s\n", clean(r.ID), clean(r.Organization), clean(r.Contact), timeText(r.Start), timeText(r.End))
	for i := range r.Policies {
		printTLSPolicy(w, &r.Policies[i])
	}
	return nil
}

func printTLSPolicy(w io.Writer, p *tlsrpt.Policy) {
	fmt.Fprintf(w, "\n%s for %s: %d sessions good, %d failed\n", clean(p.Policy.Type), clean(p.Policy.Domain), p.Summary.Success, p.Summary.Failure)
	for _, line := range p.Policy.String {
		fmt.Fprintf(w, "  | %s\n", clean(line))
	}
	for _, f := range p.Failures {
		fmt.Fprintf(w, "  %d × %s", f.Count, clean(f.Type))
		for _, part := range []struct{ word, text string }{
			{"host", f.ReceivingHost}, {"address", f.ReceivingIP}, {"seen from", f.SendingIP}, {"because", f.Reason}, {"see", f.Additional},
		} {
			if part.text != "" {
				fmt.Fprintf(w, "  %s %s", part.word, clean(part.text))
			}
		}
		fmt.Fprintln(w)
	}
}
