package httpd

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"posthouse/internal/admin"
)

const pathTLSReports = "/admin/v1/tls-reports"

func registerTLSReports(api huma.API, a admin.API) {
	get(api, pathTLSReports, "list-tls-reports", "Reports on TLS that an account received", func(ctx context.Context, in *named) ([]admin.TLSReport, error) {
		return a.TLSReports(ctx, in.Name)
	})
}

// TLSReports is admin.API.
func (c *Client) TLSReports(ctx context.Context, address string) ([]admin.TLSReport, error) {
	return fetch[[]admin.TLSReport](ctx, c, pathTLSReports, name(address))
}
