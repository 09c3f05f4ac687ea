package main

import (
	"context"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain: `demo` runs this program again as a gateway, which in a test is the test's own binary.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		main()
	}
	os.Exit(m.Run())
}

func TestFreeAddresses(t *testing.T) {
	all, err := freeAddresses(10)
	require.NoError(t, err)
	require.Len(t, all, 10)
	seen := map[string]bool{}
	for _, address := range all {
		require.False(t, seen[address])
		seen[address] = true
		l, err := net.Listen("tcp", address)
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
	_, err = freeAddresses(demoPortTries + 1)
	require.ErrorContains(t, err, "free ports")
}

func TestDemoGatewaysKnowEachOther(t *testing.T) {
	all, err := newDemoGateways("bellwire", 3, 7)
	require.NoError(t, err)
	for i, g := range all {
		args := strings.Join(g.args(), " ")
		require.Equal(t, 2, strings.Count(args, "--peer="), args)
		require.NotContains(t, args, "--peer="+g.peer)
		require.Equal(t, i == 0, strings.Contains(args, "--central-listen="+all[0].central), args)
		require.Equal(t, i != 0, strings.Contains(args, "--central=nats://"+all[0].central), args)
		_, err := shown(t, nil, g.args()[1:]...)
		require.NoError(t, err, "settings that go together")
	}
}

// TestDemoProcess: a gateway that is killed is gone, and starts again at its addresses; one that cannot start says why.
func TestDemoProcess(t *testing.T) {
	needsGateway(t)
	all, err := newDemoGateways(os.Args[0], 2, 7)
	require.NoError(t, err)
	g := all[0]
	require.False(t, g.running())
	g.kill()
	defer g.kill()
	for range 2 {
		require.NoError(t, g.start(t.Context()))
		require.True(t, g.running())
		require.True(t, g.ready(t.Context()))
		g.kill()
		require.False(t, g.running())
		require.False(t, g.ready(t.Context()))
	}
	require.NoError(t, g.start(t.Context()))
	twin := *all[1]
	twin.listen = g.listen
	require.ErrorContains(t, twin.start(t.Context()), "address already in use")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, g.until(ctx, func(context.Context) bool { return false }), context.Canceled)
	twin.program = "/no/such/program"
	require.ErrorContains(t, twin.start(t.Context()), "no such file")
}

func TestLastWords(t *testing.T) {
	var w lastWords
	require.Equal(t, "it said nothing", w.text())
	for range 3 {
		n, err := w.Write([]byte(strings.Repeat("x", mostWords-1) + "\n"))
		require.NoError(t, err)
		require.Equal(t, mostWords, n)
	}
	_, _ = w.Write([]byte("end\n"))
	require.True(t, strings.HasSuffix(w.text(), "x\nend"))
	require.LessOrEqual(t, len(w.text()), mostWords)
}

func TestDemoPublisherTakesTurns(t *testing.T) {
	p := &demoPublisher{entries: []*demoEntry{{number: 0, address: "a"}, {number: 1, address: "b"}, {number: 2, address: "c", gone: true}}}
	var turns []int
	for range 4 {
		turns = append(turns, p.turn().number)
	}
	require.Equal(t, []int{0, 1, 0, 1}, turns)
	p.entries[0].gone = true
	p.entries[1].gone = true
	require.Nil(t, p.turn())
	require.ErrorIs(t, p.publish(t.Context()), errNoEntry)
}
