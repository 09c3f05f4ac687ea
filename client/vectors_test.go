package client_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

// counting is a vector of the protocol about what a device counts.
type counting struct {
	Name  string
	Start string
	Had   []struct {
		Life   string
		Offset uint64
	}
	Frames []string
	Events []struct {
		Take, Lost *uint64
		Life       string
		Reason     wire.Reason
		Payload    string
	}
	Positions []struct {
		Life   string
		Offset uint64
	}
	Broken bool
}

func life(t *testing.T, s string) wire.Life {
	t.Helper()
	if s == "" {
		return 0
	}
	n, err := strconv.ParseUint(s, 16, 64)
	require.NoError(t, err)
	return wire.Life(n)
}

// The protocol's own vectors: what is taken in which order, and what is missing.
// The client tells the end of a life as early as it can, and a jump as a Gap of
// unknown size before it leaves; both are more than the vectors ask.
func TestCountingVectors(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "wire", "testdata", "vectors.json"))
	require.NoError(t, err)
	var all struct{ Counting []counting }
	require.NoError(t, json.Unmarshal(b, &all))
	require.NotEmpty(t, all.Counting)
	for _, v := range all.Counting {
		t.Run(v.Name, func(t *testing.T) { v.run(t) })
	}
}

func (v *counting) run(t *testing.T) {
	const filter = "t"
	var opts []client.SubOption
	if v.Start == "cursor" {
		var at []client.TopicPosition
		for _, p := range v.Had {
			at = append(at, client.TopicPosition{Topic: filter, Position: wire.Position{Life: life(t, p.Life), Offset: p.Offset}})
		}
		opts = append(opts, client.WithCursor(at...))
	}
	core := client.NewCore(filter, opts...)
	var events []client.Event
	for i, f := range v.Frames {
		frame, err := hex.DecodeString(f)
		require.NoError(t, err)
		got, err := core.Feed(frame)
		events = append(events, got...)
		if v.Broken && i == len(v.Frames)-1 {
			require.ErrorIs(t, err, client.ErrProtocol)
			require.IsType(t, client.Gap{}, events[len(events)-1])
			events = events[:len(events)-1]
			break
		}
		require.NoError(t, err)
	}
	var wantTaken, taken []client.Message
	var wantLost, lost []client.Gap
	for _, e := range v.Events {
		if e.Take != nil {
			payload, err := hex.DecodeString(e.Payload)
			require.NoError(t, err)
			wantTaken = append(wantTaken, client.Message{Life: life(t, e.Life), Offset: *e.Take, Payload: payload})
		} else {
			wantLost = append(wantLost, client.Gap{Life: life(t, e.Life), Count: *e.Lost})
		}
	}
	for _, e := range events {
		switch e := e.(type) {
		case client.Message:
			taken = append(taken, client.Message{Life: e.Life, Offset: e.Offset, Payload: e.Payload})
		case client.Gap:
			lost = append(lost, client.Gap{Life: e.Life, Count: e.Count})
		case client.End:
			if e.How == wire.EndLost { // nobody knows its tail
				lost = append(lost, client.Gap{Life: e.Life})
			}
		}
	}
	require.Equal(t, wantTaken, taken)
	require.ElementsMatch(t, wantLost, lost)
	var want []client.TopicPosition
	for _, p := range v.Positions {
		want = append(want, client.TopicPosition{Topic: filter, Position: wire.Position{Life: life(t, p.Life), Offset: p.Offset}})
	}
	got := core.Had()
	slices.SortFunc(got, func(a, b client.TopicPosition) int { return int(a.Life>>32) - int(b.Life>>32) })
	require.Equal(t, want, got)
}
