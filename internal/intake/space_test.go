package intake

import (
	"strings"
	"testing"
	"time"

	"posthouse/internal/clock"
	"posthouse/internal/envelope"
	"posthouse/internal/faultfs"
	"posthouse/internal/space"
	"posthouse/internal/status"
)

// TestMailAsksForRoom refuses at MAIL what there is no room for, and what the house
// writes itself only when there is no room for that.
func TestMailAsksForRoom(t *testing.T) {
	disk := new(faultfs.Injector)
	h := newHouseOn(t, func(clk clock.Clock) *space.Reserve {
		return space.New(space.Options{FS: disk, Clock: clk, Dirs: []string{t.TempDir()}, Reserve: 1 << 20})
	}, "alice@example.test")
	mail := func(size int64) string {
		err := h.in.Mail(t.Context(), &envelope.Envelope{From: addr("bob@example.net"), Size: size})
		if err == nil {
			return "ok"
		}
		s := status.Of(err)
		if strings.Contains(s.Text, "blob") || strings.Contains(s.Text, "bytes") {
			t.Errorf("a stranger is told %q", s.Text)
		}
		return s.Enhanced.String()
	}
	own := func() error {
		return h.in.Post(t.Context(), addr("alice@example.test"), addr("alice@example.test"), strings.NewReader("Subject: x\r\n\r\nx\r\n"))
	}
	for _, c := range []struct {
		room, size int64
		want       string
		own        bool
	}{
		{2 << 20, 0, "ok", true},
		{2 << 20, 1 << 20, "ok", true},
		{2 << 20, 1<<20 + 1, "4.3.1", true},
		{1<<20 - 1, 0, "4.3.1", true},
		{1<<18 - 1, 0, "4.3.1", false},
		{2 << 20, 100, "ok", true},
	} {
		disk.Room(c.room)
		h.clock.Advance(time.Second)
		if got := mail(c.size); got != c.want {
			t.Errorf("%d bytes with room for %d: %s", c.size, c.room, got)
		}
		if err := own(); (err == nil) != c.own || err != nil && status.Of(err).Code != 452 {
			t.Errorf("a message of the house with room for %d: %v", c.room, err)
		}
	}
}
