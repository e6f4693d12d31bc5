//go:build race

package queue

// crowd is how many messages wait for the slow site: fewer under the race
// detector, which makes them slow to count.
const crowd = 10_000
