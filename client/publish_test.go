package client_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

// published parses what the gateway gets; it answers nothing itself.
type published struct {
	mu   sync.Mutex
	all  []wire.Publish
	peer *peer
}

func (p *published) take(from *peer, ft wire.Type, body []byte) bool {
	if ft.Base() != wire.TypePublish {
		return false
	}
	f, _ := wire.ParsePublish(ft, append([]byte{}, body...))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all, p.peer = append(p.all, f), from
	return true
}

func (p *published) seqs() (seqs []uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.all {
		seqs = append(seqs, f.Seq)
	}
	return seqs
}

// publish starts a Publish; its error comes on the channel.
func publish(t *testing.T, c *client.Client, payload string, opts ...client.PubOption) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- c.Publish(t.Context(), "broadcast/a", []byte(payload), opts...) }()
	synctest.Wait()
	return done
}

func pending(t *testing.T, c <-chan error) {
	t.Helper()
	select {
	case err := <-c:
		require.Fail(t, "it has an answer", "%v", err)
	default:
	}
}

func TestAcksAreCumulativeAndRefusalsSingle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, p := newGateway(1), &published{}
		g.onFrame = p.take
		c, _ := start(t, g)
		var done [5]<-chan error
		for i := range done {
			done[i] = publish(t, c, fmt.Sprint(i))
		}
		require.Equal(t, []uint64{1, 2, 3, 4, 5}, p.seqs())
		p.peer.send(wire.Ack{Seq: 2, Code: wire.CodeNotGranted}.Append(nil))
		refused := (*client.RefusedError)(nil)
		require.ErrorAs(t, <-done[1], &refused)
		require.Equal(t, client.RefusedError{Code: wire.CodeNotGranted, What: "publishing on broadcast/a"}, *refused)
		pending(t, done[0])
		p.peer.send(wire.Ack{Seq: 3}.Append(nil))
		require.NoError(t, <-done[0])
		require.NoError(t, <-done[2])
		pending(t, done[3])
		p.peer.send(wire.Refusal{Code: wire.CodePayloadTooLarge, Type: p.all[3].Type(), Number: 4}.Append(nil))
		require.ErrorContains(t, <-done[3], "payload too large")
		p.peer.send(wire.Ack{Seq: 77}.Append(nil)) // nobody's
		synctest.Wait()
		pending(t, done[4])
		p.peer.send(wire.Ack{Seq: 5}.Append(nil))
		require.NoError(t, <-done[4])
	})
}

func TestUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, p := newGateway(1), &published{}
		g.onFrame = p.take
		c, _ := start(t, g)
		once, again := publish(t, c, "once"), publish(t, c, "again", client.WithRetry())
		g.kick()
		require.ErrorIs(t, <-once, client.ErrUnknownOutcome)
		pass(time.Minute)
		require.Equal(t, []uint64{1, 2, 2}, p.seqs(), "the same number again")
		pending(t, again)
		p.peer.send(wire.Ack{Seq: 2}.Append(nil))
		require.NoError(t, <-again)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.Publish(ctx, "broadcast/a", nil, client.WithRetry())
		require.ErrorIs(t, err, client.ErrUnknownOutcome)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		last := publish(t, c, "last")
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-last, client.ErrUnknownOutcome)
	})
}

// A refusal of "later" is waited out [W-8.3]; the number stays the same [W-5.1].
func TestRetryLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, p := newGateway(1), &published{}
		g.onFrame = p.take
		c, _ := start(t, g)
		plain := publish(t, c, "plain")
		p.peer.send(wire.Ack{Seq: 1, Code: wire.CodeThrottled, Retry: 1500}.Append(nil))
		refused := (*client.RefusedError)(nil)
		require.ErrorAs(t, <-plain, &refused)
		require.Equal(t, 1500*time.Millisecond, refused.Retry)
		require.ErrorContains(t, refused, "throttled by tenant, try again in 1.5s")

		again := publish(t, c, "again", client.WithRetry())
		p.peer.send(wire.Ack{Seq: 2, Code: wire.CodeThrottled, Retry: 1500}.Append(nil))
		pass(1499 * time.Millisecond)
		require.Len(t, p.seqs(), 2)
		pass(time.Millisecond)
		require.Equal(t, []uint64{1, 2, 2}, p.seqs())
		p.peer.send(wire.Ack{Seq: 2, Code: wire.CodeThrottled}.Append(nil)) // no delay: back-off from 5 s
		pass(4999 * time.Millisecond)
		require.Len(t, p.seqs(), 3)
		pass(5 * time.Second)
		require.Len(t, p.seqs(), 4)
		p.peer.send(wire.Ack{Seq: 2, Code: wire.CodeUnknownID}.Append(nil)) // at once
		pass(time.Second)
		require.Len(t, p.seqs(), 5)
		p.peer.send(wire.Ack{Seq: 2, Code: wire.CodeNoCentral}.Append(nil)) // not this
		require.ErrorContains(t, <-again, "no central here")
	})
}

// An ok covers what was written before, whatever the numbers: one that is written
// again stands behind higher ones, and one whose caller gave up keeps its place
// [W-5.2].
func TestAcksCoverInTheOrderOfWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, p := newGateway(1), &published{}
		g.onFrame = p.take
		c, _ := start(t, g)
		refused := publish(t, c, "1", client.WithRetry())
		second := publish(t, c, "2")
		p.peer.send(wire.Ack{Seq: 1, Code: wire.CodeThrottled, Retry: 1000}.Append(nil))
		pass(time.Second)
		require.Equal(t, []uint64{1, 2, 1}, p.seqs())
		p.peer.send(wire.Ack{Seq: 2}.Append(nil))
		require.NoError(t, <-second)
		synctest.Wait()
		pending(t, refused)

		third := publish(t, c, "3")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, c.Publish(ctx, "broadcast/a", []byte("4")), client.ErrUnknownOutcome)
		synctest.Wait()
		p.peer.send(wire.Ack{Seq: 4}.Append(nil))
		require.NoError(t, <-refused)
		require.NoError(t, <-third)
	})
}

// What was refused was not published, and a caller that gives up while it waits to
// repeat it is told so.
func TestRefusedIsNotUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, p := newGateway(1), &published{}
		g.welcome.Credit = uint64(wire.Publish{Name: []byte("broadcast/a"), Ack: true, Seq: 1}.Len())
		g.onFrame = p.take
		c, _ := start(t, g)
		done := publish(t, c, "", client.WithRetry())
		p.peer.send(wire.Ack{Seq: 1, Code: wire.CodeThrottled, Retry: 1000}.Append(nil))
		pass(time.Minute) // it waits for credit now
		require.Len(t, p.seqs(), 1)
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-done, client.ErrClosed)
	})
}

// No more is under way than the gateway gave credit for.
func TestCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		one := uint64(wire.Publish{Name: []byte("broadcast/a"), Ack: true, Seq: 1, Payload: make([]byte, 50)}.Len())
		g.welcome.Credit = 2*one + 10
		p := &published{}
		g.onFrame = p.take
		c, _ := start(t, g)
		var done []<-chan error
		for range 5 {
			done = append(done, publish(t, c, string(make([]byte, 50))))
		}
		require.Len(t, p.seqs(), 2)
		p.peer.send(wire.Credit{Bytes: one - 11}.Append(nil))
		synctest.Wait()
		require.Len(t, p.seqs(), 2)
		p.peer.send(wire.Credit{Bytes: 1}.Append(nil))
		synctest.Wait()
		require.Len(t, p.seqs(), 3)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Equal(t, context.DeadlineExceeded, c.Publish(ctx, "broadcast/a", nil), "it was never sent, so that is all there is to say")

		g.kick() // a new connection has credit of its own
		pass(time.Minute)
		require.Len(t, p.seqs(), 5)
		for _, d := range done[:3] {
			require.ErrorIs(t, <-d, client.ErrUnknownOutcome)
		}
		pending(t, done[4])
	})
}

func TestPublishTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, change := range map[string]func(*wire.Welcome){
			"frame":  func(w *wire.Welcome) { w.Recv = 10 },
			"credit": func(w *wire.Welcome) { w.Credit = 1000 },
		} {
			g := newGateway(1)
			change(&g.welcome)
			c, _ := start(t, g)
			require.ErrorContains(t, c.Publish(t.Context(), "broadcast/a", make([]byte, 1100)), "payload too large", name)
			require.NoError(t, c.Publish(t.Context(), "broadcast/a", make([]byte, 900)), name)
		}
	})
}

func TestPublishChecksTheTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := start(t, newGateway(1))
		for _, topic := range []string{"", "a/+", "$sys", "a\nb"} {
			require.Error(t, c.Publish(t.Context(), topic, nil), "%q", topic)
		}
	})
}

func TestPublishWithoutAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, p := newGateway(1), &published{}
		g.onFrame = p.take
		c, f := start(t, g)
		require.NoError(t, c.Publish(t.Context(), "broadcast/a", []byte("x"), client.WithoutAck()))
		synctest.Wait()
		require.False(t, p.all[0].Ack)

		// While nobody is there it waits to be handed over.
		f.mu.Lock()
		f.fail = context.Canceled
		f.mu.Unlock()
		g.kick()
		synctest.Wait()
		done := publish(t, c, "y", client.WithoutAck())
		pending(t, done)
		f.mu.Lock()
		f.fail = nil
		f.mu.Unlock()
		require.NoError(t, <-done)
	})
}

// Many publishers on one client: each message once, those of one publisher in
// order, and all answered. BC-2
func TestConcurrentPublishers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(1)
		g.welcome.Credit = 200
		c, _ := start(t, g)
		const publishers, each = 8, 50
		var wg sync.WaitGroup
		for i := range publishers {
			wg.Go(func() {
				for n := range each {
					if err := c.Publish(t.Context(), fmt.Sprint("broadcast/", i), fmt.Append(nil, n)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		for i := range publishers {
			msgs := g.topics[fmt.Sprint("broadcast/", i)].msgs
			require.Len(t, msgs, each)
			for n, m := range msgs {
				require.Equal(t, fmt.Sprint(n), string(m))
			}
		}
	})
}
