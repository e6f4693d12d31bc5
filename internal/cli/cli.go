// Package cli is the posthouse command: one file per command. Commands talk to
// a running server through its admin API; when none runs they open the store
// themselves, through the same interface. Results go to standard output,
// everything else to standard error; the exit status is 0 done, 1 failed,
// 2 wrong usage.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// IO is where a command reads and writes.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
}

// The exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// app is what the commands share.
type app struct {
	IO
	configFile string
	dataDir    string
	json       bool
}

// usageError is a mistake in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Main runs the command line args and gives the exit status.
func Main(args []string, io IO) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	out := &results{w: io.Out}
	a := &app{IO: io}
	a.Out = out
	root := a.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		err = out.err
	}
	if err == nil {
		return exitDone
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	fmt.Fprintln(io.Err, "posthouse: "+oneLine(err))
	var usage usageError
	if errors.As(err, &usage) || strings.HasPrefix(err.Error(), "unknown command") {
		fmt.Fprintf(io.Err, "see: %s --help\n", cmd.CommandPath())
		return exitUsage
	}
	return exitFailed
}

// results is standard output. What could not be written, such as a password that is
// shown only once, makes a command fail.
type results struct {
	w   io.Writer
	err error // the first
}

func (r *results) Write(p []byte) (int, error) {
	n, err := r.w.Write(p)
	if r.err == nil {
		r.err = err
	}
	return n, err
}

func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "posthouse",
		Short:         "A whole mail house: receives mail, keeps it for its people, carries it onward",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	a.addVersionFlag(root)
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetHelpCommand(helpCommand())
	flags := root.PersistentFlags()
	flags.StringVar(&a.configFile, "config", "", "configuration `FILE` (default "+defaultConfig+" if it exists)")
	flags.StringVar(&a.dataDir, "data", "", "data `DIR`, instead of the configuration's")
	root.AddCommand(
		a.devCommand(), a.initCommand(), a.serveCommand(),
		a.domainCommand(), a.accountCommand(), a.aliasCommand(),
		a.queueCommand(), a.suppressionCommand(), a.messageCommand(), a.routeCommand(), a.tlsrptCommand(),
		a.verifyCommand(), a.rebuildCommand(), a.versionCommand(),
	)
	return root
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usageError{fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())}
		}
		return usageError{fmt.Errorf("%s needs a command", c.CommandPath())}
	}}
	c.AddCommand(commands...)
	return c
}

// args makes cobra's argument checks usage errors that show what is wanted.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, a []string) error {
		if check(c, a) != nil {
			return usageError{fmt.Errorf("%s given; want: %s", count(len(a), "argument"), c.UseLine())}
		}
		return nil
	}
}

// count is "1 argument", "2 arguments", "no argument".
func count(n int, what string) string {
	switch n {
	case 0:
		return "no " + what
	case 1:
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// helpCommand is cobra's, but what it does not know is wrong usage.
func helpCommand() *cobra.Command {
	return &cobra.Command{Use: "help [command]", Short: "Help about any command", RunE: func(c *cobra.Command, names []string) error {
		found, rest, err := c.Root().Find(names)
		if err != nil || len(rest) > 0 {
			return usageError{fmt.Errorf("unknown command %q", strings.Join(names, " "))}
		}
		return found.Help()
	}}
}
