package imapd

import (
	"testing"
	"testing/synctest"
	"time"

	"posthouse/internal/doortest"
	"posthouse/internal/listen"
)

// Who does not log in does not stay, however busy: silent, dripping, or chatting.
// Who has logged in has half an hour for each command, but a whole one (RFC 9051
// section 5.4).
func TestPatience(t *testing.T) {
	h := newHouse(t)
	login := "a LOGIN alice secret\r\n"
	for name, c := range map[string]struct {
		doortest.Trying
		want   time.Duration
		places int // in all
	}{
		"silent":              {doortest.Trying{Every: time.Minute}, loginTimeout, 0},
		"dripping":            {doortest.Trying{Then: "x", Every: time.Second}, loginTimeout, 0},
		"dripping a literal":  {doortest.Trying{First: "a LOGIN {4000}\r\n", Then: "x", Every: time.Second}, loginTimeout, 0},
		"dripping SASL":       {doortest.Trying{First: "a AUTHENTICATE PLAIN\r\n", Then: "x", Every: 10 * time.Second}, loginPatience, 0},
		"chatting":            {doortest.Trying{Then: "a NOOP\r\n", Every: 30 * time.Second}, loginPatience, 0},
		"logged in, silent":   {doortest.Trying{First: login, Every: time.Minute}, idleTimeout, 0},
		"logged in, dripping": {doortest.Trying{First: login, Then: "x", Every: time.Minute}, idleTimeout, 0},
		"crowded":             {doortest.Trying{Every: time.Second}, crowdedTimeout, 1},
		"crowded, logged in":  {doortest.Trying{First: login, Every: time.Minute}, idleTimeout, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := New(Config{AllowPlaintext: true, Limits: Limits{Gate: listen.GateLimits{Total: c.places}}}, people{h.store})
				if took := c.Last(srv.start); took < c.want || took > c.want+c.Every {
					t.Errorf("hung up after %s, want %s", took, c.want)
				}
				must(t, srv.Shutdown(t.Context()))
			})
		})
	}
}
