package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"posthouse/internal/admin"
	"posthouse/internal/config"
	"posthouse/internal/httpd"
	"posthouse/internal/server"
)

// defaultConfig is read when neither --config nor --data is given.
const defaultConfig = "/etc/posthouse/posthouse.toml"

// initName is the configuration file that init writes into a data directory.
const initName = "posthouse.toml"

// loadConfig finds the configuration: the file, then --data over it.
func (a *app) loadConfig() (*config.Config, error) {
	path := a.configFile
	if path == "" {
		usual := defaultConfig
		if a.dataDir != "" {
			usual = filepath.Join(a.dataDir, initName)
		}
		if _, err := os.Stat(usual); err == nil {
			path = usual
		}
	}
	env := os.Environ()
	if a.dataDir != "" {
		dir, err := filepath.Abs(a.dataDir)
		if err != nil {
			return nil, err
		}
		env = append(env, "POSTHOUSE_DATA="+dir)
	}
	cfg, err := config.Load(path, env)
	if err == nil && path == "" && a.dataDir == "" {
		return nil, usageError{fmt.Errorf("which house? give --config FILE or --data DIR (there is no %s)", defaultConfig)}
	}
	return cfg, err
}

// withAPI runs fn against the running server or, when none runs, the store.
func (a *app) withAPI(c *cobra.Command, fn func(admin.API) error) error {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	return whileBusy(c.Context(), cfg.Data, func() error {
		client, err := dial(c.Context(), cfg.Data)
		if err != nil {
			return err
		}
		if client != nil {
			return fn(client)
		}
		// A command that adds something may be the first to touch a new house.
		house, err := a.openHouse(c.Context(), cfg, creates(c))
		if err != nil {
			return err
		}
		return errors.Join(fn(house.API()), house.Close())
	})
}

// busyFor is how long a command waits for the store that another command, or a server
// that is starting or stopping, has to itself.
const busyFor = time.Minute

func whileBusy(ctx context.Context, data string, try func() error) error {
	return server.ExplainLock(data, server.WhileBusy(ctx, busyFor, try))
}

// openHouse opens the store of a house that does not run, as its owner.
func (a *app) openHouse(ctx context.Context, cfg *config.Config, create bool) (*server.Offline, error) {
	if err := server.ActAsOwner(cfg.Data); err != nil {
		return nil, err
	}
	return server.OpenOffline(ctx, cfg, a.quietLog(), server.OfflineOptions{Create: create})
}

// creates reports whether a command makes a store where there is none.
func creates(c *cobra.Command) bool { return c.Name() == "add" }

// dial finds a running server; nil when none runs.
func dial(ctx context.Context, data string) (*httpd.Client, error) {
	path := server.SocketPath(data)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	client := httpd.Dial(path)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := client.Ping(ctx)
	switch {
	case err == nil:
		return client, nil
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("%s: only the owner of the house may use it", path)
	}
	return nil, nil // a socket that a crash left behind
}

// quietLog tells only of what is wrong.
func (a *app) quietLog() *slog.Logger {
	return slog.New(slog.NewTextHandler(a.Err, &slog.HandlerOptions{Level: slog.LevelError}))
}
