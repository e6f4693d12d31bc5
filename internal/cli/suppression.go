package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"posthouse/internal/admin"
	"posthouse/internal/suppress"
)

func (a *app) suppressionCommand() *cobra.Command {
	return group("suppression", "Addresses elsewhere that take no mail",
		a.listFlags(&cobra.Command{Use: "list", Short: "List them, with the reason", Args: args(cobra.NoArgs), RunE: a.suppressionList}),
		&cobra.Command{Use: "remove ADDRESS", Short: "Take an address off the list", Args: args(cobra.ExactArgs(1)),
			RunE: func(c *cobra.Command, args []string) error {
				return a.withAPI(c, func(api admin.API) error { return api.RemoveSuppression(c.Context(), args[0]) })
			}},
	)
}

func (a *app) suppressionList(c *cobra.Command, _ []string) error {
	return a.withAPI(c, func(api admin.API) error {
		var all []suppress.Suppression
		for after := ""; ; {
			page, err := api.Suppressions(c.Context(), after)
			if err != nil {
				return err
			}
			all = append(all, page...)
			if len(page) < admin.MaxSuppressions {
				break
			}
			after = page[len(page)-1].Address
		}
		return print(a, all, []string{"ADDRESS", "SINCE", "CLASS", "MESSAGE", "LAST WORDS"}, func(e suppress.Suppression) []string {
			return []string{"<" + e.Address + ">", timeText(e.At), string(e.Class), string(e.Message), clean(fmt.Sprintf("%d %s", e.Code, e.Text))}
		})
	})
}
