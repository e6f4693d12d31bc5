package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"posthouse/internal/admin"
	"posthouse/internal/config"
)

func (a *app) accountCommand() *cobra.Command {
	var fromStdin bool
	password := func(c *cobra.Command) *cobra.Command {
		c.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from the first line of standard input")
		return c
	}
	return group("account", "The people who have mailboxes here",
		password(&cobra.Command{Use: "add ADDRESS", Short: "Add an account", Args: args(cobra.ExactArgs(1)),
			RunE: func(c *cobra.Command, args []string) error {
				return a.setPassword(c, args[0], fromStdin, admin.API.AddAccount)
			}}),
		a.listFlags(&cobra.Command{Use: "list", Short: "List the accounts", Args: args(cobra.NoArgs), RunE: a.accountList}),
		&cobra.Command{Use: "remove ADDRESS", Short: "Remove an account and its mail", Args: args(cobra.ExactArgs(1)), RunE: a.accountRemove},
		password(&cobra.Command{Use: "passwd ADDRESS", Short: "Set a password", Args: args(cobra.ExactArgs(1)),
			RunE: func(c *cobra.Command, args []string) error {
				return a.setPassword(c, args[0], fromStdin, admin.API.SetPassword)
			}}),
		&cobra.Command{Use: "quota ADDRESS SIZE", Short: "Set a quota such as 5G; 0 is none", Args: args(cobra.ExactArgs(2)), RunE: a.accountQuota},
		&cobra.Command{Use: "owner ADDRESS DATE", Short: "Say since when an address has been its owner's: 2019-05-01, or now", Args: args(cobra.ExactArgs(2)), RunE: a.accountOwner},
	)
}

// passwordSetter is AddAccount or SetPassword of an API.
type passwordSetter = func(api admin.API, ctx context.Context, address, password string) (admin.NewAccount, error)

func (a *app) setPassword(c *cobra.Command, address string, fromStdin bool, set passwordSetter) error {
	password := ""
	if fromStdin {
		var err error
		if password, err = readLine(c.Context(), a.In); err != nil {
			return err
		}
		if password == "" {
			return fmt.Errorf("the password on standard input is empty")
		}
	}
	return a.withAPI(c, func(api admin.API) error {
		n, err := set(api, c.Context(), address, password)
		if err != nil {
			return err
		}
		if n.Password != "" {
			fmt.Fprintf(a.Err, "the password of %s, shown only now:\n", n.Address)
			fmt.Fprintln(a.Out, n.Password)
		}
		return nil
	})
}

func (a *app) accountList(c *cobra.Command, _ []string) error {
	return a.withAPI(c, func(api admin.API) error {
		list, err := api.Accounts(c.Context())
		if err != nil {
			return err
		}
		return print(a, list, []string{"ADDRESS", "MESSAGES", "USED", "QUOTA", "CREATED"}, func(n admin.Account) []string {
			quota := "-"
			if n.Quota > 0 {
				quota = bytesText(n.Quota)
			}
			return []string{n.Address, fmt.Sprint(n.Messages), bytesText(n.Used), quota, timeText(n.Created)}
		})
	})
}

func (a *app) accountRemove(c *cobra.Command, args []string) error {
	return a.withAPI(c, func(api admin.API) error { return api.RemoveAccount(c.Context(), args[0]) })
}

func (a *app) accountQuota(c *cobra.Command, args []string) error {
	size, err := config.ParseSize(args[1])
	if err != nil {
		return usageError{fmt.Errorf("quota %q: %w", args[1], err)}
	}
	return a.withAPI(c, func(api admin.API) error { return api.SetQuota(c.Context(), args[0], int64(size)) })
}

func (a *app) accountOwner(c *cobra.Command, args []string) error {
	var since time.Time // now
	if args[1] != "now" {
		var err error
		if since, err = time.Parse(time.DateOnly, args[1]); err != nil {
			return usageError{fmt.Errorf("%q is not a date such as 2019-05-01, nor \"now\"", args[1])}
		}
	}
	return a.withAPI(c, func(api admin.API) error { return api.SetOwnerSince(c.Context(), args[0], since) })
}
