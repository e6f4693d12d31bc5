package httpd

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"posthouse/internal/admin"
	"posthouse/internal/queue"
)

// Selector is a queue.Selector as a query.
type Selector struct {
	Domain    string `query:"domain"`
	Below     bool   `query:"below" doc:"the domains below it as well"`
	Sender    string `query:"sender"`
	Recipient string `query:"recipient"`
	ID        string `query:"id" doc:"of an entry or of a message"`
	OlderThan string `query:"older_than" doc:"a duration such as 90m"`
	Site      string `query:"site" doc:"as the list of sites names it, or one of its hosts"`
	Source    string `query:"source"`
	State     string `query:"state" enum:"ready,waiting,held"`
	Priority  string `query:"priority" enum:"urgent,high,normal,low,last"`
}

type page struct {
	Selector
	After string `query:"after" doc:"the ID of the last entry of the page before"`
	Limit int    `query:"limit" minimum:"0" maximum:"10000" doc:"0 is 10000"`
}

type reroute struct {
	Selector
	To string `query:"to" required:"true" doc:"smtp://host:port, smtps://host:port or mx"`
}

type suspendOrder struct {
	Domain string `json:"domain,omitempty" doc:"one of domain and site"`
	Site   string `json:"site,omitempty" doc:"as the list of sites names it, or one of its hosts"`
	Why    string `json:"why,omitempty" maxLength:"500" doc:"for the listings"`
}

func (s *suspendOrder) suspension() queue.Suspension {
	return queue.Suspension{Domain: s.Domain, Site: s.Site, Why: s.Why}
}

type changed struct {
	Count int `json:"count"`
}

func (s *Selector) selector() (queue.Selector, error) {
	sel := queue.Selector{
		Domain: s.Domain, Below: s.Below, Sender: s.Sender, Recipient: s.Recipient, ID: s.ID,
		Site: s.Site, Source: s.Source, State: queue.State(s.State), Priority: s.Priority,
	}
	if s.OlderThan != "" {
		d, err := time.ParseDuration(s.OlderThan)
		if err != nil {
			return sel, huma.Error422UnprocessableEntity("older_than: " + err.Error())
		}
		sel.OlderThan = d
	}
	return sel, nil
}

// Resolve refuses selectors that are given with nothing in them: that is a mistake
// and must not choose everything.
func (s *Selector) Resolve(c huma.Context) []error {
	u := c.URL()
	given := u.Query()
	for _, name := range [...]string{"domain", "below", "sender", "recipient", "id", "older_than", "site", "source", "state", "priority"} {
		for _, value := range given[name] {
			if strings.TrimSpace(value) == "" {
				return []error{&huma.ErrorDetail{Location: "query." + name, Message: "is empty", Value: value}}
			}
		}
	}
	if s.Below && s.Domain == "" {
		return []error{&huma.ErrorDetail{Location: "query.below", Message: "below which domain?", Value: true}}
	}
	return nil
}

func registerQueue(api huma.API, a admin.API) {
	get(api, pathQueue, "list-queue", "List a page of queue entries", func(ctx context.Context, in *page) ([]queue.Entry, error) {
		sel, err := in.selector()
		if err != nil {
			return nil, err
		}
		return a.Queue(ctx, sel, queue.Page{After: in.After, Limit: in.Limit})
	})
	get(api, pathQueue+"/entry", "show-queue-entry", "Show one entry", func(ctx context.Context, in *named) (queue.Entry, error) {
		return a.QueueEntry(ctx, in.Name)
	})
	for _, verb := range []admin.QueueVerb{admin.QueueRetry, admin.QueueHold, admin.QueueRelease, admin.QueueDrop} {
		change(api, string(verb), func(ctx context.Context, sel queue.Selector, _ *Selector) (int, error) {
			return a.QueueDo(ctx, verb, sel)
		}, func(in *Selector) *Selector { return in })
	}
	change(api, "reroute", func(ctx context.Context, sel queue.Selector, in *reroute) (int, error) {
		return a.QueueReroute(ctx, sel, in.To)
	}, func(in *reroute) *Selector { return &in.Selector })
	get(api, pathQueue+"/sites", "list-sites", "Show the traffic with each site", func(ctx context.Context, _ *struct{}) (queue.Traffic, error) {
		return a.QueueSites(ctx)
	})
	do(api, http.MethodPost, pathQueue+"/suspend", "suspend-queue", "Stop the mail for a domain or a site", func(ctx context.Context, in *body[suspendOrder]) error {
		return a.QueueSuspend(ctx, in.Body.suspension())
	})
	do(api, http.MethodPost, pathQueue+"/resume", "resume-queue", "Let it go on", func(ctx context.Context, in *body[suspendOrder]) error {
		return a.QueueResume(ctx, in.Body.suspension())
	})
	get(api, pathTraces, "trace", "The story of a message", func(ctx context.Context, in *named) ([]admin.Story, error) {
		return a.Trace(ctx, in.Name)
	})
}

// change registers an operation on the entries that are selected.
func change[I any](api huma.API, verb string, fn func(context.Context, queue.Selector, *I) (int, error), of func(*I) *Selector) {
	op(api, http.MethodPost, pathQueue+"/"+verb, verb+"-queue", "Change queue entries", func(ctx context.Context, in *I) (*body[changed], error) {
		sel, err := of(in).selector()
		if err != nil {
			return nil, err
		}
		n, err := fn(ctx, sel, in)
		return &body[changed]{changed{n}}, err
	})
}
