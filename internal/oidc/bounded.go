package oidc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"posthouse/internal/clock"
)

// Bounds on what the issuer is asked and may answer.
const (
	maxAnswer = 1 << 20          // bytes
	askAgain  = 30 * time.Second // the same URL no sooner, whatever tokens come
	maxURLs   = 16               // whose answers are remembered
)

// bounded is the way to the issuer: TLS but for loopback, answers that are whole,
// short and 200, and each URL once in a while only. Strangers make us ask, with
// tokens that name keys we do not know.
type bounded struct {
	next  http.RoundTripper
	clock clock.Clock

	mu      sync.Mutex
	answers map[string]*answer
}

// answer is a whole answer, or why there is none.
type answer struct {
	mu     sync.Mutex // held while it is asked for
	at     time.Time
	header http.Header
	body   []byte
	err    error
}

// unansweredError means that the issuer could not be asked.
type unansweredError struct{ cause error }

func (e *unansweredError) Error() string { return e.cause.Error() }
func (e *unansweredError) Unwrap() error { return e.cause }

func newBounded(next http.RoundTripper, clk clock.Clock) *bounded {
	return &bounded{next: next, clock: clk, answers: make(map[string]*answer)}
}

// RoundTrip is http.RoundTripper.
func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if !SafeURL(r.URL) {
		return nil, &unansweredError{fmt.Errorf("%s is not https", r.URL.Redacted())}
	}
	a := b.answer(r.URL.String())
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := b.clock.Now(); a.at.IsZero() || now.Sub(a.at) >= askAgain {
		a.header, a.body, a.err = b.ask(r)
		if r.Context().Err() == nil || a.err == nil { // somebody else's patience is not the issuer's fault
			a.at = now
		}
	}
	if a.err != nil {
		return nil, &unansweredError{a.err}
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)), Request: r,
	}, nil
}

func (b *bounded) answer(at string) *answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, ok := b.answers[at]
	if !ok {
		if len(b.answers) >= maxURLs {
			clear(b.answers)
		}
		a = new(answer)
		b.answers[at] = a
	}
	return a
}

func (b *bounded) ask(r *http.Request) (http.Header, []byte, error) {
	res, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s: %s", r.URL.Redacted(), res.Status)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = errors.New("the answer is too long")
	}
	return res.Header, body, err
}

// SafeURL reports whether what a URL answers can be believed: it is https, or
// http to a loopback address.
func SafeURL(u *url.URL) bool {
	if u.Host == "" || u.User != nil {
		return false
	}
	if u.Scheme != "http" {
		return u.Scheme == "https"
	}
	a, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && a.IsLoopback()
}
