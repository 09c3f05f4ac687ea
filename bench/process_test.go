package bench

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTailKeepsTheLast(t *testing.T) {
	var tl tail
	for range 3 {
		n, err := tl.Write([]byte(strings.Repeat("a", tailSize)))
		require.NoError(t, err)
		require.Equal(t, tailSize, n)
	}
	_, err := tl.Write([]byte("the end\n"))
	require.NoError(t, err)
	require.Len(t, tl.last, tailSize)
	require.True(t, strings.HasSuffix(tl.String(), "aaathe end"))
}

func TestCommandLineHidesWhereTheProgramIs(t *testing.T) {
	require.Equal(t, "bellwire serve --loops 1", commandLine([]string{"/somewhere/bin/bellwire", "serve", "--loops", "1"}))
	require.Empty(t, commandLine(nil))
}

func TestProgressWritesALineForEachTenth(t *testing.T) {
	var b strings.Builder
	p := newProgress(&b, 40)
	p.say("start")
	for i := range 40 {
		p.step("at %d", i+1)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	require.Len(t, lines, 11)
	require.Equal(t, "start", lines[0])
	require.Equal(t, "4/40  at 4", lines[1])
	require.Equal(t, "40/40  at 40", lines[10])
}

func TestProgressDrawsABarOnATerminal(t *testing.T) {
	var b strings.Builder
	p := newProgress(&b, 2)
	p.live = true
	p.step("one")
	p.say("a line between")
	p.step("two")
	require.Equal(t, "\r\x1b[K[###############...............] 1/2  one\r\x1b[Ka line between\n"+
		"\r\x1b[K["+strings.Repeat("#", 30)+"] 2/2  two\n", b.String())
}
