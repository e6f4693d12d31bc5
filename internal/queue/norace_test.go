//go:build !race

package queue

const crowd = 100_000
