package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"posthouse/internal/clock"
)

func newManager(t *testing.T, opt Options) *Manager {
	t.Helper()
	m, err := New(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// serveTLS answers handshakes until the test is over.
func serveTLS(t *testing.T, cfg *tls.Config) net.Listener {
	l, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				_ = c.(*tls.Conn).Handshake()
				c.Close()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return l
}

// handshake connects and returns the certificate that was shown.
func handshake(t *testing.T, l net.Listener, cfg *tls.Config) (*x509.Certificate, error) {
	t.Helper()
	c, err := tls.Dial("tcp", l.Addr().String(), cfg)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0], nil
}

func mustHandshake(t *testing.T, l net.Listener, name string) *x509.Certificate {
	t.Helper()
	leaf, err := handshake(t, l, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func TestSelfSigned(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	c := clock.NewFake(time.Now())
	opt := Options{Hostname: "mx.example.test", Dir: dir, Clock: c}
	m := newManager(t, opt)
	l := serveTLS(t, m.TLS())
	leaf := mustHandshake(t, l, "mx.example.test")
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	for _, name := range []string{"mx.example.test", "localhost", "127.0.0.1", "::1"} {
		if _, err := handshake(t, l, &tls.Config{ServerName: name, RootCAs: roots}); err != nil {
			t.Errorf("as %s: %v", name, err)
		}
	}
	if _, err := handshake(t, l, &tls.Config{ServerName: "localhost", RootCAs: roots, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 was spoken")
	}
	info, err := os.Stat(filepath.Join(dir, selfSignedFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	again := newManager(t, opt)
	if l := serveTLS(t, again.TLS()); !mustHandshake(t, l, "").Equal(leaf) {
		t.Error("another certificate after a restart")
	}
	c.Advance(selfSignedLife - selfSignedRenew + time.Hour)
	if mustHandshake(t, l, "").Equal(leaf) {
		t.Error("not renewed in time")
	}
	opt.Hostname = "other.example.test"
	if l := serveTLS(t, newManager(t, opt).TLS()); mustHandshake(t, l, "").VerifyHostname("other.example.test") != nil {
		t.Error("still for the old name")
	}
}

// copyCert makes a certificate and puts it into the files cert.pem and key.pem.
func copyCert(t *testing.T, dir, name string) *x509.Certificate {
	t.Helper()
	made := t.TempDir()
	m := newManager(t, Options{Hostname: name, Dir: made})
	text, err := os.ReadFile(filepath.Join(made, selfSignedFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"key.pem", "cert.pem"} {
		if err := os.WriteFile(filepath.Join(dir, f), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return m.source.(*selfSigned).cert.Leaf
}

func TestFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	c := clock.NewFake(time.Now())
	opt := Options{Mode: Files, Hostname: "mx.example.test", Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"),
		Clock: c, Log: slog.New(slog.NewTextHandler(&log, nil))}
	if _, err := New(t.Context(), opt); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "cert.pem") {
		t.Errorf("files that are not there: %v", err)
	}
	first := copyCert(t, dir, "mx.example.test")
	m := newManager(t, opt)
	l := serveTLS(t, m.TLS())
	if !mustHandshake(t, l, "").Equal(first) {
		t.Error("not the certificate of the file")
	}
	second := copyCert(t, dir, "mx.example.test")
	later := time.Now().Add(time.Minute) // the same second is the same file to some file systems
	if err := os.Chtimes(opt.Cert, later, later); err != nil {
		t.Fatal(err)
	}
	if !mustHandshake(t, l, "").Equal(first) {
		t.Error("looked at the files too often")
	}
	c.Advance(lookEvery)
	if !mustHandshake(t, l, "").Equal(second) {
		t.Error("the new certificate is not shown")
	}
	if err := os.WriteFile(opt.Cert, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Advance(lookEvery)
	if !mustHandshake(t, l, "").Equal(second) {
		t.Error("a broken file replaced the certificate")
	}
	if !strings.Contains(log.String(), "the old one stays") {
		t.Errorf("nothing said about it: %s", &log)
	}
	if err := m.Reload(); err == nil {
		t.Error("reload of a broken file")
	}
	third := copyCert(t, dir, "mx.example.test")
	if err := m.Reload(); err != nil || !mustHandshake(t, l, "").Equal(third) {
		t.Errorf("reload: %v", err)
	}
}

func TestNoSuchMode(t *testing.T) {
	if _, err := New(t.Context(), Options{Mode: "letsencrypt"}); err == nil {
		t.Error("accepted")
	}
	if _, err := New(t.Context(), Options{Mode: ACME, Dir: t.TempDir()}); err == nil {
		t.Error("terms that nobody accepted")
	}
}

// fetch runs the whole way to a certificate and waits for it.
func fetch(t *testing.T, challenge string) {
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ca := newFakeCA(t, challenge, front.Addr().String())
	opt := Options{
		Mode: ACME, Hostname: "mx.example.test", Dir: t.TempDir(), ACMECA: ca.URL + "/dir", ACMEAgree: true,
		ACMEHTTPPort: portOf(front), ACMETLSPort: portOf(front),
	}
	// The listener must answer before the authority asks, but it is made from
	// the manager: connections wait in its queue meanwhile.
	m := newManager(t, opt)
	if challenge == "http-01" {
		s := &httptest.Server{Listener: front, Config: &http.Server{Handler: m.HTTPChallenge(http.NotFoundHandler())}}
		s.Start()
		t.Cleanup(s.Close)
	} else {
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				c, err := front.Accept()
				if err != nil {
					return
				}
				wg.Go(func() {
					_ = tls.Server(c, m.TLS()).Handshake()
					c.Close()
				})
			}
		})
		t.Cleanup(func() {
			front.Close()
			wg.Wait()
		})
	}
	l := serveTLS(t, m.TLS())
	roots := x509.NewCertPool()
	roots.AddCert(ca.root)
	deadline := time.Now().Add(8 * time.Minute)
	for {
		_, err := handshake(t, l, &tls.Config{ServerName: "mx.example.test", RootCAs: roots, NextProtos: []string{"imap"}})
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			ca.mu.Lock()
			t.Fatalf("no certificate: %v; challenge: %v", err, ca.reason)
		}
		time.Sleep(20 * time.Millisecond) // the library gives no signal
	}
	if _, err := handshake(t, l, &tls.Config{ServerName: "", InsecureSkipVerify: true}); err != nil {
		t.Errorf("without a name: %v", err)
	}
	if leaf := mustHandshake(t, l, "mx.example.test"); !leaf.Equal(m.Leaf()) {
		t.Errorf("Leaf gives another certificate than is shown")
	}
}

func TestACMEOverHTTP(t *testing.T) { fetch(t, "http-01") }

func TestACMEOverTLS(t *testing.T) { fetch(t, "tls-alpn-01") }

// silentCA is an authority that takes connections and does not answer.
func silentCA(t *testing.T) (net.Listener, Options) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, Options{Mode: ACME, Hostname: "mx.example.test", Dir: t.TempDir(), ACMECA: "http://" + l.Addr().String(), ACMEAgree: true}
}

func TestACMEServesBeforeTheCertificateIsThere(t *testing.T) {
	_, opt := silentCA(t)
	m := newManager(t, opt)
	l := serveTLS(t, m.TLS())
	if leaf := mustHandshake(t, l, "mx.example.test"); leaf.VerifyHostname("mx.example.test") != nil {
		t.Error("not for our name")
	}
}

// What is under way when the house closes is given up, and nothing is left of it
// that the next start would have to wait for.
func TestCloseEndsTheWork(t *testing.T) {
	ca, opt := silentCA(t)
	m, err := New(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	asked, err := ca.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer asked.Close()
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	locks, err := os.ReadDir(filepath.Join(opt.Dir, "acme", "locks"))
	if err != nil || len(locks) > 0 {
		t.Errorf("locks %v, %v", locks, err)
	}
	// Nor does anything begin afterwards.
	s := newStorage(t.TempDir())
	if err := errors.Join(s.Lock(t.Context(), "name"), s.Store(t.Context(), "key", nil)); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- s.close() }()
	if err := errors.Join(s.Store(t.Context(), "other", nil), s.Unlock(t.Context(), "name"), <-closed); err != nil {
		t.Error(err)
	}
	if ok, err := s.TryLock(t.Context(), "name"); ok || !errors.Is(err, errStorageClosed) || !errors.Is(s.Store(t.Context(), "key", nil), errStorageClosed) {
		t.Errorf("after the end: %v, %v", ok, err)
	}
}
