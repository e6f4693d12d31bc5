package courier

import (
	"log/slog"
	"strings"
	"testing"

	"posthouse/internal/blob"
	"posthouse/internal/logtest"
)

// rotten is a body that finds at its end that it is damaged.
type rotten struct {
	*strings.Reader
	found bool
}

func (r *rotten) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.Reader.ReadAt(p, off)
	r.found = r.found || off+int64(n) == r.Size() && n > 2 // not who looks how it ends
	return n, err
}

func (r *rotten) Check() error {
	if r.found {
		return blob.ErrCorrupt
	}
	return nil
}

// TestDamagedBody sends no message whole that is not as it was accepted: neither
// to the end of DATA nor to that of BDAT, and not over the next host either.
func TestDamagedBody(t *testing.T) {
	for _, ext := range []string{"PIPELINING", "CHUNKING"} {
		for _, size := range []int{0, 3 * blockSize} {
			p := newPeer(t, "127.0.0.1:0", ext).start()
			var log logtest.Log
			c := newCourier(t, p, func(o *Options) { o.Log = log.Logger() })
			route, err := c.Resolve(t.Context(), "example.net")
			if err != nil {
				t.Fatal(err)
			}
			body := &rotten{Reader: strings.NewReader(hello + strings.Repeat("a", size) + "\r\n")}
			x := &Transfer{Rcpts: rcpts("a@example.net"), Route: route, Body: body, Size: body.Size(), ID: "0plmko8h2s3a9d1f", BareLines: ext == "CHUNKING"}
			for range 2 { // the queue tries it again
				o := c.Deliver(t.Context(), x)[0]
				if o.Code != 451 || o.Sent() || o.Uncertain || !strings.Contains(o.Text, "damaged in the store") {
					t.Errorf("%s, %d bytes: %+v", ext, body.Size(), o)
				}
			}
			p.stop()
			if got := p.received(); len(got) > 0 {
				t.Errorf("%s, %d bytes: %d were taken", ext, body.Size(), len(got))
			}
			lines := log.Lines(slog.LevelError)
			if len(lines) != 2 || lines[0].Attrs["msg_id"] != "0plmko8h2s3a9d1f" {
				t.Errorf("%s, %d bytes: logged %v", ext, body.Size(), lines)
			}
		}
	}
}
