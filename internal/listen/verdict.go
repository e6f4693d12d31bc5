package listen

import (
	"context"
	"log/slog"
	"time"
)

// Verdict is what a Gate says to a client.
type Verdict int

// The verdicts. A Gate does not know of ShuttingDown; its door does.
const (
	Welcome             Verdict = iota
	TooMany                     // connections in all
	TooManyFromYou              // connections from this address
	TooManyFromNetwork          // connections from its network
	TooOftenFromYou             // new connections from this address
	TooOftenFromNetwork         // new connections from its network
	ShuttingDown
)

// verdicts are the words for them.
var verdicts = [...]struct{ reason, text string }{
	Welcome:             {"", ""},
	TooMany:             {"connections", "Too many connections, try again later"},
	TooManyFromYou:      {"address", "Too many connections from your address, try again later"},
	TooManyFromNetwork:  {"network", "Too many connections from your network, try again later"},
	TooOftenFromYou:     {"address rate", "Your address connects too often, try again in a minute"},
	TooOftenFromNetwork: {"network rate", "Your network connects too often, try again in a minute"},
	ShuttingDown:        {"shutdown", "The server is shutting down, try again later"},
}

// Reason is the verdict in a word or two, for the log and the metrics.
func (v Verdict) Reason() string { return verdicts[v].reason }

// Text is the verdict for the client: a sentence in ASCII without an end.
func (v Verdict) Text() string { return verdicts[v].text }

// MaxExplained is how many clients at a time are told why they are turned away;
// above it they are cut off without a word.
const MaxExplained = 16

// Explain asks whether a client that is turned away may be told why, which holds
// one of a few slots until done is called.
func (g *Gate) Explain() (done func(), ok bool) {
	select {
	case g.explaining <- struct{}{}:
		return func() { <-g.explaining }, true
	default:
		return nil, false
	}
}

// Log writes a refusal into a session's log: the first of its kind in a minute,
// with how many there were in between, so that a flood does not fill it; the
// others at debug level. That there are too many in all is a warning, for then
// people are refused who have done nothing.
func (g *Gate) Log(log *slog.Logger, v Verdict) {
	level, more := slog.LevelDebug, 0
	g.mu.Lock()
	if now := g.now(); v != ShuttingDown && now.Sub(g.told[v]) >= time.Minute {
		level, more = slog.LevelInfo, g.untold[v]
		g.told[v], g.untold[v] = now, 0
	} else {
		g.untold[v]++
	}
	g.mu.Unlock()
	if v == TooMany && level == slog.LevelInfo {
		level = slog.LevelWarn
	}
	log.Log(context.Background(), level, "connection refused", "reason", v.Reason(), "more", more)
}

// Observer is told how connections come and go, for metrics. Calls come from many
// sessions at a time and must not wait.
type Observer interface {
	Opened(door string)
	Refused(door, reason string) // a Verdict's
	Ended(door, reason string)   // "quit", "closed", "timeout", "shutdown" …
}

// Nobody is the Observer when there is none.
type Nobody struct{}

// Opened is Observer.
func (Nobody) Opened(string) {}

// Refused is Observer.
func (Nobody) Refused(string, string) {}

// Ended is Observer.
func (Nobody) Ended(string, string) {}
