package httpd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"posthouse/internal/admin"
)

// Client is the admin API of a running server, over its Unix socket.
type Client struct{ http *http.Client }

var _ admin.API = (*Client)(nil)

// maxAnswer bounds what a Client reads, in bytes.
const maxAnswer = 1 << 30

// Dial makes a Client for the socket at path. It connects when it is used.
func Dial(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
	}
	return &Client{&http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: writeTimeout}}
}

// remoteError is a problem that the server reported; it keeps its meaning.
type remoteError struct {
	text string
	kind error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.kind }

func (c *Client) do(ctx context.Context, method, path string, query url.Values, in, out any) error {
	var payload io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://posthouse"+path+"?"+query.Encode(), payload)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer := io.LimitReader(res.Body, maxAnswer)
	if res.StatusCode >= 300 {
		return readProblem(res.StatusCode, answer)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(answer).Decode(out)
}

// readProblem reads RFC 9457 problem details.
func readProblem(code int, r io.Reader) error {
	var p struct {
		Title  string `json:"title"`
		Detail string `json:"detail"`
		Errors []struct {
			Message  string `json:"message"`
			Location string `json:"location"`
		} `json:"errors"`
	}
	if json.NewDecoder(r).Decode(&p) != nil || p.Detail == "" {
		p.Detail = http.StatusText(code)
	}
	e := &remoteError{text: p.Detail}
	for _, d := range p.Errors {
		e.text += fmt.Sprintf("; %s: %s", d.Location, d.Message)
	}
	switch code {
	case http.StatusNotFound:
		e.kind = admin.ErrNotFound
	case http.StatusConflict:
		e.kind = admin.ErrConflict
	case http.StatusUnprocessableEntity:
		e.kind = admin.ErrInvalid
	}
	return e
}

func name(s string) url.Values { return url.Values{"name": {s}} }

// fetch gets a T.
func fetch[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	var out T
	err := c.do(ctx, http.MethodGet, path, query, nil, &out)
	return out, err
}

// Ping asks whether a server answers.
func (c *Client) Ping(ctx context.Context) error {
	return c.do(ctx, http.MethodGet, "/healthz", nil, nil, nil)
}

// AddDomain is admin.API.
func (c *Client) AddDomain(ctx context.Context, domain string) (d admin.Domain, err error) {
	err = c.do(ctx, http.MethodPost, pathDomains, nil, newDomain{domain}, &d)
	return d, err
}

// Domains is admin.API.
func (c *Client) Domains(ctx context.Context) ([]admin.Domain, error) {
	return fetch[[]admin.Domain](ctx, c, pathDomains, nil)
}

// RemoveDomain is admin.API.
func (c *Client) RemoveDomain(ctx context.Context, domain string) error {
	return c.do(ctx, http.MethodDelete, pathDomains, name(domain), nil, nil)
}

// DomainDNS is admin.API.
func (c *Client) DomainDNS(ctx context.Context, domain string) ([]admin.Record, error) {
	return fetch[[]admin.Record](ctx, c, pathDomains+"/dns", name(domain))
}

// CheckDomain is admin.API.
func (c *Client) CheckDomain(ctx context.Context, domain string) ([]admin.Check, error) {
	return fetch[[]admin.Check](ctx, c, pathDomains+"/check", name(domain))
}

// AddAccount is admin.API.
func (c *Client) AddAccount(ctx context.Context, address, password string) (n admin.NewAccount, err error) {
	err = c.do(ctx, http.MethodPost, pathAccounts, nil, credentials{address, password}, &n)
	return n, err
}

// Accounts is admin.API.
func (c *Client) Accounts(ctx context.Context) ([]admin.Account, error) {
	return fetch[[]admin.Account](ctx, c, pathAccounts, nil)
}

// RemoveAccount is admin.API.
func (c *Client) RemoveAccount(ctx context.Context, address string) error {
	return c.do(ctx, http.MethodDelete, pathAccounts, name(address), nil, nil)
}

// SetPassword is admin.API.
func (c *Client) SetPassword(ctx context.Context, address, password string) (n admin.NewAccount, err error) {
	err = c.do(ctx, http.MethodPut, pathPasswords, nil, credentials{address, password}, &n)
	return n, err
}

// SetQuota is admin.API.
func (c *Client) SetQuota(ctx context.Context, address string, bytes int64) error {
	return c.do(ctx, http.MethodPut, pathQuotas, nil, quota{address, bytes}, nil)
}

// SetOwnerSince is admin.API.
func (c *Client) SetOwnerSince(ctx context.Context, address string, since time.Time) error {
	return c.do(ctx, http.MethodPut, pathOwners, nil, owner{address, since}, nil)
}

// SetAlias is admin.API.
func (c *Client) SetAlias(ctx context.Context, a admin.Alias) (set admin.Alias, err error) {
	err = c.do(ctx, http.MethodPut, pathAliases, nil, a, &set)
	return set, err
}

// Aliases is admin.API.
func (c *Client) Aliases(ctx context.Context) ([]admin.Alias, error) {
	return fetch[[]admin.Alias](ctx, c, pathAliases, nil)
}

// RemoveAlias is admin.API.
func (c *Client) RemoveAlias(ctx context.Context, address string) error {
	return c.do(ctx, http.MethodDelete, pathAliases, name(address), nil, nil)
}

// Trace is admin.API.
func (c *Client) Trace(ctx context.Context, id string) ([]admin.Story, error) {
	return fetch[[]admin.Story](ctx, c, pathTraces, name(id))
}
