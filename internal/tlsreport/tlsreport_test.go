package tlsreport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"posthouse/internal/clock"
	"posthouse/internal/dns"
	"posthouse/internal/fetch"
	"posthouse/internal/kv"
	"posthouse/internal/kv/pebble"
	"posthouse/internal/mailauth/mtasts"
	"posthouse/internal/mailauth/tlsrpt"
	"posthouse/internal/nettest"
	"posthouse/internal/smtp"
	"posthouse/internal/tlspolicy"
)

// office counts and sends for a house, on a day that begins at noon.
type office struct {
	t       *testing.T
	dir     string
	db      *pebble.Store
	clock   *clock.Fake
	dns     *nettest.DNS
	counter *Counter
	sender  *Sender

	mu     sync.Mutex
	mails  []string // texts
	posts  []*tlsrpt.Report
	refuse bool
	status int
}

var noon = time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC)

func newOffice(t *testing.T) *office {
	o := &office{t: t, dir: t.TempDir(), clock: clock.NewFake(noon), status: http.StatusCreated}
	o.dns = nettest.NewDNS(nettest.Records{
		A: map[string][]string{"reports.example": {"127.0.0.1"}},
		TXT: map[string][]string{
			"_smtp._tls.both.example": {"v=TLSRPTv1; rua=mailto:tls@both.example,https://reports.example/in"},
			"_smtp._tls.mail.example": {"v=TLSRPTv1; rua=mailto:tls@mail.example"},
		},
	})
	ca := nettest.NewCA(t, "root")
	srv := httptest.NewUnstartedServer(http.HandlerFunc(o.receive))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, nettest.Leaf{Names: []string{"reports.example"}})}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	_, port, _ := strings.Cut(srv.Listener.Addr().String(), ":")
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	o.open()
	t.Cleanup(func() { o.db.Close() })
	client := fetch.NewClient(fetch.Options{Resolver: o.dns, Roots: ca.Pool(), Port: uint16(n), Timeout: time.Hour})
	o.start(client)
	return o
}

func (o *office) open() {
	db, err := pebble.Open(o.dir, pebble.Options{})
	if err != nil {
		o.t.Fatal(err)
	}
	o.db = db
}

func (o *office) start(client *http.Client) {
	log := slog.New(slog.DiscardHandler)
	o.counter = NewCounter(o.db, o.clock, log)
	o.sender = NewSender(Options{
		DB: o.db, Resolver: o.dns, Client: client, Clock: o.clock, Log: log,
		Hostname: "mx.example.test", Org: "Example", Contact: smtp.Address{Local: "tlsrpt", Domain: "example.test"}, Submit: o.submit,
	})
}

// restart ends the house and begins again with what is on disk.
func (o *office) restart() {
	o.t.Helper()
	if err := o.db.Close(); err != nil {
		o.t.Fatal(err)
	}
	o.open()
	o.start(o.sender.opt.Client)
}

func (o *office) submit(_ context.Context, to smtp.Address, message io.WriterTo) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.refuse {
		return errors.New("the store is full")
	}
	var b bytes.Buffer
	if _, err := message.WriteTo(&b); err != nil {
		return err
	}
	o.mails = append(o.mails, b.String())
	return nil
}

func (o *office) receive(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	report, err := tlsrpt.Parse(r.Body)
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/in" || r.Header.Get("Content-Type") != "application/tlsrpt+gzip" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if o.status/100 == 2 {
		o.posts = append(o.posts, report)
	}
	w.WriteHeader(o.status)
}

// count adds sessions and keeps them.
func (o *office) count(n int, p *tlspolicy.Policy, typ tlspolicy.ResultType) {
	o.t.Helper()
	for range n {
		o.counter.Add(&tlspolicy.Result{Policy: p, Type: typ, Reason: map[bool]string{true: "why <not>"}[typ != ""],
			Local: netip.MustParseAddr("198.51.100.1"), Remote: netip.MustParseAddr("192.0.2.1")})
	}
	if err := o.counter.Flush(o.t.Context()); err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) send() {
	o.t.Helper()
	if err := o.sender.Send(o.t.Context()); err != nil {
		o.t.Fatal(err)
	}
}

// sent gives the numbers of reports by mail and by HTTPS since the last time.
func (o *office) sent() (mails, posts int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	mails, posts = len(o.mails), len(o.posts)
	o.mails, o.posts = nil, nil
	return mails, posts
}

// rows is what is left in the store.
func (o *office) rows() (n int) {
	o.t.Helper()
	prefix := kv.NewKey(kv.TLSResults)
	err := o.db.View(o.t.Context(), func(r kv.Reader) error {
		return r.Scan(prefix, prefix.End(), func(_, _ []byte) bool { n++; return true })
	})
	if err != nil {
		o.t.Fatal(err)
	}
	return n
}

func opportunistic(domain string) *tlspolicy.Policy {
	return &tlspolicy.Policy{Source: tlspolicy.SourceOpportunistic, Level: tlspolicy.May, Domain: domain, Host: "mx." + domain}
}

// countEveryKind counts sessions with a domain under every kind of policy, over a restart,
// and some under nobody's.
func (o *office) countEveryKind(domain string) {
	o.t.Helper()
	sts := &mtasts.Policy{Mode: mtasts.Enforce, MX: []string{"*.mail.example"}, MaxAge: time.Hour}
	dane := &tlspolicy.Policy{Source: tlspolicy.SourceDANE, Level: tlspolicy.DANE, Domain: domain, Host: "mx.mail.example", Base: "mx.mail.example",
		TLSA: []dns.TLSA{{Usage: 3, Selector: 1, Matching: 1, Data: []byte{1, 0xab}}}}
	enforced := &tlspolicy.Policy{Source: tlspolicy.SourceMTASTS, Level: tlspolicy.Verify, Domain: domain, Host: "mx.mail.example", STS: sts}
	unfetched := opportunistic(domain)
	unfetched.Problem = &tlspolicy.Problem{Type: tlspolicy.STSFetchError, Reason: "404"}
	o.count(3, opportunistic(domain), tlspolicy.Success)
	o.count(2, opportunistic(domain), tlspolicy.StartTLSNotSupported)
	o.restart()
	o.count(4, opportunistic(domain), tlspolicy.Success)
	o.count(1, opportunistic(domain), tlspolicy.StartTLSNotSupported)
	o.count(5, dane, tlspolicy.Success)
	o.count(1, dane, tlspolicy.ValidationFailure)
	o.count(6, enforced, tlspolicy.Success)
	o.count(1, enforced, tlspolicy.Expired)
	o.count(2, unfetched, tlspolicy.STSFetchError)
	// Nobody's policy.
	o.count(9, &tlspolicy.Policy{Source: tlspolicy.SourceConfigured, Domain: domain}, tlspolicy.NotTrusted)
	o.count(9, opportunistic("[192.0.2.1]"), tlspolicy.Success)
}

// everyKind is what is to be told of them.
func everyKind(domain string) map[string]tlsrpt.Policy {
	fail := func(typ string, n int64) []tlsrpt.Failure {
		return []tlsrpt.Failure{{Type: typ, SendingIP: "198.51.100.1", ReceivingHost: "mx.mail.example", ReceivingIP: "192.0.2.1", Count: n, Reason: "why ?not?"}}
	}
	return map[string]tlsrpt.Policy{
		"tlsa": {Policy: tlsrpt.Terms{Type: "tlsa", Domain: "mx.mail.example", String: tlsrpt.Strings{"3 1 1 01ab"}},
			Summary: tlsrpt.Summary{Success: 5, Failure: 1}, Failures: fail("validation-failure", 1)},
		"sts": {Policy: tlsrpt.Terms{Type: "sts", Domain: domain, MXHost: tlsrpt.Strings{"*.mail.example"},
			String: tlsrpt.Strings{"version: STSv1", "mode: enforce", "mx: *.mail.example", "max_age: 3600"}},
			Summary: tlsrpt.Summary{Success: 6, Failure: 1}, Failures: fail("certificate-expired", 1)},
		"sts unknown": {Policy: tlsrpt.Terms{Type: "sts", Domain: domain},
			Summary: tlsrpt.Summary{Failure: 2}, Failures: fail("sts-policy-fetch-error", 2)},
		"no-policy-found": {Policy: tlsrpt.Terms{Type: "no-policy-found", Domain: domain},
			Summary: tlsrpt.Summary{Success: 7, Failure: 3}, Failures: fail("starttls-not-supported", 3)},
	}
}

// TestReport counts sessions under every kind of policy, over a restart, and
// reads the report.
func TestReport(t *testing.T) {
	o := newOffice(t)
	o.countEveryKind("mail.example")
	o.send()
	if mails, _ := o.sent(); mails != 0 {
		t.Fatal("before the day is over")
	}
	o.clock.Advance(12*time.Hour + 4*time.Hour + 10*time.Minute)
	o.send()
	o.mu.Lock()
	text := strings.Join(o.mails, "")
	o.mu.Unlock()
	if mails, posts := o.sent(); mails != 1 || posts != 0 {
		t.Fatalf("%d by mail, %d by HTTPS", mails, posts)
	}
	// The submitter is the domain of the contact (RFC 8460 section 5.3).
	for _, want := range []string{"\r\nTLS-Report-Submitter: example.test\r\n", "\r\n Submitter: example.test\r\n", `"example.test!mail.example!`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	r, err := tlsrpt.ParseMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if r.ID != "20260401.mail.example@mx.example.test" || r.Contact != "tlsrpt@example.test" || r.Organization != "Example" ||
		!r.Range.Start.Equal(noon.Add(-12*time.Hour)) || !r.Range.End.Equal(noon.Add(12*time.Hour-time.Second)) {
		t.Errorf("%+v", r)
	}
	want := everyKind("mail.example")
	for _, p := range r.Policies {
		name := p.Policy.Type
		if name == "sts" && p.Policy.String == nil {
			name = "sts unknown"
		}
		if !reflect.DeepEqual(p, want[name]) {
			t.Errorf("%s: %+v, want %+v", name, p, want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 || o.rows() != 0 {
		t.Errorf("missing %+v; %d rows left", want, o.rows())
	}
	o.send()
	if mails, _ := o.sent(); mails != 0 {
		t.Error("sent twice")
	}
}

// TestSomePlacesFail sends to each place once, and again to those that failed.
func TestSomePlacesFail(t *testing.T) {
	o := newOffice(t)
	o.count(1, opportunistic("both.example"), tlspolicy.Success)
	o.count(1, opportunistic("silent.example"), tlspolicy.Success)
	o.status = http.StatusServiceUnavailable
	o.clock.Advance(17 * time.Hour)
	o.send()
	if mails, posts := o.sent(); mails != 1 || posts != 0 {
		t.Errorf("%d by mail, %d by HTTPS", mails, posts)
	}
	o.send() // at once: too early
	o.clock.Advance(11 * time.Minute)
	o.mu.Lock()
	o.status = http.StatusOK
	o.mu.Unlock()
	o.restart()
	o.send()
	if mails, posts := o.sent(); mails != 0 || posts != 1 {
		t.Errorf("again: %d by mail, %d by HTTPS", mails, posts)
	}
	if n := o.rows(); n != 0 { // also of the domain that asks for nothing
		t.Errorf("%d rows left", n)
	}
}

func TestGivenUpAfterADay(t *testing.T) {
	o := newOffice(t)
	o.count(1, opportunistic("mail.example"), tlspolicy.Success)
	o.count(1, opportunistic("mute.example"), tlspolicy.Success)
	o.dns.Change(func(r *nettest.Records) { r.Temp["_smtp._tls.mute.example"] = true })
	o.refuse = true
	o.clock.Advance(17 * time.Hour)
	tries := 0
	for ; o.rows() > 0 && tries < 1000; tries++ {
		o.send()
		o.clock.Advance(5 * time.Minute)
	}
	if took := o.clock.Now().Sub(noon.Add(12 * time.Hour)); took < 24*time.Hour || took > 40*time.Hour {
		t.Errorf("given up after %v", took)
	}
	if mails, posts := o.sent(); mails+posts != 0 {
		t.Errorf("%d by mail, %d by HTTPS", mails, posts)
	}
}

// TestBounds keeps what strangers can make us remember small.
func TestBounds(t *testing.T) {
	o := newOffice(t)
	p := opportunistic("mail.example")
	p.Host = strings.Repeat("x", 60) + ".example"
	for i := range 1000 {
		o.counter.Add(&tlspolicy.Result{Policy: p, Type: tlspolicy.ValidationFailure, Reason: strings.Repeat("\x00<", i)})
	}
	many := opportunistic("many.example")
	many.Source, many.STS = tlspolicy.SourceMTASTS, &mtasts.Policy{Mode: mtasts.Enforce}
	for i := range 1000 {
		many.STS.MX = append(many.STS.MX, strings.Repeat("y", 50)+strconv.Itoa(i)+".example")
	}
	o.count(1, many, tlspolicy.Success)
	for i := range 3 * maxPending {
		o.counter.Add(&tlspolicy.Result{Policy: opportunistic("d" + strconv.Itoa(i) + ".example")})
	}
	if n := len(o.counter.pending); n != maxPending {
		t.Errorf("%d rows in memory", n)
	}
	if err := o.counter.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	prefix := kv.NewKey(kv.TLSResults)
	err := o.db.View(t.Context(), func(r kv.Reader) error {
		return r.Scan(prefix, prefix.End(), func(_, value []byte) bool {
			if len(value) > kv.MaxValue {
				t.Errorf("a row of %d bytes", len(value))
			}
			return true
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRun keeps counts by itself, and the last ones at the end.
func TestRun(t *testing.T) {
	o := newOffice(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		o.counter.Run(ctx)
	}()
	o.counter.Add(&tlspolicy.Result{Policy: opportunistic("mail.example")})
	cancel()
	<-done
	if n := o.rows(); n != 1 {
		t.Errorf("%d rows", n)
	}
}
