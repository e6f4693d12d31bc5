package httpd

import (
	"context"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"posthouse/internal/admin"
	"posthouse/internal/suppress"
)

const pathSuppressions = "/admin/v1/suppressions"

type after struct {
	After string `query:"after" doc:"an address: those after it; at most 1000 come at a time"`
}

func registerSuppressions(api huma.API, a admin.API) {
	get(api, pathSuppressions, "list-suppressions", "Addresses that take no mail", func(ctx context.Context, in *after) ([]suppress.Suppression, error) {
		return a.Suppressions(ctx, in.After)
	})
	do(api, http.MethodDelete, pathSuppressions, "remove-suppression", "Take an address off the list", func(ctx context.Context, in *named) error {
		return a.RemoveSuppression(ctx, in.Name)
	})
}

// Suppressions is admin.API.
func (c *Client) Suppressions(ctx context.Context, after string) ([]suppress.Suppression, error) {
	return fetch[[]suppress.Suppression](ctx, c, pathSuppressions, url.Values{"after": {after}})
}

// RemoveSuppression is admin.API.
func (c *Client) RemoveSuppression(ctx context.Context, address string) error {
	return c.do(ctx, http.MethodDelete, pathSuppressions, name(address), nil, nil)
}
