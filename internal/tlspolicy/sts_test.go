package tlspolicy_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"posthouse/internal/clock"
	"posthouse/internal/fetch"
	"posthouse/internal/kv/pebble"
	"posthouse/internal/mailauth/mtasts"
	"posthouse/internal/nettest"
	"posthouse/internal/tlspolicy"
)

// web is the policy server of example.net, with the DNS that leads to it.
type web struct {
	t     *testing.T
	ca    *nettest.CA
	dns   *nettest.DNS
	clock *clock.Fake
	db    *pebble.Store
	dir   string
	port  uint16
	srv   *httptest.Server

	mu     sync.Mutex
	body   string
	kind   string
	status int
	gets   int
	gate   chan struct{} // answers wait for it when it is not nil
}

const policyText = "version: STSv1\r\nmode: enforce\r\nmx: mx.example.net\r\nmax_age: 604800\r\n"

func newWeb(t *testing.T, cert func(*nettest.CA) tls.Certificate) *web {
	w := &web{
		t: t, ca: nettest.NewCA(t, "root"), clock: clock.NewFake(time.Now()), dir: t.TempDir(),
		body: policyText, kind: "text/plain; charset=utf-8", status: http.StatusOK,
		dns: nettest.NewDNS(nettest.Records{
			A:   map[string][]string{"mta-sts.example.net": {"127.0.0.1"}},
			TXT: map[string][]string{"_mta-sts.example.net": {"v=STSv1; id=1;"}},
		}),
	}
	c := w.ca.Issue(t, nettest.Leaf{Names: []string{"mta-sts.example.net"}})
	if cert != nil {
		c = cert(w.ca)
	}
	w.srv = httptest.NewUnstartedServer(http.HandlerFunc(w.serve))
	w.srv.TLS = &tls.Config{Certificates: []tls.Certificate{c}}
	w.srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	w.srv.StartTLS()
	t.Cleanup(w.srv.Close)
	_, port, _ := net.SplitHostPort(w.srv.Listener.Addr().String())
	n, _ := strconv.Atoi(port)
	w.port = uint16(n)
	w.open()
	t.Cleanup(func() { w.db.Close() })
	return w
}

func (w *web) open() {
	db, err := pebble.Open(w.dir, pebble.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.db = db
}

func (w *web) serve(rw http.ResponseWriter, r *http.Request) {
	if w.gate != nil {
		<-w.gate
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gets++
	if r.Host != "mta-sts.example.net" || r.URL.Path != "/.well-known/mta-sts.txt" || r.Method != http.MethodGet {
		http.NotFound(rw, r)
		return
	}
	rw.Header().Set("Content-Type", w.kind)
	if w.status/100 == 3 {
		rw.Header().Set("Location", "https://mta-sts.example.net/.well-known/mta-sts.txt")
	}
	rw.WriteHeader(w.status)
	io.WriteString(rw, w.body)
}

func (w *web) change(fn func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fn()
}

func (w *web) id(id string) {
	w.dns.Change(func(r *nettest.Records) { r.TXT["_mta-sts.example.net"] = []string{"v=STSv1; id=" + id + ";"} })
}

// cache is a cache after a restart.
func (w *web) cache() *tlspolicy.STSCache {
	return w.cacheWith(0)
}

func (w *web) cacheWith(patience time.Duration) *tlspolicy.STSCache {
	c := tlspolicy.NewSTSCache(tlspolicy.STSOptions{
		DB: w.db, Resolver: w.dns, Clock: w.clock, Log: slog.New(slog.DiscardHandler), Patience: patience,
		Client: fetch.NewClient(fetch.Options{Resolver: w.dns, Roots: w.ca.Pool(), Port: w.port, Timeout: time.Hour}),
	})
	w.t.Cleanup(c.Close)
	return c
}

func (w *web) want(c *tlspolicy.STSCache, what string, mode mtasts.Mode, problem tlspolicy.ResultType, gets int) {
	w.t.Helper()
	p, why := c.Policy(context.Background(), "example.net")
	if (p == nil) != (mode == "") || p != nil && p.Mode != mode {
		w.t.Errorf("%s: policy %+v, want %q", what, p, mode)
	}
	if (why == nil) != (problem == "") || why != nil && why.Type != problem {
		w.t.Errorf("%s: problem %+v, want %q", what, why, problem)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gets != gets {
		w.t.Errorf("%s: %d requests, want %d", what, w.gets, gets)
	}
}

func TestFetch(t *testing.T) {
	past := time.Now().Add(-time.Minute)
	names := []string{"mta-sts.example.net"}
	for name, c := range map[string]struct {
		cert func(*nettest.CA) tls.Certificate
		set  func(*web)
		mode mtasts.Mode
		want tlspolicy.ResultType
		gets int
	}{
		"good":               {nil, nil, mtasts.Enforce, "", 1},
		"testing":            {nil, func(w *web) { w.body = strings.Replace(policyText, "enforce", "testing", 1) }, mtasts.Testing, "", 1},
		"none":               {nil, func(w *web) { w.body = "version: STSv1\nmode: none\nmax_age: 86400\n" }, mtasts.None, "", 1},
		"no record":          {nil, func(w *web) { w.dns.Change(func(r *nettest.Records) { clear(r.TXT) }) }, "", "", 0},
		"no answer":          {nil, func(w *web) { w.dns.Change(func(r *nettest.Records) { r.Temp["_mta-sts.example.net"] = true }) }, "", "", 0},
		"bad record":         {nil, func(w *web) { w.id("a-b") }, "", tlspolicy.STSInvalid, 0},
		"redirect":           {nil, func(w *web) { w.status = http.StatusMovedPermanently }, "", tlspolicy.STSFetchError, 1},
		"not found":          {nil, func(w *web) { w.status = http.StatusNotFound }, "", tlspolicy.STSFetchError, 1},
		"type":               {nil, func(w *web) { w.kind = "text/html" }, "", tlspolicy.STSFetchError, 1},
		"not a policy":       {nil, func(w *web) { w.body = "hello" }, "", tlspolicy.STSInvalid, 1},
		"64 KB":              {nil, func(w *web) { w.body = policyText + strings.Repeat("x: y\n", 14000) }, "", tlspolicy.STSInvalid, 1},
		"no such host":       {nil, func(w *web) { w.dns.Change(func(r *nettest.Records) { clear(r.A) }) }, "", tlspolicy.STSFetchError, 0},
		"self-signed":        {func(*nettest.CA) tls.Certificate { return nettest.SelfSigned(t, nettest.Leaf{Names: names}) }, nil, "", tlspolicy.STSWebPKIInvalid, 0},
		"certificate's name": {func(ca *nettest.CA) tls.Certificate { return ca.Issue(t, nettest.Leaf{Names: []string{"example.net"}}) }, nil, "", tlspolicy.STSWebPKIInvalid, 0},
		"certificate's date": {func(ca *nettest.CA) tls.Certificate { return ca.Issue(t, nettest.Leaf{Names: names, NotAfter: past}) }, nil, "", tlspolicy.STSWebPKIInvalid, 0},
		"certificate, wildcard": {func(ca *nettest.CA) tls.Certificate {
			return ca.Issue(t, nettest.Leaf{Names: []string{"*.example.net"}})
		}, nil, mtasts.Enforce, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWeb(t, c.cert)
			if c.set != nil {
				c.set(w)
			}
			w.want(w.cache(), name, c.mode, c.want, c.gets)
		})
	}
}

// TestCache follows one policy through its life.
func TestCache(t *testing.T) {
	w := newWeb(t, nil)
	c := w.cache()
	w.want(c, "first", mtasts.Enforce, "", 1)
	w.want(c, "again", mtasts.Enforce, "", 1)
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}
	w.open()
	c = w.cache()
	w.want(c, "after a restart", mtasts.Enforce, "", 1)

	w.change(func() { w.body = strings.Replace(policyText, "enforce", "testing", 1) })
	w.want(c, "the id is the same", mtasts.Enforce, "", 1)
	w.id("2")
	w.want(c, "the id changes", mtasts.Testing, "", 2)

	w.change(func() { w.status = http.StatusInternalServerError })
	w.id("3")
	w.want(c, "the new policy is not there", mtasts.Testing, tlspolicy.STSFetchError, 3)
	w.want(c, "and not asked for at once", mtasts.Testing, tlspolicy.STSFetchError, 3)
	w.clock.Advance(16 * time.Minute)
	w.want(c, "but later", mtasts.Testing, tlspolicy.STSFetchError, 4)

	w.dns.Change(func(r *nettest.Records) { clear(r.TXT) })
	w.want(c, "the record is gone, the policy holds", mtasts.Testing, "", 4)
	w.dns.Change(func(r *nettest.Records) { r.Temp["_mta-sts.example.net"] = true })
	w.want(c, "no answer, the policy holds", mtasts.Testing, "", 4)
	w.clock.Advance(7 * 24 * time.Hour)
	w.want(c, "until it expires", "", "", 4)
}

func TestRefresh(t *testing.T) {
	w := newWeb(t, nil)
	c := w.cache()
	refresh := func() {
		t.Helper()
		if err := c.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.want(c, "first", mtasts.Enforce, "", 1)
	refresh()
	w.want(c, "young", mtasts.Enforce, "", 1)
	w.clock.Advance(25 * time.Hour)
	w.change(func() { w.status = http.StatusInternalServerError })
	refresh()
	w.want(c, "a refresh that fails changes nothing", mtasts.Enforce, "", 2)
	w.change(func() { w.status, w.body = http.StatusOK, strings.Replace(policyText, "enforce", "testing", 1) })
	w.clock.Advance(time.Hour)
	refresh()
	w.want(c, "a day old", mtasts.Testing, "", 3)
	// A week is max_age: without the refresh it would have expired.
	w.clock.Advance(6*24*time.Hour + 12*time.Hour)
	w.want(c, "kept", mtasts.Testing, "", 3)
	w.clock.Advance(24 * time.Hour)
	w.dns.Change(func(r *nettest.Records) { clear(r.TXT) })
	refresh()
	if list, err := c.Known(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("after it expired: %+v, %v", list, err)
	}
}

// TestSlowServer does not wait long for a policy, and has it when it came.
func TestSlowServer(t *testing.T) {
	w := newWeb(t, nil)
	w.gate = make(chan struct{})
	c := w.cacheWith(-1)
	for range 3 {
		w.want(c, "meanwhile", "", tlspolicy.STSFetchError, 0)
	}
	close(w.gate)
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		if p, _ := c.Policy(t.Context(), "example.net"); p != nil {
			break
		}
	}
	w.want(c, "afterwards", mtasts.Enforce, "", 1)
}

// TestClose ends what is being fetched.
func TestClose(t *testing.T) {
	w := newWeb(t, nil)
	w.gate = make(chan struct{})
	defer close(w.gate)
	c := w.cacheWith(-1)
	w.want(c, "meanwhile", "", tlspolicy.STSFetchError, 0)
	c.Close()
}
