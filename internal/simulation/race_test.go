//go:build race

package simulation

// The race detector makes everything some ten times slower.
const messages = 10_000
