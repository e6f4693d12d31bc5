package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"posthouse/internal/admin"
	"posthouse/internal/config"
	"posthouse/internal/smtp"
)

func (a *app) initCommand() *cobra.Command {
	var hostname, account string
	c := &cobra.Command{Use: "init --hostname NAME --data DIR", Short: "Set up a real host: configuration, domain, keys, first account",
		Args: args(cobra.NoArgs), RunE: func(c *cobra.Command, _ []string) error { return a.init(c, hostname, account) }}
	c.Flags().StringVar(&hostname, "hostname", "", "the host's `NAME` in DNS, such as mx.example.org")
	c.Flags().StringVar(&account, "account", "", "`ADDRESS` of the first account, such as you@example.org")
	return c
}

// initDomain is the first domain: that of the account, else that of the host
// without its first label when something like a domain is left.
func initDomain(hostname, account string) (string, error) {
	if account != "" {
		addr, err := smtp.ParseAddress(account)
		if err != nil {
			return "", usageError{fmt.Errorf("--account %q: %w", account, err)}
		}
		return addr.Domain, nil
	}
	if _, rest, ok := strings.Cut(hostname, "."); ok && strings.Contains(rest, ".") {
		return rest, nil
	}
	return hostname, nil
}

func (a *app) init(c *cobra.Command, hostname, account string) error {
	if hostname == "" || a.dataDir == "" {
		return usageError{errors.New("init needs --hostname NAME and --data DIR")}
	}
	domain, err := initDomain(hostname, account)
	if err != nil {
		return err
	}
	data, err := filepath.Abs(a.dataDir)
	if err != nil {
		return err
	}
	if err := checkHostname(hostname); err != nil {
		return err
	}
	path := a.configFile
	if path == "" {
		path = filepath.Join(data, initName)
	}
	if err := a.stopped(c.Context(), data); err != nil {
		return err
	}
	if err := writeConfig(path, hostname, data); err != nil {
		return err
	}
	cfg, err := config.Load(path, nil)
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	house, err := a.openHouse(c.Context(), cfg, true)
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	if err := errors.Join(a.furnish(c, house.API(), path, domain, account), house.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// checkHostname refuses, before anything is written, what the configuration would.
func checkHostname(hostname string) error {
	_, notAddress := netip.ParseAddr(hostname)
	if notAddress == nil || !smtp.ValidDomain(hostname) || !strings.Contains(hostname, ".") {
		return usageError{fmt.Errorf("--hostname %q: want a full name, such as mx.example.org", hostname)}
	}
	return nil
}

// writeConfig writes a new configuration file; it never replaces one.
func writeConfig(path, hostname, data string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists already: this house is set up", path)
	}
	if err != nil {
		return err
	}
	return errors.Join(config.Write(f, initialConfig(hostname, data)), f.Close())
}

// furnish makes the domain and the first account, and says what to do next.
func (a *app) furnish(c *cobra.Command, api admin.API, path, domain, account string) error {
	ctx := c.Context()
	if _, err := api.AddDomain(ctx, domain); err != nil && !errors.Is(err, admin.ErrExists) {
		return err
	}
	if account != "" {
		n, err := api.AddAccount(ctx, account, "")
		if err != nil {
			return err
		}
		fmt.Fprintf(a.Out, "account   %s\npassword  %s   (shown only now)\n\n", n.Address, n.Password)
	}
	records, err := api.DomainDNS(ctx, domain)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "DNS records to add for %s:\n\n", domain)
	if err := a.printRecords(records); err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "\nconfiguration: %s\nstart it with:\n\n    %s\n", path, typed("serve", "--config", path))
	return nil
}

// initialConfig offers everything a mail host offers. The certificate comes by
// ACME over port 443 (TLS-ALPN-01).
func initialConfig(hostname, data string) *config.Config {
	cfg := config.Default()
	cfg.Hostname, cfg.Data = hostname, data
	cfg.Listen = config.Listen{
		SMTP: []string{":25"}, Submission: []string{":587"}, Submissions: []string{":465"},
		IMAP: []string{":143"}, IMAPS: []string{":993"}, POP3: []string{":110"}, POP3S: []string{":995"},
		HTTP: []string{"127.0.0.1:8080"}, HTTPS: []string{":443"},
	}
	cfg.TLS.Mode = config.ModeACME
	return cfg
}
