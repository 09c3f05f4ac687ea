package gateway

import (
	"bytes"
	"io/fs"
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// residentBytes is the resident set of this process; false if it cannot be read.
func residentBytes() (int64, bool) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, false
	}
	return parseStatm(b, int64(os.Getpagesize()))
}

// parseStatm reads the second of the figures, which are in pages.
func parseStatm(b []byte, page int64) (int64, bool) {
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil || pages < 0 || pages > math.MaxInt64/page {
		return 0, false
	}
	return pages * page, true
}

// groupMemory is the memory that this process's cgroup may have, 0 if it has no
// limit or there are no cgroups.
func groupMemory() int64 { return groupLimit(os.DirFS("/")) }

// unlimited is from where on a limit is none: cgroup v1 has no other word for it.
const unlimited = 1 << 60

// groupLimit is the least limit of the process's memory cgroup and those above
// it, each of which the kernel enforces.
func groupLimit(root fs.FS) int64 {
	b, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	least := int64(unlimited)
	for line := range strings.Lines(string(b)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch controllers := strings.Split(parts[1], ","); {
		case parts[0] == "0" && parts[1] == "":
			for _, mount := range []string{"sys/fs/cgroup", "sys/fs/cgroup/unified"} {
				least = min(least, leastLimit(root, mount, parts[2], "memory.max"))
			}
		case slices.Contains(controllers, "memory"):
			least = min(least, leastLimit(root, "sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes"))
		}
	}
	if least == unlimited {
		return 0
	}
	return least
}

// leastLimit goes from a group up to the mount. A container may see its own group
// as the mount while its path is that of the host: what is missing has no limit.
func leastLimit(root fs.FS, mount, group, file string) int64 {
	least := int64(unlimited)
	for group = path.Clean("/" + group); ; group = path.Dir(group) {
		if b, err := fs.ReadFile(root, path.Join(mount, group, file)); err == nil {
			// "max" of v2 is no number.
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 {
				least = min(least, n)
			}
		}
		if group == "/" {
			return least
		}
	}
}
