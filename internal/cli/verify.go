package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"posthouse/internal/server"
)

func (a *app) verifyCommand() *cobra.Command {
	return a.listFlags(&cobra.Command{Use: "verify", Short: "Check every reference and checksum of a stopped house",
		Args: args(cobra.NoArgs), RunE: a.verify})
}

func (a *app) rebuildCommand() *cobra.Command {
	return &cobra.Command{Use: "rebuild", Short: "Make the index of a stopped house again from the bodies",
		Args: args(cobra.NoArgs), RunE: a.rebuild}
}

// stopped makes sure that no server runs on the data directory.
func (a *app) stopped(ctx context.Context, data string) error {
	client, err := dial(ctx, data)
	if err == nil && client != nil {
		err = fmt.Errorf("a server is running on %s: stop it first", data)
	}
	return err
}

func (a *app) verify(c *cobra.Command, _ []string) error {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	var house *server.Offline
	err = whileBusy(c.Context(), cfg.Data, func() error {
		err := a.stopped(c.Context(), cfg.Data)
		if err == nil {
			house, err = a.openHouse(c.Context(), cfg, false)
		}
		return err
	})
	if err != nil {
		return err
	}
	problems := []string{}
	found, err := house.Verify(c.Context(), func(problem string) {
		if a.json {
			problems = append(problems, problem)
		} else {
			fmt.Fprintln(a.Out, problem)
		}
	})
	if err := errors.Join(err, house.Close()); err != nil {
		return err
	}
	if a.json {
		if err := a.printJSON(problems); err != nil {
			return err
		}
	}
	fmt.Fprintf(a.Err, "checked %d accounts, %d bodies, %d queue messages\n", found.Accounts, found.Bodies, found.Queued)
	if found.Problems > 0 {
		return fmt.Errorf("%s found", count(found.Problems, "problem"))
	}
	return nil
}

func (a *app) rebuild(c *cobra.Command, _ []string) error {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	if err := a.stopped(c.Context(), cfg.Data); err != nil {
		return err
	}
	if err := server.ActAsOwner(cfg.Data); err != nil {
		return err
	}
	done, err := server.Rebuild(c.Context(), cfg, a.quietLog(), func(line string) { fmt.Fprintln(a.Err, line) })
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Err, "%d accounts, %d messages in mailboxes, %d queue entries (on hold), %d damaged bodies; the old index is in %s\n",
		done.Accounts, done.Messages, done.Queued, done.Damaged, done.OldIndex)
	if done.Doubts > 0 {
		return fmt.Errorf("the index is made again, but not all is there or certain: see the %s above", count(done.Doubts, "line"))
	}
	return nil
}
