package queue

import (
	"testing"
	"testing/synctest"

	"posthouse/internal/courier"
	"posthouse/internal/envelope"
	"posthouse/internal/journal"
)

// TestTLSDemands hands a message's demands on to the courier, and writes what
// came of them into its story.
func TestTLSDemands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.world.answer = func(string, int) courier.Outcome {
			o := sent()
			o.TLS, o.TLSPolicy, o.Verified = "TLS1.3 TLS_AES_128_GCM_SHA256", "dane", true
			return o
		}
		h.start()
		for to, set := range map[string]func(*envelope.Envelope){
			"required@one.net": func(e *envelope.Envelope) { e.RequireTLS = true },
			"optional@two.net": func(e *envelope.Envelope) { e.TLSOptional = true },
		} {
			m := h.letterTo(to)
			set(m.Envelope)
			h.enqueue(m)
		}
		synctest.Wait()
		for _, x := range h.world.attempts() {
			if want := [2]bool{x.rcpts[0] == "required@one.net", x.rcpts[0] == "optional@two.net"}; x.tls != want {
				t.Errorf("%s: %v, want %v", x.rcpts[0], x.tls, want)
			}
		}
		for _, e := range h.events {
			if e.Kind == journal.Relayed && (e.Detail["tls_policy"] != "dane" || e.Detail["tls_verified"] != "true") {
				t.Errorf("detail %v", e.Detail)
			}
		}
		h.empty()
		h.stop()
	})
}
