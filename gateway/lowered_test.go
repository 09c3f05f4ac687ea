package gateway

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Who asks for more devices than the descriptors leave room for is told, once,
// when the gateway is made and when limits are read again.
func TestFewerConnectionsAreLogged(t *testing.T) {
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	took := func() (lines []string) {
		for line := range strings.Lines(log.String()) {
			lines = append(lines, line)
		}
		log.Reset()
		return lines
	}
	g, err := New(Config{Logger: logger})
	require.NoError(t, err)
	room := g.cap
	require.Equal(t, room, g.maxConns())
	require.Empty(t, took())

	wanted := room + 10_000 // what is open differs a little between the two
	g, err = New(Config{Logger: logger, Limits: Limits{Connections: wanted}})
	require.NoError(t, err)
	room = g.cap
	require.Equal(t, room, g.maxConns())
	lines := took()
	require.Len(t, lines, 1)
	require.Contains(t, lines[0], "level=WARN")
	require.Contains(t, lines[0], "limits.connections")
	require.Contains(t, lines[0], fmt.Sprintf("wanted=%d taken=%d", wanted, room))

	for _, c := range []struct{ wanted, taken, lines int }{
		{wanted, room, 0}, // said
		{room, room, 0},
		{7, 7, 0},
		{0, room, 0},
		{room + 2, room, 1},
		{room + 2, room, 0},
	} {
		require.NoError(t, g.Reload(Config{Limits: Limits{Connections: c.wanted}}))
		require.Equal(t, c.taken, g.maxConns(), "%+v", c)
		require.Len(t, took(), c.lines, "%+v", c)
	}
}

// A limit on waiting messages that was lowered by a reload holds for the next.
func TestPendingMessagesIsALimit(t *testing.T) {
	const most = 10
	m := newSim(t, Config{})
	require.NoError(t, m.g.Reload(Config{Limits: Limits{PendingMessages: most}}))
	c := m.slowDevice(hello("d"), 0)
	for range 10 * most {
		m.publish("broadcast/x", make([]byte, 16))
		m.drain()
		require.LessOrEqual(t, c.s.out.messages, most)
		require.LessOrEqual(t, len(c.s.out.items), itemsPerMessage*most)
	}
	require.Equal(t, most, c.s.out.messages)
	require.False(t, c.closed)
	for range itemsPerMessage*most + 1 {
		c.write([]byte{0x09, 0}) // PING, whose answer it does not read
	}
	m.drain()
	require.True(t, c.closed, "answers count as well")
}
