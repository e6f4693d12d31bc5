package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"posthouse/internal/admin"
)

func (a *app) domainCommand() *cobra.Command {
	return group("domain", "The domains that live here",
		&cobra.Command{Use: "add NAME", Short: "Add a domain", Args: args(cobra.ExactArgs(1)), RunE: a.domainAdd},
		a.listFlags(&cobra.Command{Use: "list", Short: "List the domains", Args: args(cobra.NoArgs), RunE: a.domainList}),
		&cobra.Command{Use: "remove NAME", Short: "Remove a domain without accounts", Args: args(cobra.ExactArgs(1)), RunE: a.domainRemove},
		a.listFlags(&cobra.Command{Use: "dns NAME", Short: "The DNS records that should stand", Args: args(cobra.ExactArgs(1)), RunE: a.domainDNS}),
		a.listFlags(&cobra.Command{Use: "check NAME", Short: "The DNS records that stand", Args: args(cobra.ExactArgs(1)), RunE: a.domainCheck}),
	)
}

func (a *app) domainAdd(c *cobra.Command, args []string) error {
	return a.withAPI(c, func(api admin.API) error {
		d, err := api.AddDomain(c.Context(), args[0])
		if err == nil {
			fmt.Fprintln(a.Out, d.Name)
			fmt.Fprintf(a.Err, "added; its DNS records: %s\n", typed(append([]string{"domain", "dns", d.Name}, a.sameHouse()...)...))
		}
		return err
	})
}

func (a *app) domainList(c *cobra.Command, _ []string) error {
	return a.withAPI(c, func(api admin.API) error {
		list, err := api.Domains(c.Context())
		if err != nil {
			return err
		}
		return print(a, list, []string{"DOMAIN", "CREATED"}, func(d admin.Domain) []string {
			return []string{d.Name, timeText(d.Created)}
		})
	})
}

func (a *app) domainRemove(c *cobra.Command, args []string) error {
	return a.withAPI(c, func(api admin.API) error { return api.RemoveDomain(c.Context(), args[0]) })
}

func (a *app) domainDNS(c *cobra.Command, args []string) error {
	return a.withAPI(c, func(api admin.API) error {
		list, err := api.DomainDNS(c.Context(), args[0])
		if err != nil {
			return err
		}
		return a.printRecords(list)
	})
}

// printRecords prints records so that they can be pasted into a zone file.
func (a *app) printRecords(list []admin.Record) error {
	if a.json {
		return a.printJSON(list)
	}
	for _, r := range list {
		value := r.Value
		if r.Type == "TXT" {
			value = quoteTXT(value)
		}
		need := ""
		if !r.Needed {
			need = " (optional)"
		}
		fmt.Fprintf(a.Out, "; %s%s\n%s IN %s %s\n", r.Purpose, need, r.Name, r.Type, value)
	}
	return nil
}

// quoteTXT cuts a TXT value into strings of at most 255 bytes (RFC 1035
// section 3.3.14).
func quoteTXT(s string) string {
	var parts []string
	for len(s) > 255 {
		parts = append(parts, `"`+s[:255]+`"`)
		s = s[255:]
	}
	return strings.Join(append(parts, `"`+s+`"`), " ")
}

func (a *app) domainCheck(c *cobra.Command, args []string) error {
	return a.withAPI(c, func(api admin.API) error {
		list, err := api.CheckDomain(c.Context(), args[0])
		if err != nil {
			return err
		}
		err = print(a, list, []string{"VERDICT", "NAME", "TYPE", "FOUND", "NOTE"}, func(k admin.Check) []string {
			return []string{string(k.Verdict), k.Name, k.Type, shortened(strings.Join(k.Found, " | ")), k.Note}
		})
		if err != nil {
			return err
		}
		return verdict(args[0], list)
	})
}

// shortened is what of a value stands in a table: keys are long.
func shortened(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// verdict is an error about the first needed record that is wrong, or else of which
// nothing could be found out.
func verdict(domain string, list []admin.Check) error {
	for _, bad := range []admin.Verdict{admin.Missing, admin.Different, admin.Unknown} {
		for _, k := range list {
			if k.Needed && k.Verdict == bad {
				return fmt.Errorf("%s: %s %s is %s", domain, k.Name, k.Type, bad)
			}
		}
	}
	return nil
}
