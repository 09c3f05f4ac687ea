package gateway

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// The limit is the least of the group's own and those above it, in both versions of
// cgroups, also where the path is one of the host that is not mounted.
func TestGroupLimit(t *testing.T) {
	const none1, none2 = "9223372036854771712\n", "max\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"no cgroups":             {nil, 0},
		"v2":                     {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "1000\n"}, 1000},
		"v2 without a limit":     {map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": none2}, 0},
		"v2, above":              {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": none2, "sys/fs/cgroup/a/memory.max": "7\n"}, 7},
		"v2, less than above":    {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "5", "sys/fs/cgroup/a/memory.max": "7"}, 5},
		"v2 in a container":      {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "9\n"}, 9},
		"v2 beside v1":           {map[string]string{"proc/self/cgroup": "0::/x\n", "sys/fs/cgroup/unified/x/memory.max": "4\n"}, 4},
		"v1":                     {map[string]string{"proc/self/cgroup": "5:devices:/\n4:memory:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "11\n"}, 11},
		"v1 with others":         {map[string]string{"proc/self/cgroup": "4:cpu,memory:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "11\n"}, 11},
		"v1 without a limit":     {map[string]string{"proc/self/cgroup": "4:memory:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": none1}, 0},
		"v1 in a container":      {map[string]string{"proc/self/cgroup": "4:memory:/host/a\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "13\n"}, 13},
		"a path that climbs":     {map[string]string{"proc/self/cgroup": "4:memory:/../../a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "11\n"}, 11},
		"rubbish":                {map[string]string{"proc/self/cgroup": "x\n::\n4:memory\n\n4:memory:\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "-1\n"}, 0},
		"another controller's":   {map[string]string{"proc/self/cgroup": "4:name=memory:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "11\n"}, 0},
		"too large to be a size": {map[string]string{"proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "99999999999999999999\n"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			root := fstest.MapFS{}
			for file, text := range c.files {
				root[file] = &fstest.MapFile{Data: []byte(text)}
			}
			require.Equal(t, c.want, groupLimit(root))
		})
	}
}

func TestResident(t *testing.T) {
	for text, want := range map[string]int64{"10 3 2 1 0 5 0\n": 3 * 4096, "1 0": 0, "": -1, "1": -1, "1 x": -1, "1 -3": -1, "1 9223372036854775807": -1} {
		got, ok := parseStatm([]byte(text), 4096)
		require.Equal(t, want >= 0, ok, text)
		if ok {
			require.Equal(t, want, got, text)
		}
	}
	used, ok := residentBytes()
	require.True(t, ok)
	require.Greater(t, used, int64(mib))
}
