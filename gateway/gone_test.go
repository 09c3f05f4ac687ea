package gateway

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// goneByItself has a device whose socket fails while a message is written to it,
// and two strangers who get its place. The error is the first thing that is wrong.
func goneByItself(t *testing.T, without guards) error {
	m := newSim(t, Config{without: without})
	filter := []byte("broadcast/a")
	healthy, broken := m.join(0, hello("healthy")), m.join(0, hello("broken"))
	for _, c := range []*simConn{healthy, broken} {
		c.write(wire.Subscribe{Sub: 1, Filter: filter}.Append(nil))
		c.frames()
	}
	broken.failed = true
	for _, want := range []string{"first", "second"} {
		m.publish("broadcast/a", []byte(want))
		m.drain()
		if got := healthy.frames(); len(got) != 1 {
			return fmt.Errorf("the healthy device got %q", got)
		}
	}
	if !broken.closed {
		return errors.New("the broken one is still open")
	}
	if n := m.g.conns.Load(); n != 1 {
		return fmt.Errorf("%d connections are counted, one is there", n)
	}
	strangers := []*simConn{m.join(0, hello("one")), m.join(0, hello("two"))}
	m.publish("broadcast/a", []byte("third"))
	m.drain()
	for _, c := range strangers {
		if got := c.frames(); len(got) > 0 {
			return fmt.Errorf("a stranger got %q", got)
		}
	}
	return nil
}

// goneBefore has something posted for a device that is gone, and whose place
// another has, when the loop comes to it.
func goneBefore(t *testing.T, without guards) error {
	m := newSim(t, Config{Loops: 2, without: without})
	first := m.join(0, hello("twice"))
	m.join(1, hello("twice")) // has the first one closed
	require.NoError(t, first.Close())
	stranger := m.join(0, hello("stranger"))
	require.Equal(t, first.s.n, stranger.s.n, "it has another slot")
	m.drain()
	if got := stranger.frames(); len(got) > 0 || stranger.closed {
		return fmt.Errorf("the stranger got %q", got)
	}
	return nil
}

// A device that goes while it is written to, or while something is on its way to
// its loop, leaves nothing for the next one: it is unlinked once, is on no list, and
// a handle of it reaches nobody. Each guard is needed.
func TestGoneInTheMiddle(t *testing.T) {
	for name, c := range map[string]struct {
		play    func(*testing.T, guards) error
		without guards
		reason  string
	}{
		"unlinked once":          {goneByItself, guards{lostOnce: true}, "0 connections are counted"},
		"on no list":             {goneByItself, guards{unlist: true}, `a stranger got ["MESSAGE`},
		"unreachable afterwards": {goneBefore, guards{ownSlot: true}, "the stranger got [\"CLOSE 0 replaced"},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, c.play(t, guards{}))
			require.ErrorContains(t, c.play(t, c.without), c.reason)
		})
	}
}
