package httpd

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"posthouse/internal/admin"
	"posthouse/internal/queue"
)

func query(sel queue.Selector) url.Values {
	q := url.Values{}
	for key, value := range map[string]string{
		"domain": sel.Domain, "sender": sel.Sender, "recipient": sel.Recipient, "id": sel.ID,
		"site": sel.Site, "source": sel.Source, "state": string(sel.State), "priority": sel.Priority,
	} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if sel.Below {
		q.Set("below", "true")
	}
	if sel.OlderThan != 0 {
		q.Set("older_than", sel.OlderThan.String())
	}
	return q
}

// Queue is admin.API.
func (c *Client) Queue(ctx context.Context, sel queue.Selector, page queue.Page) ([]queue.Entry, error) {
	q := query(sel)
	q.Set("after", page.After)
	q.Set("limit", strconv.Itoa(page.Limit))
	return fetch[[]queue.Entry](ctx, c, pathQueue, q)
}

// QueueEntry is admin.API.
func (c *Client) QueueEntry(ctx context.Context, id string) (queue.Entry, error) {
	return fetch[queue.Entry](ctx, c, pathQueue+"/entry", name(id))
}

// QueueDo is admin.API.
func (c *Client) QueueDo(ctx context.Context, verb admin.QueueVerb, sel queue.Selector) (int, error) {
	return c.changed(ctx, string(verb), query(sel))
}

// QueueReroute is admin.API.
func (c *Client) QueueReroute(ctx context.Context, sel queue.Selector, to string) (int, error) {
	q := query(sel)
	q.Set("to", to)
	return c.changed(ctx, "reroute", q)
}

func (c *Client) changed(ctx context.Context, verb string, q url.Values) (int, error) {
	var out changed
	err := c.do(ctx, http.MethodPost, pathQueue+"/"+verb, q, nil, &out)
	return out.Count, err
}

// QueueSites is admin.API.
func (c *Client) QueueSites(ctx context.Context) (queue.Traffic, error) {
	return fetch[queue.Traffic](ctx, c, pathQueue+"/sites", nil)
}

// QueueSuspend is admin.API.
func (c *Client) QueueSuspend(ctx context.Context, s queue.Suspension) error {
	return c.do(ctx, http.MethodPost, pathQueue+"/suspend", nil, suspendOrder{s.Domain, s.Site, s.Why}, nil)
}

// QueueResume is admin.API.
func (c *Client) QueueResume(ctx context.Context, s queue.Suspension) error {
	return c.do(ctx, http.MethodPost, pathQueue+"/resume", nil, suspendOrder{Domain: s.Domain, Site: s.Site}, nil)
}
