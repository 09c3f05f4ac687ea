//go:build race

package gateway_test

// memoryFactor is how much more memory a process takes than its Go heap: the race
// detector has a shadow of all of it.
const memoryFactor = 3
