package main

import "golang.org/x/sys/unix"

// descriptorLimit is how many files this process may have open; Go has raised it as far as it may go.
func descriptorLimit() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return ^uint64(0) // then opening says it
	}
	return limit.Cur
}
