package bench

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const gib = 1 << 30

func TestMillionIsSizedToTheMachine(t *testing.T) {
	for name, test := range map[string]struct {
		ask           MillionConfig
		have          resources
		devices, each int
	}{
		"usual":               {have: resources{24 * gib, 20_000, 2}, devices: 100_000, each: 18_000},
		"nothing known":       {devices: 100_000, each: 18_000},
		"small machine":       {have: resources{gib, 20_000, 2}, devices: 47_662, each: 18_000},
		"few descriptors":     {have: resources{24 * gib, 1024, 2}, devices: 100_000, each: 867},
		"many descriptors":    {have: resources{24 * gib, 1 << 20, 2}, devices: 100_000, each: 18_000},
		"all of it":           {ask: MillionConfig{Devices: 1_000_000}, have: resources{24 * gib, 20_000, 2}, devices: 1_000_000, each: 18_000},
		"more in one":         {ask: MillionConfig{PerProcess: 50_000}, have: resources{24 * gib, 1 << 20, 2}, devices: 100_000, each: 50_000},
		"unlimited":           {have: resources{24 * gib, 1<<64 - 1, 2}, devices: 100_000, each: 18_000},
		"hardly any memory":   {have: resources{millionBytes, 20_000, 2}, devices: 1, each: 18_000},
		"as many as it holds": {ask: MillionConfig{Devices: 95_325}, have: resources{gib, 20_000, 2}, devices: 95_325, each: 18_000},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := test.ask.withDefaults(test.have)
			if name == "few descriptors" {
				require.Equal(t, 116, c.shares())
			}
			require.NoError(t, err)
			require.Equal(t, test.devices, c.Devices)
			require.Equal(t, test.each, c.PerProcess)
		})
	}
}

func TestMillionRefusesWhatCannotBe(t *testing.T) {
	usual := resources{24 * gib, 20_000, 2}
	for want, test := range map[string]struct {
		ask  MillionConfig
		have resources
	}{
		"1000001 devices: take 1 to 1000000":                 {MillionConfig{Devices: 1_000_001}, usual},
		"-1 devices":                                         {MillionConfig{Devices: -1}, usual},
		"1024 MiB are available: take at most 95325":         {MillionConfig{Devices: 200_000}, resources{1 << 30, 20_000, 2}},
		"18935 devices in one process: the descriptor limit": {MillionConfig{PerProcess: 18_935}, usual},
		"-1 devices in one process":                          {MillionConfig{PerProcess: -1}, usual},
		"the descriptor limit of 64 leaves no room":          {MillionConfig{}, resources{gib, 64, 2}},
		"a payload of 7 bytes":                               {MillionConfig{Payload: 7}, usual},
		"a payload of 5000 bytes":                            {MillionConfig{Payload: 5000}, usual},
		"need 1200 gateways: take at most 1000":              {MillionConfig{Devices: 1_000_000, PerProcess: 834}, usual},
		"times must not be negative":                         {MillionConfig{Settle: -time.Second}, usual},
		"-3 broadcasts: take 1 to 1000":                      {MillionConfig{Broadcasts: -3}, usual},
	} {
		_, err := test.ask.withDefaults(test.have)
		require.ErrorContains(t, err, want)
	}
}

// Every device is in one share, no share is beyond what a process holds, and no
// two connections can want the same pair of addresses and ports.
func TestMillionPlan(t *testing.T) {
	for _, test := range []struct{ devices, each, shares int }{
		{1, 1, 1}, {1, 18_000, 1}, {100_000, 18_000, 6}, {1_000_000, 18_000, 56}, {2000, 1000, 2}, {2001, 1000, 3}, {1000, 1, 1000}, {300_000, 300_000, 1},
	} {
		c := MillionConfig{Devices: test.devices, PerProcess: test.each}
		all := c.plan()
		require.Len(t, all, test.shares)
		first, listens, sources := 0, map[[4]byte]bool{}, map[[4]byte]bool{}
		for _, s := range all {
			require.Equal(t, first, s.first)
			first += s.devices
			require.InDelta(t, all[0].devices, s.devices, 1, "even")
			require.LessOrEqual(t, s.devices, test.each)
			require.True(t, s.addr.IsLoopback())
			require.False(t, listens[s.addr.As4()], "%v twice", s.addr)
			listens[s.addr.As4()] = true
			require.LessOrEqual(t, (s.devices+s.sources)/s.sources, millionSource+1, "ports of one source")
			for i := range s.sources {
				sources[sourceAddress(i)] = true
			}
		}
		require.Equal(t, test.devices, first)
		for s := range sources {
			require.False(t, listens[s], "a source is nobody's listener")
			require.Equal(t, byte(127), s[0])
		}
	}
}

func TestArrivalsSurviveTheirText(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	for n := range 50 {
		have := make(arrivals, n)
		for i := range have {
			have[i] = rnd.Uint32() >> rnd.UintN(32)
		}
		read, err := parseArrivals(have.text())
		require.NoError(t, err)
		slices.Sort(have)
		require.Len(t, read, n)
		for i := range have {
			require.Equal(t, have[i], read[i])
		}
	}
	for _, bad := range []string{"?", "/w", "//////////////////8", "/////w//////Dw"} {
		_, err := parseArrivals(bad)
		require.Error(t, err, bad)
	}
}

// The oracle counts.
func TestShareReached(t *testing.T) {
	for n := 1; n < 210; n++ {
		all := make(arrivals, n)
		for i := range all {
			all[i] = uint32(i * 10)
		}
		for percent := range 101 {
			have := all.reached(float64(percent) / 100)
			count := 0
			for _, v := range all {
				if time.Duration(v)*time.Microsecond <= have {
					count++
				}
			}
			require.GreaterOrEqual(t, count*100, percent*n, "%d %% of %d", percent, n)
			if count > 1 {
				require.Less(t, (count-1)*100, max(percent*n, 1), "%d %% of %d: one less would do", percent, n)
			}
		}
	}
}

func FuzzParseArrivals(f *testing.F) {
	f.Add("")
	f.Add(arrivals{1, 2, 300, 70_000}.text())
	f.Add("/w")
	f.Fuzz(func(t *testing.T, s string) {
		all, err := parseArrivals(s)
		if err == nil {
			again, err := parseArrivals(all.text())
			require.NoError(t, err)
			require.Equal(t, all, again)
		}
	})
}
