package gateway

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// The pool counts what messages need, not only their bytes: as many of the smallest
// are in mailboxes as their memory allows, each once for each loop, the rest is
// refused, and all of it comes back. The device's credit is about its own bytes.
func TestPoolCountsOverhead(t *testing.T) {
	const loops = 4
	m := newSim(t, Config{Loops: loops, Limits: Limits{CreditPool: 64 * kib}})
	for i := range loops {
		m.join(i, hello(fmt.Sprint(i))).write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/x")}.Append(nil))
	}
	frame := wire.Publish{Name: []byte("broadcast/x"), Payload: []byte("1")}.Append(nil)
	d := m.join(0, hello("d"))
	d.write(frame)
	need := int64(len(frame) + overheadOfMessage + loops*overheadOfPost)
	require.Equal(t, need, m.g.credit.used.Load())
	for range 200 {
		d.write(frame)
	}
	fit := 32 * kib / need // half of the pool is the tenant's
	require.Equal(t, fit*need, m.g.credit.used.Load())
	for _, l := range m.g.loops {
		require.EqualValues(t, fit, l.mail.depth())
	}
	require.False(t, d.closed)
	require.EqualValues(t, 201*len(frame)-int(fit)*len(frame), d.s.pub.owed, "what was refused is the device's again")
	m.drain()
	require.Zero(t, m.g.credit.used.Load())
	require.Zero(t, m.defaultTenant().lent.Load())
	require.Equal(t, m.g.limits.Load().PublishCredit, d.s.pub.credit+d.s.pub.owed)
}

// A burst of 128 small publishes is taken without waiting, on 64 loops as well.
func TestBurstNeedsNoWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(t, Config{Loops: 64})
		for i := range 64 {
			m.join(i, hello(fmt.Sprint(i))).write(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/x")}.Append(nil))
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("it waits")) // who has to wait fails
		for range 128 {
			_, err := m.g.Publish(ctx, DefaultTenant, "broadcast/x", []byte("1"))
			require.NoError(t, err)
		}
		m.drain()
		require.Zero(t, m.g.credit.used.Load())
	})
}
