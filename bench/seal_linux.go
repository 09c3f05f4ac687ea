package bench

import (
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// measure is the CPU time of one seal, on one CPU (any, if negative): of always
// the same session, whose keys stay in the cache, or of all in turn, as a
// gateway seals.
func (s *sealer) measure(cpu, size int, atLeast time.Duration, same bool) (time.Duration, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if cpu >= 0 {
		var before unix.CPUSet
		if err := unix.SchedGetaffinity(0, &before); err != nil {
			return 0, err
		}
		if err := useOnly(0, cpu); err != nil {
			return 0, err
		}
		defer unix.SchedSetaffinity(0, &before) //nolint:errcheck // it was in force a moment ago
	}
	return s.sealFor(size, atLeast, same, func() (time.Duration, error) {
		var t unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
			return 0, fmt.Errorf("CPU clock of this thread: %w", err)
		}
		return time.Duration(t.Nano()), nil
	})
}
