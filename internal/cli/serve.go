package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"posthouse/internal/config"
	"posthouse/internal/server"
)

func (a *app) serveCommand() *cobra.Command {
	return &cobra.Command{Use: "serve", Short: "Run the house in the foreground", Args: args(cobra.NoArgs), RunE: a.serve}
}

func (a *app) serve(c *cobra.Command, _ []string) error {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	if err := a.stopped(c.Context(), cfg.Data); err != nil {
		return err
	}
	level := new(slog.LevelVar)
	s, err := server.Start(c.Context(), cfg, server.Options{Log: newLog(a.Err, cfg, level), Version: version()})
	if err != nil {
		return err
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-hup:
			a.reload(s, level)
		case <-c.Context().Done():
			return s.Stop()
		case err := <-s.Failed():
			return fmt.Errorf("%w (stopped: %v)", err, s.Stop())
		}
	}
}

// reload applies what can change while running; the rest waits for a restart.
func (a *app) reload(s *server.Server, level *slog.LevelVar) {
	cfg, err := a.loadConfig()
	if err != nil {
		fmt.Fprintln(a.Err, "posthouse: reload:", oneLine(err))
		return
	}
	setLevel(level, cfg)
	s.Reload(context.Background(), cfg)
}

func newLog(w io.Writer, cfg *config.Config, level *slog.LevelVar) *slog.Logger {
	setLevel(level, cfg)
	opt := &slog.HandlerOptions{Level: level}
	if cfg.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opt))
	}
	return slog.New(slog.NewTextHandler(w, opt))
}

func setLevel(level *slog.LevelVar, cfg *config.Config) {
	var l slog.Level
	if l.UnmarshalText([]byte(cfg.Log.Level)) == nil {
		level.Set(l)
	}
}
