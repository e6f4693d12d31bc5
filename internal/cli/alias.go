package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"posthouse/internal/admin"
)

func (a *app) aliasCommand() *cobra.Command {
	return group("alias", "Addresses that lead elsewhere",
		&cobra.Command{Use: "add ADDRESS TARGET...", Short: "Add or replace an alias; @domain is the catch-all",
			Args: args(cobra.MinimumNArgs(2)), RunE: a.aliasAdd},
		a.listFlags(&cobra.Command{Use: "list", Short: "List the aliases", Args: args(cobra.NoArgs), RunE: a.aliasList}),
		&cobra.Command{Use: "remove ADDRESS", Short: "Remove an alias", Args: args(cobra.ExactArgs(1)), RunE: a.aliasRemove},
	)
}

func (a *app) aliasAdd(c *cobra.Command, args []string) error {
	return a.withAPI(c, func(api admin.API) error {
		set, err := api.SetAlias(c.Context(), admin.Alias{Address: args[0], Targets: args[1:]})
		for _, t := range set.Missing {
			fmt.Fprintf(a.Err, "warning: there is no %s here: what goes to it is lost to %s\n", t, set.Address)
		}
		return err
	})
}

func (a *app) aliasList(c *cobra.Command, _ []string) error {
	return a.withAPI(c, func(api admin.API) error {
		list, err := api.Aliases(c.Context())
		if err != nil {
			return err
		}
		return print(a, list, []string{"ADDRESS", "TARGETS", "NOTE"}, func(al admin.Alias) []string {
			note := ""
			if len(al.Missing) > 0 {
				note = "there is no " + strings.Join(al.Missing, ", ")
			}
			return []string{al.Address, strings.Join(al.Targets, " "), note}
		})
	})
}

func (a *app) aliasRemove(c *cobra.Command, args []string) error {
	return a.withAPI(c, func(api admin.API) error { return api.RemoveAlias(c.Context(), args[0]) })
}
