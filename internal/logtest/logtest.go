// Package logtest keeps what is logged, for tests of what an operator reads.
package logtest

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
)

// Log keeps every line. Safe for concurrent use.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Logger writes into l, at every level.
func (l *Log) Logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Write is io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// Line is one line of a log.
type Line struct {
	Level, Message string
	Attrs          map[string]any
}

// Lines gives the lines so far from a level on.
func (l *Log) Lines(from slog.Level) []Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []Line
	for text := range strings.Lines(l.buf.String()) {
		attrs := make(map[string]any)
		if err := json.Unmarshal([]byte(text), &attrs); err != nil {
			panic(err) // slog does not do that
		}
		line := Line{attrs["level"].(string), attrs["msg"].(string), attrs}
		for _, own := range []string{"level", "msg", "time"} {
			delete(attrs, own)
		}
		var level slog.Level
		if level.UnmarshalText([]byte(line.Level)) == nil && level >= from {
			lines = append(lines, line)
		}
	}
	return lines
}
