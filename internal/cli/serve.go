package cli

import (
	"context"
	"errors"
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
	hup := make(chan os.Signal, 1) // also while the house is being opened
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	if err := a.stopped(c.Context(), cfg.Data); err != nil {
		return err
	}
	level := new(slog.LevelVar)
	log := newLog(a.Err, cfg, level)
	s, err := server.Start(c.Context(), cfg, server.Options{Log: log, Version: version()})
	if err != nil {
		return unlessStopped(c.Context(), err)
	}
	for {
		select {
		case <-hup:
			a.reload(s, log, level)
		case <-c.Context().Done():
			return s.Stop()
		case err := <-s.Failed():
			return fmt.Errorf("%w (stopped: %v)", err, s.Stop())
		}
	}
}

// unlessStopped is the error of a start; none when it is that somebody stopped the
// house before it was open.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// reload applies what can change while running; the rest waits for a restart.
func (a *app) reload(s *server.Server, log *slog.Logger, level *slog.LevelVar) {
	cfg, err := a.loadConfig()
	if err != nil {
		log.Error("not reloaded", "err", oneLine(err))
		return
	}
	setLevel(level, cfg)
	s.Reload(cfg)
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
