package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// processCPU is the CPU time that a process has used, user and kernel, to the
// nanosecond. It is the process's own clock, so time stolen by a hypervisor is
// not in it; the receiving half of a loopback send, which the kernel does in the
// sender's name, is.
func processCPU(pid int) (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED: the id of another process's clock is ^pid<<3 | kind
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &t); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// processModes is the CPU time that a process has used in user space and in the
// kernel, as the system's clock tick samples it: good for shares over seconds,
// not for single turns.
func processModes(pid int) (user, kernel time.Duration, err error) {
	path := "/proc/" + strconv.Itoa(pid) + "/stat"
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	// The second field is the program's name, in brackets, and may hold anything.
	const userField, kernelField, tick = 11, 12, 10 * time.Millisecond
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) <= kernelField {
		return 0, 0, fmt.Errorf("%s has %d fields", path, len(fields))
	}
	for _, f := range []struct {
		at   int
		time *time.Duration
	}{{userField, &user}, {kernelField, &kernel}} {
		n, err := strconv.ParseInt(fields[f.at], 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", path, err)
		}
		*f.time = time.Duration(n) * tick
	}
	return user, kernel, nil
}

// processRead is how many bytes a process has read from files and sockets with
// read(2) and readv(2), as Go does; what comes by recv(2) is not counted.
func processRead(pid int) (uint64, error) {
	path := "/proc/" + strconv.Itoa(pid) + "/io"
	n, err := strconv.ParseUint(properties(path)["rchar"], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("bytes that process %d has read: %s does not say it", pid, path)
	}
	return n, nil
}

// memory is what a process holds, in bytes, and what the kernel holds for all.
type memory struct {
	rss  uint64 // resident pages of the process
	anon uint64 // those of them that no file backs: heap and stacks
	slab uint64 // kernel objects of the whole system, sockets among them
}

func processMemory(pid int) (memory, error) {
	path := "/proc/" + strconv.Itoa(pid) + "/smaps_rollup"
	p := properties(path)
	m := memory{
		rss: kibibytes(p["Rss"]) << 10, anon: kibibytes(p["Anonymous"]) << 10,
		slab: kibibytes(properties("/proc/meminfo")["Slab"]) << 10,
	}
	if m.rss == 0 || m.slab == 0 {
		return m, fmt.Errorf("memory of process %d: %s or /proc/meminfo does not say it", pid, path)
	}
	return m, nil
}

// processDescriptors is how many files and sockets a process has open.
func processDescriptors(pid int) (int, error) {
	open, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd")
	if err != nil {
		return 0, fmt.Errorf("descriptors of process %d: %w", pid, err)
	}
	return len(open), nil
}

func descriptorLimit() uint64 {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	return l.Cur
}

// startOn starts a process, on one CPU unless that is negative. It inherits the
// CPU from the thread that forks.
func startOn(cpu int, cmd *exec.Cmd) error {
	if cpu < 0 {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("CPUs of this thread: %w", err)
	}
	if err := useOnly(0, cpu); err != nil {
		return err
	}
	defer unix.SchedSetaffinity(0, &before) //nolint:errcheck // it was in force a moment ago
	return cmd.Start()
}

func useOnly(thread, cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(thread, &set); err != nil {
		return fmt.Errorf("cannot run on CPU %d alone: %w: measure unpinned", cpu, err)
	}
	return nil
}

// pinSelf puts all threads of this process on one CPU, and so those to come;
// undo lets them go back. A negative CPU pins nothing.
func pinSelf(cpu int) (undo func(), err error) {
	if cpu < 0 {
		return func() {}, nil
	}
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, fmt.Errorf("CPUs of this process: %w", err)
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil, err
	}
	each := func(set func(thread int) error) error {
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil {
				return err
			}
			if err := set(id); err != nil {
				return err
			}
		}
		return nil
	}
	undo = func() {
		each(func(thread int) error { return unix.SchedSetaffinity(thread, &before) }) //nolint:errcheck // a thread may have ended
	}
	if err := each(func(thread int) error { return useOnly(thread, cpu) }); err != nil {
		undo()
		return nil, err
	}
	return undo, nil
}
