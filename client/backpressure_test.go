package client_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

// A full subscription stops the reader, so that the gateway feels it; nothing is
// lost here, and closing never waits for the application.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		c, _ := start(t, g)
		s := subscribe(t, c, "broadcast/a", client.WithBuffer(3))
		other := subscribe(t, c, "broadcast/b")
		synctest.Wait()
		for i := range 100 {
			g.Publish("broadcast/a", fmt.Sprint(i))
		}
		g.Publish("broadcast/b", "behind")
		synctest.Wait()
		require.Greater(t, len(g.peers[0].queue), 90, "the gateway still has them")

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := other.Next(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded, "one slow subscription holds up the others")

		for i := range 50 {
			require.Equal(t, fmt.Sprint(i), string(next(t, s).(client.Message).Payload))
		}
		require.NoError(t, s.Close())
		require.NoError(t, s.Close())
		_, err = s.Next(t.Context())
		require.ErrorIs(t, err, client.ErrClosed)
		require.Equal(t, "behind", string(next(t, other).(client.Message).Payload))

		full := subscribe(t, c, "broadcast/c", client.WithBuffer(2))
		for range 10 {
			g.Publish("broadcast/c", "x")
		}
		synctest.Wait()
		require.NoError(t, c.Close())
		require.NotNil(t, next(t, full), "what was received is still there")
	})
}

// The goroutine that calls Next may publish, though the ACK stands behind messages
// for which there is no room.
func TestPublishFromTheNextLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		c, _ := start(t, g)
		s := subscribe(t, c, "broadcast/a", client.WithBuffer(1))
		for i := range 50 {
			g.Publish("broadcast/a", fmt.Sprint(i))
		}
		for i := range 50 {
			m := next(t, s).(client.Message)
			require.Equal(t, fmt.Sprint(i), string(m.Payload))
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			require.NoError(t, c.Publish(ctx, "broadcast/echo", m.Payload))
			cancel()
		}
	})
}

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		var frames []wire.Type
		g.onFrame = func(_ *peer, ft wire.Type, _ []byte) bool {
			frames = append(frames, ft.Base())
			return false
		}
		var st states
		c, _ := start(t, g, client.WithOnState(st.add))
		require.NoError(t, c.Publish(t.Context(), "broadcast/a", nil, client.WithoutAck()))
		require.NoError(t, c.Shutdown(t.Context()))
		require.Equal(t, []wire.Type{wire.TypeHello, wire.TypePublish, wire.TypeClose}, frames)
		require.ErrorIs(t, c.Publish(t.Context(), "broadcast/a", nil), client.ErrClosed)
		require.True(t, errors.Is(c.Err(), client.ErrClosed))
		require.Equal(t, []string{"connected gw", "closed "}, st.phases())
		require.NoError(t, c.Shutdown(t.Context()))
	})
}

func TestShutdownGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		g.onFrame = func(_ *peer, ft wire.Type, _ []byte) bool { return ft.Base() == wire.TypePublish }
		c, _ := start(t, g)
		done := make(chan error, 1)
		go func() { done <- c.Publish(t.Context(), "broadcast/a", nil) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, c.Shutdown(ctx), context.DeadlineExceeded)
		require.ErrorIs(t, <-done, client.ErrUnknownOutcome)
	})
}

// Each Shutdown waits for the answers, however many there are at once, and the
// gateway is told goodbye once.
func TestShutdownTwiceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, p := newGateway(1), &published{}
		goodbyes := 0
		g.onFrame = func(from *peer, ft wire.Type, body []byte) bool {
			if ft == wire.TypeClose {
				goodbyes++
			}
			return p.take(from, ft, body)
		}
		c, _ := start(t, g)
		answer := publish(t, c, "under way")
		left := make(chan error, 2)
		for range cap(left) {
			go func() { left <- c.Shutdown(t.Context()) }()
			pass(time.Second)
		}
		pending(t, answer)
		require.Empty(t, left)
		p.peer.send(wire.Ack{Seq: 1}.Append(nil))
		require.NoError(t, <-answer)
		require.NoError(t, <-left)
		require.NoError(t, <-left)
		require.Equal(t, 1, goodbyes)
	})
}
