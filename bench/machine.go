package bench

import (
	"bufio"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// Machine is what a figure was measured on.
type Machine struct {
	CPU        string `json:"cpu"`         // model name
	Cores      int    `json:"cores"`       // logical ones, as this process may use
	MemoryMiB  int    `json:"memory_mib"`  // all of it
	System     string `json:"system"`      // kernel release
	Go         string `json:"go"`          // of the load generator
	Congestion string `json:"congestion"`  // TCP congestion control of the system
	Hypervisor bool   `json:"hypervisor"`  // runs inside a virtual machine
	Descriptor uint64 `json:"descriptors"` // open files allowed to one process
}

func thisMachine() Machine {
	m := Machine{
		Cores: runtime.NumCPU(), Go: runtime.Version(), System: runtime.GOOS + " " + firstLine("/proc/sys/kernel/osrelease"),
		Congestion: firstLine("/proc/sys/net/ipv4/tcp_congestion_control"), Descriptor: descriptorLimit(),
	}
	info := properties("/proc/cpuinfo")
	m.CPU = info["model name"]
	m.Hypervisor = strings.Contains(" "+info["flags"]+" ", " hypervisor ")
	m.MemoryMiB = int(kibibytes(properties("/proc/meminfo")["MemTotal"]) >> 10)
	return m
}

func firstLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

// properties reads a file of lines "name: value"; of a repeated name the first.
// A file that cannot be read has none.
func properties(path string) map[string]string {
	all := map[string]string{}
	f, err := os.Open(path)
	if err != nil {
		return all
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), ":")
		if name = strings.TrimSpace(name); ok && all[name] == "" {
			all[name] = strings.TrimSpace(value)
		}
	}
	return all
}

// kibibytes reads "1234 kB"; 0 if it is not that.
func kibibytes(s string) uint64 {
	v, err := strconv.ParseUint(strings.TrimSuffix(s, " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return v
}
