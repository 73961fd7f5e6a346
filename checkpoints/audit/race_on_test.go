//go:build race

package audit

// sample is n where the loops over every byte look at one in n: the race
// detector makes them slow, and there is one goroutine.
const sample = 8
