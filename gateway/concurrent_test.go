package gateway_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// tally counts the positions of one topic over connections.
type tally struct {
	had, taken, missing uint64
	life                wire.Life
}

// follow reads a tracked topic until it has come to a position or the time is
// over, and checks the count with every message.
func (n *tally) follow(d *gatewaytest.Device, until uint64, end time.Time) error {
	next := uint64(0)
	for n.had < until {
		f, err := d.Next(time.Until(end))
		if err != nil {
			return err
		}
		switch f.Type.Base() {
		case wire.TypeStream:
			s, err := wire.ParseStream(f.Body)
			if err != nil {
				return err
			}
			if s.Next > n.had+1 {
				return fmt.Errorf("STREAM at %d, had %d", s.Next, n.had)
			}
			next, n.life = s.Next, s.Life
		case wire.TypeGap:
			g, err := wire.ParseGap(f.Body)
			if err != nil {
				return err
			}
			next += g.Count
			if next-1 > n.had {
				n.missing += next - 1 - n.had
				n.had = next - 1
			}
		case wire.TypeMessage:
			m, err := wire.ParseMessage(f.Type, f.Body)
			if err != nil {
				return err
			}
			if byte(m.Offset) != byte(next) || m.Form == wire.OffsetFull && m.Offset != next {
				return fmt.Errorf("message %d where %d was due", m.Offset, next)
			}
			if next > n.had {
				n.had = next
				n.taken++
			}
			next++
		}
	}
	return nil
}

// Publishers and devices that come, go and resume, on several loops at once: each
// device accounts for every position of its topic, once (BC-7, BC-D2).
func TestConcurrentCounting(t *testing.T) {
	const publishers, each, devices = 3, 1500, 6
	g := gatewaytest.Start(t, gateway.Config{Loops: 3, Limits: gateway.Limits{SendBuffer: 8192, PendingBytes: 8192}})
	topics := []string{"broadcast/a", "broadcast/b"}
	const top = publishers * each
	var all sync.WaitGroup
	problems := make(chan error, publishers+devices)
	for p := range publishers {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(p), 1))
			for range each {
				for _, topic := range topics {
					if _, err := g.Publish(t.Context(), gateway.DefaultTenant, topic, make([]byte, rng.IntN(300))); err != nil {
						problems <- err
						return
					}
				}
				if rng.IntN(20) == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	for i := range devices {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 2))
			name, n := fmt.Sprintf("d%d", i), tally{}
			for attempt := 0; n.had < top; attempt++ {
				d := gatewaytest.Connect(t, g.Addr())
				q := wire.Subscribe{
					Sub: 1, Track: true, Start: wire.StartCursor, Filter: []byte(topics[i%2]), Policy: wire.Policy(i % 3), Cursor: wire.Cursor{},
				}
				if n.had > 0 {
					q.Cursor = q.Cursor.AppendPosition(wire.Position{Life: n.life, Offset: n.had})
				}
				d.Send(q.Append(gatewaytest.Hello(name).Append(nil)))
				until := min(top, n.had+1+uint64(rng.IntN(2000)))
				if err := n.follow(d, until, time.Now().Add(gatewaytest.Patience)); err != nil {
					problems <- fmt.Errorf("%s, attempt %d, had %d: %w", name, attempt, n.had, err)
					return
				}
				_ = d.Conn.Close()
			}
			if n.taken+n.missing != top || n.taken == 0 {
				problems <- fmt.Errorf("%s took %d, missed %d of %d", name, n.taken, n.missing, top)
			}
		})
	}
	all.Wait()
	close(problems)
	var err error
	for p := range problems {
		err = errors.Join(err, p)
	}
	require.NoError(t, err)
	eventually(t, func() bool { return g.Status().CreditUsed == 0 && g.Status().Mailbox == 0 })
}
