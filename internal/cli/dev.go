package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"posthouse/internal/admin"
	"posthouse/internal/config"
	"posthouse/internal/server"
	"posthouse/internal/smtp"
)

// What "posthouse dev" promises (contract).
const (
	devDomain   = "example.test"
	devPassword = "posthouse"
	devCatcher  = "postmaster@" + devDomain
	devOutbox   = "Outbox"
)

var devAccounts = []string{"alice@" + devDomain, "bob@" + devDomain, devCatcher}

// devConfig is what dev runs with where no file says otherwise.
const devConfig = `hostname = "localhost"
[listen]
smtp = ["127.0.0.1:2525"]
submission = ["127.0.0.1:2587"]
submissions = ["127.0.0.1:2465"]
lmtp = ["127.0.0.1:2424"]
imap = ["127.0.0.1:2143"]
imaps = ["127.0.0.1:2993"]
pop3 = ["127.0.0.1:2110"]
pop3s = ["127.0.0.1:2995"]
http = ["127.0.0.1:2080"]
[tls]
mode = "self-signed"
[auth]
allow_plaintext = true
[smtp]
greet_delay = "0s"
error_delay = "0s"
[limits]
connection_rate_per_address = 0
connection_rate_per_network = 0
[log]
level = "warn"
`

func (a *app) devCommand() *cobra.Command {
	return &cobra.Command{Use: "dev", Short: "Run the whole house on loopback, with no set-up", Args: args(cobra.NoArgs), RunE: a.dev}
}

func (a *app) dev(c *cobra.Command, _ []string) error {
	ctx, stop := untilHangup(c.Context())
	defer stop()
	dir, cleanUp, err := a.devData()
	if err != nil {
		return err
	}
	defer cleanUp()
	cfg, err := a.devLoad(dir)
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	s, err := server.Start(ctx, cfg, server.Options{
		Log: newLog(a.Err, cfg, level), Version: version(), Furnish: furnishDev,
		Catch: &server.Catch{Address: devCatcher, Mailbox: devOutbox},
	})
	if err != nil {
		return unlessStopped(ctx, err)
	}
	a.devTable(cfg)
	if err := a.firstMessage(ctx, s); err != nil && ctx.Err() == nil {
		fmt.Fprintln(a.Err, "the first message:", err)
	}
	select {
	case <-ctx.Done():
		return s.Stop()
	case err := <-s.Failed():
		return errors.Join(err, s.Stop())
	}
}

// untilHangup ends with the terminal as well, unless nohup(1) keeps that away: the
// temporary directory must go.
func untilHangup(ctx context.Context) (context.Context, context.CancelFunc) {
	if signal.Ignored(syscall.SIGHUP) {
		return context.WithCancel(ctx)
	}
	return signal.NotifyContext(ctx, syscall.SIGHUP)
}

// devData is the data directory: the one given, or a temporary one that goes
// at exit.
func (a *app) devData() (dir string, cleanUp func(), err error) {
	if a.dataDir != "" {
		dir, err = filepath.Abs(a.dataDir)
		return dir, func() {}, err
	}
	if dir, err = os.MkdirTemp("", "posthouse-dev-"); err != nil {
		return "", nil, err
	}
	return dir, func() { os.RemoveAll(dir) }, nil
}

// devLoad reads the configuration. With everybody's password known, no listener
// may be reached from elsewhere.
func (a *app) devLoad(dir string) (*config.Config, error) {
	env := append(os.Environ(), "POSTHOUSE_DATA="+dir)
	cfg, err := config.LoadOver([]byte(devConfig), a.configFile, env)
	if err != nil {
		return nil, err
	}
	for _, l := range server.Listeners(cfg) {
		if !isLoopback(l.Address) {
			return nil, fmt.Errorf("listen.%s: %s can be reached from elsewhere; dev listens on loopback only", l.Name, l.Address)
		}
	}
	return cfg, nil
}

func isLoopback(address string) bool {
	if strings.HasPrefix(address, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// furnishDev makes the domain and the accounts that are not there yet.
func furnishDev(ctx context.Context, api admin.API) error {
	if _, err := api.AddDomain(ctx, devDomain); err != nil && !errors.Is(err, admin.ErrExists) {
		return err
	}
	for _, account := range devAccounts {
		if _, err := api.AddAccount(ctx, account, devPassword); err != nil && !errors.Is(err, admin.ErrExists) {
			return err
		}
	}
	return nil
}

// devTable says what listens where, who lives here, and how to use it.
func (a *app) devTable(cfg *config.Config) {
	fmt.Fprintf(a.Out, "Posthouse %s runs here, for this machine only. Data: %s\n\n", version(), cfg.Data)
	w := tabwriter.NewWriter(a.Out, 2, 0, 2, ' ', 0)
	for _, l := range server.Listeners(cfg) {
		fmt.Fprintf(w, "  %s\t%s\t%s\n", l.Name, l.Address, l.Purpose)
	}
	w.Flush()
	fmt.Fprintf(a.Out, "\n  accounts  %s\n  password  %s (all of them)\n", strings.Join(devAccounts, ", "), devPassword)
	fmt.Fprintf(a.Out, "  elsewhere mail that they submit for other domains is caught in the mailbox %s of %s\n", devOutbox, devCatcher)
	smtpAddr, imapAddr := first(cfg.Listen.SMTP), first(cfg.Listen.IMAP)
	if smtpAddr != "" {
		fmt.Fprintf(a.Out, "\n  send  printf 'Subject: hello\\n\\nhi\\n' | curl -sS --crlf smtp://%s --mail-from bob@%s --mail-rcpt alice@%s -T -\n", smtpAddr, devDomain, devDomain)
	}
	if imapAddr != "" {
		fmt.Fprintf(a.Out, "  read  curl -sS -u alice@%s:%s 'imap://%s/INBOX;MAILINDEX=1'\n", devDomain, devPassword, imapAddr)
	}
	a.devElsewhere(first(cfg.Listen.Submission), imapAddr, cfg.Auth.AllowPlaintext)
	fmt.Fprintln(a.Out, "\nStop with Ctrl-C.")
}

// devElsewhere shows how an application sends, and where that ends.
func (a *app) devElsewhere(submission, imap string, plaintext bool) {
	if submission == "" || imap == "" || !plaintext {
		return
	}
	fmt.Fprintf(a.Out, "\n  submit  printf 'Subject: hello\\n\\nhi\\n' | curl -sS --crlf smtp://%s -u alice@%s:%s --mail-from alice@%s --mail-rcpt somebody@example.com -T -\n",
		submission, devDomain, devPassword, devDomain)
	fmt.Fprintf(a.Out, "  caught  curl -sS -u %s:%s 'imap://%s/%s;MAILINDEX=1'\n", devCatcher, devPassword, imap, devOutbox)
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// firstMessage sends a message through the house's own doors and prints its
// timeline, step by step.
func (a *app) firstMessage(ctx context.Context, s *server.Server) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	t, err := sendFirst(ctx, s.Config(), smtp.Address{Local: "postmaster", Domain: devDomain}, smtp.Address{Local: "alice", Domain: devDomain})
	if err != nil || t == nil {
		return err
	}
	fmt.Fprintf(a.Out, "\nA first message, from %s to %s:\n", t.from, t.to)
	for _, step := range t.steps {
		fmt.Fprintf(a.Out, "  %-9s %8s  %s\n", step.name, roundText(step.took), step.text)
	}
	stories, err := s.API().Trace(ctx, t.messageID)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "\nIts story, also to be had by\n\n  %s\n\n", typed("message", "trace", t.messageID, "--data", s.Config().Data))
	for _, story := range stories {
		printStory(a.Out, story)
	}
	return nil
}
