package admin

import (
	"context"
	"fmt"

	"posthouse/internal/courier"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
	"posthouse/internal/tlspolicy"
)

// Router finds the way of mail.
type Router interface {
	Resolve(ctx context.Context, domain string) (*courier.Route, error)
}

// Route is the way to a domain as the house would take it now.
type Route struct {
	Domain string      `json:"domain"`
	Site   string      `json:"site,omitempty" doc:"what shares limits and connections"`
	Local  bool        `json:"local,omitempty" doc:"the domain lives here"`
	Hosts  []RouteHost `json:"hosts"`
	MTASTS string      `json:"mta_sts,omitempty" doc:"the mode of the domain's MTA-STS policy"`
	Note   string      `json:"note,omitempty" doc:"what went wrong in looking for policies"`
	Error  string      `json:"error,omitempty" doc:"why there is no way"`
}

// RouteHost is a host with what it must show.
type RouteHost struct {
	Name       string   `json:"name"`
	Preference uint16   `json:"preference"`
	Addresses  []string `json:"addresses"`
	Policy     string   `json:"tls_policy" doc:"what asks for TLS"`
	Level      string   `json:"tls_level" doc:"how much it asks"`
	Names      []string `json:"names,omitempty" doc:"that the certificate may have"`
	TLSA       []string `json:"tlsa,omitempty" doc:"usable TLSA records"`
	Certain    bool     `json:"certain" doc:"the host's name is certainly the domain's: messages that require TLS may go there"`
	Refused    string   `json:"refused,omitempty" doc:"why the host gets no mail now"`
}

// Route finds the way to a domain, as the queue would.
func (h *House) Route(ctx context.Context, domain string) (Route, error) {
	if !smtp.ValidDomain(domain) {
		return Route{}, fmt.Errorf("%q is not a domain%w", domain, quiet{ErrInvalid})
	}
	out := Route{Domain: smtp.CanonicalDomain(domain), Hosts: []RouteHost{}}
	local, err := h.Directory.IsLocal(ctx, domain)
	if out.Local = local; local || err != nil {
		return out, err
	}
	r, err := h.Router.Resolve(ctx, domain)
	if err != nil {
		s := status.Of(err)
		out.Error = fmt.Sprintf("%d %s %s", s.Code, s.Enhanced, s.Text)
		return out, nil
	}
	out.Site = r.Site
	for i := range r.Hosts {
		out.Hosts = append(out.Hosts, routeHost(&r.Hosts[i]))
		p := &r.Hosts[i].TLS
		if p.STS != nil {
			out.MTASTS = string(p.STS.Mode)
		}
		if p.Problem != nil {
			out.Note = fmt.Sprintf("%s: %s", p.Problem.Type, p.Problem.Reason)
		}
	}
	return out, nil
}

func routeHost(h *courier.Host) RouteHost {
	p := &h.TLS
	out := RouteHost{
		Name: h.Name, Preference: h.Preference, Addresses: []string{},
		Policy: p.Name(), Level: string(p.Level), Names: p.Names, Certain: p.Authentic,
	}
	if p.Level == "" {
		out.Level = string(tlspolicy.May)
	}
	for _, a := range h.Addrs {
		out.Addresses = append(out.Addresses, a.String())
	}
	for _, t := range p.TLSA {
		out.TLSA = append(out.TLSA, fmt.Sprintf("%d %d %d %x", t.Usage, t.Selector, t.Matching, t.Data))
	}
	if p.Err != nil {
		out.Refused = p.Err.Text
	}
	return out
}
