//go:build !race

package gateway_test

// memoryFactor is how much more memory a process takes than its Go heap.
const memoryFactor = 1
