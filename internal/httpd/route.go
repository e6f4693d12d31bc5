package httpd

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"posthouse/internal/admin"
)

const pathRoutes = "/admin/v1/routes"

func registerRoutes(api huma.API, a admin.API) {
	get(api, pathRoutes, "show-route", "The way of mail to a domain", func(ctx context.Context, in *named) (admin.Route, error) {
		return a.Route(ctx, in.Name)
	})
}

// Route is admin.API.
func (c *Client) Route(ctx context.Context, domain string) (admin.Route, error) {
	return fetch[admin.Route](ctx, c, pathRoutes, name(domain))
}
