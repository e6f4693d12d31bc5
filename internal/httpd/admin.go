package httpd

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"posthouse/internal/admin"
	"posthouse/internal/blob"
)

// Paths of the admin API; the Client uses the same.
const (
	pathDomains   = "/admin/v1/domains"
	pathAccounts  = "/admin/v1/accounts"
	pathPasswords = "/admin/v1/passwords"
	pathQuotas    = "/admin/v1/quotas"
	pathOwners    = "/admin/v1/owners"
	pathAliases   = "/admin/v1/aliases"
	pathQueue     = "/admin/v1/queue"
	pathTraces    = "/admin/v1/traces"
)

// body wraps what an operation takes or gives.
type body[T any] struct{ Body T }

// named is an operation on one thing, named in the query: addresses hold
// characters that paths would have to escape.
type named struct {
	Name string `query:"name" required:"true" doc:"the domain, address or identifier"`
}

type newDomain struct {
	Name string `json:"name"`
}

type credentials struct {
	Address  string `json:"address"`
	Password string `json:"password,omitempty" doc:"made up and given back when empty"`
}

type owner struct {
	Address string    `json:"address"`
	Since   time.Time `json:"since,omitzero" doc:"now when it is left out"`
}

type quota struct {
	Address string `json:"address"`
	Bytes   int64  `json:"bytes" minimum:"0"`
}

// problem turns an error into RFC 9457 problem details.
func problem(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, admin.ErrNotFound):
		return huma.Error404NotFound(err.Error())
	case errors.Is(err, admin.ErrExists), errors.Is(err, admin.ErrConflict):
		return huma.Error409Conflict(err.Error())
	case errors.Is(err, admin.ErrInvalid):
		return huma.Error422UnprocessableEntity(err.Error())
	}
	if errors.Is(err, blob.ErrFull) {
		return huma.NewError(http.StatusInsufficientStorage, err.Error())
	}
	return huma.Error500InternalServerError(err.Error())
}

// op registers one operation.
func op[I, O any](api huma.API, method, path, id, summary string, fn func(context.Context, *I) (*O, error)) {
	huma.Register(api, huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary},
		func(ctx context.Context, in *I) (*O, error) {
			out, err := fn(ctx, in)
			return out, problem(err)
		})
}

// get registers an operation that gives something for no more than a query.
func get[I, T any](api huma.API, path, id, summary string, fn func(context.Context, *I) (T, error)) {
	op(api, http.MethodGet, path, id, summary, func(ctx context.Context, in *I) (*body[T], error) {
		v, err := fn(ctx, in)
		return &body[T]{v}, err
	})
}

// do registers an operation that changes something and gives nothing back.
func do[I any](api huma.API, method, path, id, summary string, fn func(context.Context, *I) error) {
	op(api, method, path, id, summary, func(ctx context.Context, in *I) (*struct{}, error) {
		return nil, fn(ctx, in)
	})
}

func adminHandler(a admin.API, version string) http.Handler {
	mux := http.NewServeMux()
	cfg := huma.DefaultConfig("Posthouse admin API", version)
	cfg.DocsPath = ""     // the page would fetch its scripts from elsewhere
	cfg.CreateHooks = nil // no "$schema" in bodies
	api := humago.New(mux, cfg)
	registerDomains(api, a)
	registerAccounts(api, a)
	registerAliases(api, a)
	registerQueue(api, a)
	registerSuppressions(api, a)
	registerTLSReports(api, a)
	registerRoutes(api, a)
	return mux
}

func registerDomains(api huma.API, a admin.API) {
	get(api, pathDomains, "list-domains", "List the domains", func(ctx context.Context, _ *struct{}) ([]admin.Domain, error) {
		return a.Domains(ctx)
	})
	op(api, http.MethodPost, pathDomains, "add-domain", "Add a domain", func(ctx context.Context, in *body[newDomain]) (*body[admin.Domain], error) {
		d, err := a.AddDomain(ctx, in.Body.Name)
		return &body[admin.Domain]{d}, err
	})
	do(api, http.MethodDelete, pathDomains, "remove-domain", "Remove a domain", func(ctx context.Context, in *named) error {
		return a.RemoveDomain(ctx, in.Name)
	})
	get(api, pathDomains+"/dns", "domain-dns", "The records that should stand", func(ctx context.Context, in *named) ([]admin.Record, error) {
		return a.DomainDNS(ctx, in.Name)
	})
	get(api, pathDomains+"/check", "check-domain", "What stands", func(ctx context.Context, in *named) ([]admin.Check, error) {
		return a.CheckDomain(ctx, in.Name)
	})
}

func registerAccounts(api huma.API, a admin.API) {
	get(api, pathAccounts, "list-accounts", "List the accounts", func(ctx context.Context, _ *struct{}) ([]admin.Account, error) {
		return a.Accounts(ctx)
	})
	op(api, http.MethodPost, pathAccounts, "add-account", "Add an account", func(ctx context.Context, in *body[credentials]) (*body[admin.NewAccount], error) {
		n, err := a.AddAccount(ctx, in.Body.Address, in.Body.Password)
		return &body[admin.NewAccount]{n}, err
	})
	do(api, http.MethodDelete, pathAccounts, "remove-account", "Remove an account and its mail", func(ctx context.Context, in *named) error {
		return a.RemoveAccount(ctx, in.Name)
	})
	op(api, http.MethodPut, pathPasswords, "set-password", "Set a password", func(ctx context.Context, in *body[credentials]) (*body[admin.NewAccount], error) {
		n, err := a.SetPassword(ctx, in.Body.Address, in.Body.Password)
		return &body[admin.NewAccount]{n}, err
	})
	do(api, http.MethodPut, pathQuotas, "set-quota", "Set a quota", func(ctx context.Context, in *body[quota]) error {
		return a.SetQuota(ctx, in.Body.Address, in.Body.Bytes)
	})
	do(api, http.MethodPut, pathOwners, "set-owner-since", "Say since when an address has been its owner's", func(ctx context.Context, in *body[owner]) error {
		return a.SetOwnerSince(ctx, in.Body.Address, in.Body.Since)
	})
}

func registerAliases(api huma.API, a admin.API) {
	get(api, pathAliases, "list-aliases", "List the aliases", func(ctx context.Context, _ *struct{}) ([]admin.Alias, error) {
		return a.Aliases(ctx)
	})
	op(api, http.MethodPut, pathAliases, "set-alias", "Add or replace an alias", func(ctx context.Context, in *body[admin.Alias]) (*body[admin.Alias], error) {
		set, err := a.SetAlias(ctx, in.Body)
		return &body[admin.Alias]{set}, err
	})
	do(api, http.MethodDelete, pathAliases, "remove-alias", "Remove an alias", func(ctx context.Context, in *named) error {
		return a.RemoveAlias(ctx, in.Name)
	})
}
