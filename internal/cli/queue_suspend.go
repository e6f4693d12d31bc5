package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"posthouse/internal/admin"
	"posthouse/internal/queue"
)

// queueSuspendCommand stops or resumes the mail for a domain or a site.
func (a *app) queueSuspendCommand(name, short string, fn func(admin.API, context.Context, queue.Suspension) error) *cobra.Command {
	var s queue.Suspension
	c := &cobra.Command{Use: name + " --domain DOMAIN|--site SITE", Short: short, Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkGiven(c, "domain", "site"); err != nil {
				return err
			}
			if (s.Domain == "") == (s.Site == "") {
				return usageError{errors.New("name one of --domain and --site")}
			}
			return a.withAPI(c, func(api admin.API) error {
				err := fn(api, c.Context(), s)
				if err == nil && a.json {
					return a.printJSON(s)
				}
				return err
			})
		}}
	f := c.Flags()
	f.StringVar(&s.Domain, "domain", "", "mail for recipients in `DOMAIN`")
	f.StringVar(&s.Site, "site", "", "mail for the mail hosts `SITE`, as queue sites names them, or one of them")
	if name == "suspend" {
		f.StringVar(&s.Why, "why", "", "a `REASON`, shown with what waits")
	}
	return a.listFlags(c)
}
