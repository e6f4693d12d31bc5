package admin

import (
	"context"
	"errors"
	"fmt"

	"posthouse/internal/smtp"
	"posthouse/internal/suppress"
)

// MaxSuppressions is how many entries Suppressions gives at a time.
const MaxSuppressions = 1000

// Suppressions lists addresses that take no mail, those after the given one.
func (h *House) Suppressions(ctx context.Context, after string) ([]suppress.Suppression, error) {
	if after != "" {
		if _, err := smtp.ParseAddress(after); err != nil {
			return nil, fmt.Errorf("%q is not an address%w", after, quiet{ErrInvalid})
		}
	}
	list, err := suppress.List(ctx, h.DB, after, MaxSuppressions)
	if list == nil {
		list = []suppress.Suppression{}
	}
	return list, err
}

// RemoveSuppression takes an address off the list.
func (h *House) RemoveSuppression(ctx context.Context, address string) error {
	a, err := smtp.ParseAddress(address)
	if err != nil {
		return fmt.Errorf("%q is not an address%w", address, quiet{ErrInvalid})
	}
	if err = suppress.Remove(ctx, h.DB, a); errors.Is(err, suppress.ErrNotFound) {
		return fmt.Errorf("%s: %w", address, ErrNotFound)
	}
	return err
}
