package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"posthouse/internal/admin"
)

func (a *app) routeCommand() *cobra.Command {
	return a.listFlags(&cobra.Command{
		Use: "route DOMAIN", Short: "Where mail for a domain goes, and what TLS is asked of the hosts",
		Args: args(cobra.ExactArgs(1)), RunE: a.route,
	})
}

func (a *app) route(c *cobra.Command, args []string) error {
	return a.withAPI(c, func(api admin.API) error {
		r, err := api.Route(c.Context(), args[0])
		if err != nil {
			return err
		}
		if a.json {
			err = a.printJSON(r)
		}
		if err != nil {
			return err
		}
		if r.Error != "" {
			return errors.New(r.Error)
		}
		if !a.json {
			printRoute(a.Out, &r)
		}
		return nil
	})
}

func printRoute(w io.Writer, r *admin.Route) {
	if r.Local {
		fmt.Fprintf(w, "%s lives here: its mail goes into mailboxes\n", r.Domain)
		return
	}
	fmt.Fprintf(w, "site     %s\n", r.Site)
	if r.MTASTS != "" {
		fmt.Fprintf(w, "mta-sts  %s\n", r.MTASTS)
	}
	if r.Note != "" {
		fmt.Fprintf(w, "note     %s\n", clean(r.Note))
	}
	for _, h := range r.Hosts {
		fmt.Fprintf(w, "\nhost     %s (preference %d)\naddress  %s\ntls      %s, by %s\n",
			h.Name, h.Preference, strings.Join(h.Addresses, " "), h.Level, h.Policy)
		if len(h.Names) > 0 {
			fmt.Fprintf(w, "names    %s\n", strings.Join(h.Names, " "))
		}
		for _, t := range h.TLSA {
			fmt.Fprintf(w, "tlsa     %s\n", t)
		}
		if h.Refused != "" {
			fmt.Fprintf(w, "refused  %s\n", h.Refused)
		}
	}
}
