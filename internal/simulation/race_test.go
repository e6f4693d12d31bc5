//go:build race

package simulation

// The race detector makes everything some ten times slower, and a machine for tests may
// be slow already.
const messages = 3_000
