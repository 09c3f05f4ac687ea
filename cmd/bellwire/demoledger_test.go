package main

import (
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

// demoHistory is three broadcasts, of which two entered at the first gateway, and one device that got what it is given.
func demoHistory(got ...uint64) (*demoDevices, *demoDevice) {
	ledger := newDemoLedger()
	d := newDemoDevices([]string{"a", "b"}, 1, ledger)
	for _, entry := range []int{0, 1, 0} {
		ledger.settle(ledger.add(entry), fatePublished)
	}
	for _, number := range got {
		d.note(d.all[0], demoMessage(d, number), d.began)
	}
	return d, d.all[0]
}

// demoMessage is a broadcast as a device gets it: entry 0 has the life 100, and so on.
func demoMessage(d *demoDevices, number uint64) client.Message {
	entry := d.ledger.page().broadcasts[number-1].entry
	return client.Message{Payload: d.payload(number, entry), Life: wire.Life(100 + entry)}
}

// TestDemoNoticesWhatIsMissing: each count of the account, taken wrong, is an error.
func TestDemoNoticesWhatIsMissing(t *testing.T) {
	for name, test := range map[string]struct {
		got    []uint64
		more   func(d *demoDevices, device *demoDevice)
		want   demoAccount
		killed bool
		says   string
	}{
		"whole":        {got: []uint64{1, 2, 3}, want: demoAccount{arrived: 3}},
		"one missing":  {got: []uint64{1, 3}, want: demoAccount{arrived: 2, missing: 1}, says: "1 deliveries are not accounted for"},
		"nothing came": {want: demoAccount{missing: 3}, says: "3 deliveries"},
		"twice":        {got: []uint64{1, 2, 3, 2}, want: demoAccount{arrived: 3, wrong: demoWrongs{twice: 1}}, says: "1 messages came twice"},
		"out of order": {got: []uint64{3, 1, 2}, want: demoAccount{arrived: 3, wrong: demoWrongs{order: 1}}, says: "1 out of order"},
		"the order of two gateways means nothing": {got: []uint64{2, 1, 3}, want: demoAccount{arrived: 3}},
		"announced": {got: []uint64{1, 3}, more: func(d *demoDevices, device *demoDevice) {
			d.note(device, client.Gap{Count: 1}, d.began)
		}, want: demoAccount{arrived: 2, gaps: 1}},
		"announced and came": {got: []uint64{1, 2, 3}, more: func(d *demoDevices, device *demoDevice) {
			d.note(device, client.Gap{Count: 1}, d.began)
		}, want: demoAccount{arrived: 3, wrong: demoWrongs{announced: 1}}, says: "1 were announced as missing"},
		"of unknown size": {got: []uint64{1, 3}, more: func(d *demoDevices, device *demoDevice) {
			d.note(device, client.Gap{}, d.began)
		}, want: demoAccount{arrived: 2, vague: 1}, says: "unknown size"},
		"of unknown size after a kill": {got: []uint64{1, 3}, more: func(d *demoDevices, device *demoDevice) {
			d.note(device, client.Gap{}, d.began)
		}, want: demoAccount{arrived: 2, vague: 1}, killed: true},
		"behind an end": {got: []uint64{1, 2}, more: func(d *demoDevices, device *demoDevice) {
			d.note(device, client.End{How: wire.EndLost, Life: 100}, d.began)
		}, want: demoAccount{arrived: 2, ended: 1}, killed: true},
		"another one's end": {got: []uint64{1, 2}, more: func(d *demoDevices, device *demoDevice) {
			d.note(device, client.End{How: wire.EndLost, Life: 101}, d.began)
		}, want: demoAccount{arrived: 2, missing: 1}, killed: true, says: "1 deliveries"},
		"an end that nobody knows": {got: []uint64{1, 2}, more: func(d *demoDevices, device *demoDevice) {
			d.note(device, client.End{How: wire.EndLost, Life: 7}, d.began)
		}, want: demoAccount{arrived: 2, missing: 1}, killed: true, says: "1 deliveries"},
		"a gap and an end": {got: []uint64{1, 2}, more: func(d *demoDevices, device *demoDevice) {
			d.note(device, client.Gap{Count: 1}, d.began)
			d.note(device, client.End{How: wire.EndLost, Life: 100}, d.began)
		}, want: demoAccount{arrived: 2, gaps: 1}, killed: true},
		"nobody knows whether it was taken": {got: []uint64{1, 2, 3}, more: func(d *demoDevices, _ *demoDevice) {
			d.ledger.settle(d.ledger.add(1), fateUnknown)
		}, want: demoAccount{arrived: 3}, killed: true},
		"nobody knows, and it is announced": {got: []uint64{1, 2, 3}, more: func(d *demoDevices, device *demoDevice) {
			d.ledger.settle(d.ledger.add(1), fateUnknown)
			d.note(device, client.Gap{Count: 1}, d.began)
		}, want: demoAccount{arrived: 3}, killed: true},
		"nobody knows, and it came": {got: []uint64{1, 2, 3}, more: func(d *demoDevices, device *demoDevice) {
			number := d.ledger.add(1)
			d.ledger.settle(number, fateUnknown)
			d.note(device, demoMessage(d, number), d.began)
		}, want: demoAccount{arrived: 3}, killed: true},
		"it was never sent, and came": {got: []uint64{1, 2, 3}, more: func(d *demoDevices, device *demoDevice) {
			number := d.ledger.add(1)
			d.ledger.settle(number, fateUnpublished)
			d.note(device, demoMessage(d, number), d.began)
		}, want: demoAccount{arrived: 3, wrong: demoWrongs{unpublished: 1}}, says: "1 that were never published"},
		"altered": {got: []uint64{1, 2, 3}, more: func(d *demoDevices, device *demoDevice) {
			d.note(device, client.Message{Payload: []byte("altered")}, d.began)
			d.note(device, client.Message{Payload: make([]byte, demoPayload)}, d.began)
		}, want: demoAccount{arrived: 3, wrong: demoWrongs{altered: 2}}, says: "2 altered"},
		"two gateways of one life": {got: []uint64{1, 3}, more: func(d *demoDevices, device *demoDevice) {
			m := demoMessage(d, 2)
			m.Life = 100
			d.note(device, m, d.began)
		}, want: demoAccount{arrived: 3, wrong: demoWrongs{altered: 1}}, says: "1 altered"},
	} {
		d, device := demoHistory(test.got...)
		if test.more != nil {
			test.more(d, device)
		}
		require.Equal(t, test.want, d.account(d.all), name)
		var out strings.Builder
		err := d.summarize(&out, test.killed)
		if test.says == "" {
			require.NoError(t, err, name)
		} else {
			require.ErrorContains(t, err, test.says, name)
		}
		require.Contains(t, out.String(), "3 broadcasts × 1 devices = 3 deliveries: ", name)
	}
	require.ErrorContains(t, newDemoDevices(nil, 1, newDemoLedger()).summarize(io.Discard, true), "no broadcast")
}

// TestDemoAccountAddsUp: whatever a device gets, each delivery that was acknowledged is counted once.
func TestDemoAccountAddsUp(t *testing.T) {
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 1))
		ledger := newDemoLedger()
		d := newDemoDevices(nil, 1, ledger)
		for range random.IntN(20) {
			ledger.settle(ledger.add(random.IntN(3)), []demoFate{fatePublished, fatePublished, fateUnknown}[random.IntN(3)])
		}
		published := ledger.page().count(fatePublished)
		for number := range ledger.page().broadcasts {
			if random.IntN(3) > 0 {
				d.note(d.all[0], demoMessage(d, uint64(number+1)), d.began)
			}
		}
		for range random.IntN(3) {
			d.note(d.all[0], client.Gap{Count: uint64(random.IntN(3))}, d.began)
			d.note(d.all[0], client.End{Life: wire.Life(100 + random.IntN(4))}, d.began)
		}
		a := d.account(d.all)
		require.Equal(t, published, a.arrived+a.gaps+a.ended+a.vague+a.missing, "seed %d: %+v", seed, a)
	}
}

func TestDemoCountsWhatIsResumed(t *testing.T) {
	d, device := demoHistory(1)
	require.Zero(t, d.resumed.Load())
	p50 := d.percentile(50)
	require.Positive(t, p50)
	late := demoMessage(d, 2)
	late.Replayed = true
	d.note(device, late, d.began.Add(time.Hour))
	require.EqualValues(t, 1, d.resumed.Load())
	require.EqualValues(t, 2, d.delivered.Load())
	require.Equal(t, p50, d.percentile(100), "what was kept says nothing of the way")
}

func TestDemoFollowsItsDevices(t *testing.T) {
	d := newDemoDevices([]string{"a", "b"}, 3, newDemoLedger())
	for i, server := range []string{"a", "b", "a"} {
		d.moved(d.all[i], client.State{Phase: client.Connected, Server: server})
	}
	require.EqualValues(t, 3, d.connected.Load())
	some, losses := d.at("a")
	require.Equal(t, []*demoDevice{d.all[0], d.all[2]}, some)
	require.Empty(t, d.back(some, losses), "they have not lost it yet")
	for _, device := range some {
		d.moved(device, client.State{Phase: client.Reconnecting, Server: "a"})
		d.moved(device, client.State{Phase: client.Reconnecting, Server: "b"})
	}
	require.EqualValues(t, 1, d.connected.Load())
	d.moved(some[0], client.State{Phase: client.Connected, Server: "b"})
	require.Equal(t, map[string]int{"b": 1}, d.back(some, losses))
	d.moved(some[1], client.State{Phase: client.Closed})
	require.Equal(t, map[string]int{"b": 1}, d.back(some, losses))
}

func TestDemoWaitsForWhatIsUnderWay(t *testing.T) {
	d, device := demoHistory(1, 2)
	require.ErrorIs(t, d.settle(t.Context(), time.Nanosecond), errUnsettled)
	d.note(device, demoMessage(d, 3), d.began)
	require.NoError(t, d.settle(t.Context(), time.Hour))
}
