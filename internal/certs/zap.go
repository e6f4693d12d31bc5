package certs

import (
	"context"
	"log/slog"

	"go.uber.org/zap/zapcore"
)

// zapBridge hands what the ACME library logs to our logger.
type zapBridge struct {
	log *slog.Logger
}

var _ zapcore.Core = zapBridge{}

func level(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	case l == zapcore.InfoLevel:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

// Enabled is zapcore.Core.
func (b zapBridge) Enabled(l zapcore.Level) bool {
	return b.log.Enabled(context.Background(), level(l))
}

// With is zapcore.Core.
func (b zapBridge) With(fields []zapcore.Field) zapcore.Core {
	return zapBridge{slog.New(b.log.Handler().WithAttrs(attrs(fields)))}
}

// Check is zapcore.Core.
func (b zapBridge) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if b.Enabled(e.Level) {
		return ce.AddCore(e, b)
	}
	return ce
}

// Write is zapcore.Core.
func (b zapBridge) Write(e zapcore.Entry, fields []zapcore.Field) error {
	b.log.LogAttrs(context.Background(), level(e.Level), "acme: "+e.Message, attrs(fields)...)
	return nil
}

// Sync is zapcore.Core.
func (b zapBridge) Sync() error { return nil }

func attrs(fields []zapcore.Field) []slog.Attr {
	out := make([]slog.Attr, 0, len(fields))
	for _, f := range fields {
		enc := zapcore.NewMapObjectEncoder()
		f.AddTo(enc)
		for k, v := range enc.Fields {
			out = append(out, slog.Any(k, v))
		}
	}
	return out
}
