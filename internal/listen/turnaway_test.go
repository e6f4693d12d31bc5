package listen

import (
	"io"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"posthouse/internal/clock"
	"posthouse/internal/logtest"
	"posthouse/internal/wire"
)

// refusals is an Observer.
type refusals struct {
	Nobody
	seen []string
}

func (r *refusals) Refused(door, reason string) { r.seen = append(r.seen, door+" "+reason) }

// Whoever is turned away hears why, while there are slots; and who does not listen
// keeps one for a moment only.
func TestTurnAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(GateLimits{}, nil, clock.System{}.Now)
		var log logtest.Log
		seen := new(refusals)
		turnAway := func() (client net.Conn) {
			server, client := net.Pipe()
			r := Refusal{Verdict: TooMany, Door: "test", Log: log.Logger(), Observer: seen}
			go g.TurnAway(wire.New(server, time.Hour, time.Hour), r, false, "NO "+TooMany.Text())
			synctest.Wait()
			return client
		}
		hears := func(client net.Conn, want string) {
			t.Helper()
			if got, _ := io.ReadAll(client); string(got) != want {
				t.Errorf("hears %q, want %q", got, want)
			}
		}
		const why = "NO Too many connections, try again later\r\n"
		hears(turnAway(), why)
		for range MaxExplained {
			turnAway()
		}
		hears(turnAway(), "")
		time.Sleep(refusalPatience)
		synctest.Wait() // until they all gave up
		hears(turnAway(), why)
		if n := len(seen.seen); n != MaxExplained+3 || seen.seen[0] != "test connections" {
			t.Errorf("%d refusals counted: %q", n, seen.seen)
		}
		if lines := log.Lines(slog.LevelInfo); len(lines) != 1 {
			t.Errorf("%d lines in the log", len(lines))
		}
	})
}
