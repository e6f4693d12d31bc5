package courier

import (
	"context"
	"net"
	"testing"

	"posthouse/internal/classify"
)

// A server that says nothing is left at once when that is asked for; one that is
// spoken to is not.
func TestLeave(t *testing.T) {
	p := newFlawed(t, classify.StageGreeting, "")
	deaf, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never speaks
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	c := courierTo(t, p)
	leave, now := context.WithCancel(t.Context())
	toDeaf := true
	c.opt.Dialer = dialFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
		if !toDeaf {
			return p.dial(ctx, network, addr)
		}
		nc, err := net.Dial(network, deaf.Addr().String())
		now() // while the greeting is being waited for, or just before
		return nc, err
	})
	for _, o := range transfer(t, c, &Transfer{Rcpts: rcpts("a@example.net", "b@example.net"), Leave: leave}, hello) {
		if !o.Untried || !o.Temporary() {
			t.Errorf("%+v", o)
		}
	}
	// Nothing is held against the server.
	toDeaf = false
	if o := send(t, c, hello, "a@example.net")[0]; !o.Sent() || o.Untried {
		t.Errorf("%+v", o)
	}
}

// Who has begun to take a message may end it.
func TestLeaveInTheMiddle(t *testing.T) {
	p := newPeer(t, "127.0.0.1:0")
	leave, now := context.WithCancel(t.Context())
	p.rcpt = func(string) string {
		now()
		return "250 2.1.5 yes"
	}
	p.start()
	c := newCourier(t, p)
	if o := transfer(t, c, &Transfer{Rcpts: rcpts("a@example.net"), Leave: leave}, hello)[0]; !o.Sent() {
		t.Errorf("%+v", o)
	}
}
