package client_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

// hour is longer than anything waits.
const hour = time.Hour

// start is a client of one gateway at address "gw".
func start(t *testing.T, g *gateway, opts ...client.Option) (*client.Client, *fleet) {
	t.Helper()
	f := &fleet{}
	f.put("gw", g)
	c, err := client.Dial(t.Context(), "gw", append([]client.Option{client.WithDialer(f.dial)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c, f
}

func subscribe(t *testing.T, c *client.Client, filter string, opts ...client.SubOption) *client.Subscription {
	t.Helper()
	s, err := c.Subscribe(t.Context(), filter, opts...)
	require.NoError(t, err)
	return s
}

// next returns the next event; in a bubble a lost one shows as a deadline.
func next(t *testing.T, s *client.Subscription) client.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hour)
	defer cancel()
	e, err := s.Next(ctx)
	require.NoError(t, err)
	return e
}

func TestPublishSubscribe(t *testing.T) { // BC-2, BC-7, BC-15
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(0xA1)
		c, _ := start(t, g, client.WithDevice("d1"))
		s := subscribe(t, c, "broadcast/eu")
		require.NoError(t, c.Publish(t.Context(), "broadcast/eu", []byte("hello")))
		require.Equal(t, client.Message{Topic: "broadcast/eu", Payload: []byte("hello"), Life: 0xA1, Offset: 1}, next(t, s))
		require.Equal(t, []client.TopicPosition{{Topic: "broadcast/eu", Position: wire.Position{Life: 0xA1, Offset: 1}}}, s.Cursor())

		g.kick()
		g.Publish("broadcast/eu", "while away")
		require.Equal(t, client.Message{Topic: "broadcast/eu", Payload: []byte("while away"), Life: 0xA1, Offset: 2, Replayed: true}, next(t, s))
		require.NoError(t, c.Shutdown(t.Context()))
		_, err := s.Next(t.Context())
		require.ErrorIs(t, err, client.ErrClosed)
	})
}

// A Next that waits for its turn obeys its own context.
func TestNextBesideAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		c, _ := start(t, g)
		s := subscribe(t, c, "broadcast/a")
		first := make(chan client.Event, 1)
		go func() {
			e, _ := s.Next(t.Context())
			first <- e
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := s.Next(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(began))
		require.Len(t, s.Cursor(), 1, "the first one still waits")
		g.Publish("broadcast/a", "x")
		require.Equal(t, "x", short(<-first))
	})
}

// pass lets the bubble's time pass and everything come to rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// try is the next event, or nil if none comes.
func try(t *testing.T, s *client.Subscription) client.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	e, err := s.Next(ctx)
	if err != nil {
		require.ErrorIs(t, err, context.DeadlineExceeded)
		return nil
	}
	return e
}
