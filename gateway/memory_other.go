//go:build !linux

package gateway

func residentBytes() (int64, bool) { return 0, false }

func groupMemory() int64 { return 0 }
