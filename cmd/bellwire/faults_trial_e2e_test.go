//go:build e2e && linux

package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/bench"
	"github.com/bellwire/bellwire/peer/history"
)

// load is what a fleet carries while something is done to it.
type load struct {
	gateways int
	devices  int // of each gateway
	each     int // topics of a device
	topics   int
	rate     int // messages per second, all together; the gateways take turns
	payload  int
	stay     bool // devices do not go to other gateways
}

// deliveries is how many messages per second devices get.
func (l load) deliveries() float64 {
	return float64(l.rate) / float64(l.topics) * float64(l.gateways*l.devices*l.each)
}

// floor is the load below which a trial is void, and the faults that it needs.
func (l load) floor(span time.Duration, faults map[string]uint64) history.Floor {
	return history.Floor{
		Published: 0.95 * float64(l.rate), Delivered: 0.95 * l.deliveries(), Span: int64(span), Subscribers: l.gateways * l.devices, Faults: faults,
	}
}

// trial is a fleet under load, and its history.
type trial struct {
	t       *testing.T
	load    load
	rec     *recorder
	members []*member
	devices []*trialDevice
	counts  publishCounts

	listening  sync.WaitGroup
	publishing sync.WaitGroup
	stopLoad   context.CancelFunc
	stopAll    context.CancelFunc
	ctx        context.Context
}

// setup is how a trial begins.
type setup struct {
	load     load
	rules    history.Rules
	spaces   []*namespace             // of the gateways; nil: they share this one
	discover bool                     // gateways find each other; else each is told of all others
	before   func(rec *recorder)      // what is to run before them; nil: nothing
	args     func(m *member) []string // what each of them gets beside the usual
	controls []*control
}

// newTrial starts a fleet and has its devices subscribe.
func newTrial(t *testing.T, s setup) *trial {
	t.Helper()
	if inFull() {
		s.controls = nil               // they are tried in the short form, and would cost as much as the trial
		old := debug.SetGCPercent(400) // memory is there, processors are not
		t.Cleanup(func() { debug.SetGCPercent(old) })
	}
	tr := &trial{t: t, load: s.load, rec: newRecorder(s.rules, s.controls...)}
	tr.ctx, tr.stopAll = context.WithCancel(context.Background())
	t.Cleanup(tr.end)
	for i := range s.load.gateways {
		var space *namespace
		if s.spaces != nil {
			space = s.spaces[i]
		}
		tr.members = append(tr.members, newMember(t, tr.rec, fmt.Sprintf("g%d", i+1), space))
	}
	for _, m := range tr.members {
		for _, other := range tr.members {
			if m != other && !s.discover {
				m.args = append(m.args, "--peer", other.peer)
			}
		}
		m.args = append(m.args, s.args(m)...)
	}
	if s.before != nil {
		s.before(tr.rec)
	}
	for _, m := range tr.members {
		m.start()
	}
	awaitLinks(tr.members)
	tr.subscribe()
	return tr
}

// topic is the name of one.
func (tr *trial) topic(i int) string { return fmt.Sprintf("broadcast/%d", i%tr.load.topics) }

// subscribe connects all devices, some at a time.
func (tr *trial) subscribe() {
	tr.t.Helper()
	ctx, cancel := context.WithTimeout(tr.ctx, time.Minute)
	defer cancel()
	failed := make(chan error, tr.load.gateways*tr.load.devices)
	room := make(chan struct{}, 32)
	for i := range tr.load.devices {
		for g, m := range tr.members {
			d := &trialDevice{rec: tr.rec, name: fmt.Sprintf("d%d.%d", g+1, i), home: m}
			if !tr.load.stay {
				d.others = append(append(d.others, tr.members[g+1:]...), tr.members[:g]...)
			}
			tr.devices = append(tr.devices, d)
			var topics []string
			for k := range tr.load.each {
				topics = append(topics, tr.topic(i*tr.load.each+k))
			}
			room <- struct{}{}
			go func() {
				failed <- d.connect(tr.ctx, ctx, &tr.listening, topics)
				<-room
			}()
		}
	}
	for range tr.devices {
		require.NoError(tr.t, <-failed)
	}
}

// publishers is how many there are at most; each has a session with each gateway.
const publishers = 10

// publish begins the load.
func (tr *trial) publish() {
	ctx, cancel := context.WithCancel(tr.ctx)
	tr.stopLoad = cancel
	every := time.Second * time.Duration(tr.load.topics) / time.Duration(tr.load.rate)
	for i := range min(publishers, tr.load.topics) {
		p := &publisher{
			rec: tr.rec, name: fmt.Sprintf("p%d", i), members: tr.members, every: every, payload: tr.load.payload, counts: &tr.counts,
		}
		var topics []string
		for k := i; k < tr.load.topics; k += publishers {
			topics = append(topics, tr.topic(k))
		}
		tr.publishing.Go(func() { p.run(ctx, topics) })
	}
}

// finish ends the load, waits until all of it could arrive, and judges. after is how long that takes.
func (tr *trial) finish(after time.Duration) history.Report {
	tr.t.Helper()
	tr.stopLoad()
	tr.publishing.Wait()
	rest(tr.ctx, after)
	for _, d := range tr.devices {
		if !d.left.Load() {
			tr.rec.add(history.Event{
				Kind: history.Gauge, Who: d.name, Name: "messages sent to a device that had them, and stayed", Count: uint64(d.frames.Load() - d.taken.Load()),
			})
		}
	}
	report := tr.rec.close()
	tr.t.Logf("%s%d sent, %d accepted, %d refused, %d of unknown outcome", report, tr.counts.sent.Load(), tr.counts.accepted.Load(),
		tr.counts.refused.Load(), tr.counts.unknown.Load())
	return report
}

// passed wants a report to be without findings and not void, and the controls to be red.
func (tr *trial) passed(report history.Report) {
	tr.t.Helper()
	keepHistory(tr.t, report)
	require.Equal(tr.t, history.Passed, report.Verdict(), "%s", report)
	tr.rec.checkControls(tr.t)
}

// results adds what every trial measures.
func (tr *trial) results(out *bench.Result, name string, r history.Report) {
	out.Add(name+": messages accepted per second", "1/s", float64(r.Counts.Accepted)/r.Seconds)
	out.Add(name+": messages delivered per second", "1/s", float64(r.Counts.Delivered)/r.Seconds)
	out.Add(name+": delay where no fault explains one, median", "ms", 1000*seconds(r.Delays.Quantile(0.5)))
	out.Add(name+": delay where no fault explains one, 99 %", "ms", 1000*seconds(r.Delays.Quantile(0.99)))
	out.Add(name+": delay where no fault explains one, longest", "ms", 1000*seconds(r.Delays.Most()))
	out.Add(name+": positions announced as missing", "", float64(r.Counts.Missing))
	out.Add(name+": positions of dead gateways behind END", "", float64(r.Counts.Tail))
}

func seconds(nanos int64) float64 { return float64(nanos) / 1e9 }

// end stops everything that the trial has started but its gateways, which end by themselves.
func (tr *trial) end() {
	tr.rec.close()
	if tr.stopLoad != nil {
		tr.stopLoad()
	}
	tr.stopAll()
	tr.publishing.Wait()
	var closing sync.WaitGroup
	for _, d := range tr.devices {
		if d.client != nil {
			closing.Go(func() { d.client.Close() })
		}
	}
	closing.Wait()
	tr.listening.Wait()
}
