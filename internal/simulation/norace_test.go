//go:build !race

package simulation

const messages = 100_000
