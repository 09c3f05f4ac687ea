//go:build linux

package bench

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

func fleetConfig() FleetConfig {
	return FleetConfig{
		Config: Config{Server: []string{"gw", ListenPlaceholder, AdminPlaceholder}},
		Join:   []string{NamePlaceholder, PeerPlaceholder}, Link: []string{OtherPlaceholder},
	}
}

func TestFleetConfigIsChecked(t *testing.T) {
	c, err := fleetConfig().withDefaults()
	require.NoError(t, err)
	require.Equal(t, []int{1, 3, 10}, c.Links)
	require.Equal(t, fleetParts(), c.Parts)
	for want, edit := range map[string]func(*FleetConfig){
		"must hold {other}":       func(c *FleetConfig) { c.Link = nil },
		"must hold {listen}":      func(c *FleetConfig) { c.Server = nil },
		"one number of messages":  func(c *FleetConfig) { c.Windows = []int{1, 32} },
		"0 other gateways":        func(c *FleetConfig) { c.Links = []int{3, 0} },
		"take some of each":       func(c *FleetConfig) { c.Runs = -1 },
		"no part \"all\"":         func(c *FleetConfig) { c.Parts = []string{"all"} },
		"at least one of each":    func(c *FleetConfig) { c.Pairs = -1 },
		"more descriptors than":   func(c *FleetConfig) { c.Subscribers = 1 << 30 },
		"holds at least one mess": func(c *FleetConfig) { c.Windows = []int{-1} },
	} {
		c := fleetConfig()
		edit(&c)
		_, err := Fleet(t.Context(), c, io.Discard)
		require.ErrorContains(t, err, want)
	}
	small, err := fleetConfig().Quick().withDefaults()
	require.NoError(t, err)
	require.Equal(t, []int{1, 2}, small.Links)
}

// Each target of a fleet is answered by a figure of a full run, and by one only.
func TestFleetTargetsAreAnswered(t *testing.T) {
	c, err := fleetConfig().withDefaults()
	require.NoError(t, err)
	answered := fleetAnswers(t, c)
	require.Empty(t, answered, "CPUs are not told apart")
	c.Pin = true
	answered = fleetAnswers(t, c)
	for _, g := range fleetTargets() {
		require.Equal(t, 1, answered[g.id], g.id)
	}
	require.Len(t, answered, len(fleetTargets()))
	c.Subscribers = 2
	for id := range fleetAnswers(t, c) {
		require.True(t, strings.HasPrefix(id, "fleet-topics"), "%s is of one subscriber", id)
	}
}

// fleetAnswers are the targets that figures of a run of all parts answer, and how many do.
func fleetAnswers(t *testing.T, c FleetConfig) map[string]int {
	answered := map[string]int{}
	record := func(r *Result) {
		for _, f := range r.Figures {
			if f.Target != "" {
				answered[f.Target]++
			}
		}
	}
	for _, l := range fleetLoads() {
		r := &Result{}
		b := &fleetBed{bed: &bed{Config: c.Config, r: r}, conf: c}
		arms := []*gathered{{system: &system{label: noPeers}}, {system: &system{label: peersLabel(3)}, peers: 3}, {system: &system{label: peersLabel(10)}, peers: 10}}
		for _, g := range arms {
			for _, of := range []string{peerCost, l.bytes(wireBytes), l.bytes(readBytes), meanBatch, savedShare, compressTime, messageCost, idleCost} {
				b.add(g.system, b.named(l, of), "", 1)
			}
		}
		require.NoError(t, b.concludeCost(l, arms, nil))
		record(r)
	}
	hops := &Result{}
	b := &fleetBed{bed: &bed{Config: c.Config, r: hops}, conf: c}
	for _, place := range []string{hopAdded, hopNear, hopFar} {
		for _, p := range latencyPercentiles {
			for _, v := range []float64{3, 1, 2} {
				hops.add(place+", "+latencyQuantity(p), "ms", v)
			}
		}
	}
	require.NoError(t, b.concludeHop())
	record(hops)
	require.InDelta(t, 1, hops.Figures[0].Median, 0, "the best run")
	topics := &Result{}
	b.bed = &bed{Config: c.Config, r: topics}
	for _, of := range []string{topicsSent, topicsRead, topicsBefore, topicsTime} {
		topics.add(topicsSystem+", "+of, "", 0)
	}
	require.NoError(t, b.concludeTopics(topicsSystem))
	record(topics)
	return answered
}

func TestFleetStatus(t *testing.T) {
	answer := `{"links":[{"name":"a","state":"linked","batches_sent":2,"messages_sent":40,"bytes_sent":3000,"batches_resent":1},` +
		`{"name":"b","state":"away","batches_sent":1,"messages_sent":20,"bytes_sent":1500,"batches_skipped":4,"batches_received":7}],` +
		`"batches":{"batches":2,"messages":40,"bytes":3000,"bytes_saved":100,"compression_us":9}}`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answer) })) //nolint:errcheck // the test would fail
	defer s.Close()
	p := &process{admin: s.URL, errors: &tail{}}
	f, err := fleetOf(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, linkStatus{Batches: 3, Messages: 60, Bytes: 4500, Resent: 1, Skipped: 4, Received: 7}, f.sent())
	require.EqualValues(t, 100, f.Batches.Saved)
	require.NoError(t, linked(t.Context(), p, 1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorContains(t, linked(ctx, p, 2), "of 2 gateways are linked")
	answer = "nonsense"
	_, err = fleetOf(t.Context(), p)
	require.ErrorContains(t, err, "/v1/fleet")
}

func TestFarSubscribersAreAtTheirServers(t *testing.T) {
	at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port) }
	l := load{Remote: at(1), Protocol: "bellwire", Topics: []string{"a", "b"}, Devices: 7, Payload: 8, Far: []netip.AddrPort{at(2), at(3)}}
	require.NoError(t, l.check())
	require.Equal(t, 3, l.near())
	var ports []uint16
	for i := range 8 {
		ports = append(ports, l.remote(i).Port())
		require.Equal(t, l.remote(i).Port() > 1, l.distant(i))
	}
	require.Equal(t, []uint16{1, 1, 1, 2, 2, 3, 3, 1}, ports, "the publisher is the last")
	l.Devices = 5
	require.ErrorContains(t, l.check(), "5 subscribers for 2 topics at 3 servers")
	l.Devices, l.Body = 7, "paper"
	require.ErrorContains(t, l.check(), "no payload is called")
}

// Far and near are told apart, here of one and the same server, which sends to the one that subscribed first before the
// other: what a hop adds is never negative.
func TestHopsAreMeasuredMessageByMessage(t *testing.T) {
	floor := startTestFloor(t, "single")
	h := &hand{}
	defer h.close()
	_, err := h.do(t.Context(), order{Connect: &load{
		Remote: floor.device, Protocol: "bellwire", Topics: []string{defaultTopic}, Devices: 3, Payload: 64, Body: bodyRandom,
		Far: []netip.AddrPort{floor.device},
	}})
	require.NoError(t, err)
	a, err := h.do(t.Context(), order{Pace: &paceOrder{Every: 200 * time.Microsecond, Messages: 50}})
	require.NoError(t, err)
	require.EqualValues(t, 150, a.Deliveries)
	for _, of := range [][]time.Duration{a.Latency, a.Far, a.Added} {
		require.Len(t, of, len(latencyPercentiles))
		require.True(t, slices.IsSorted(of))
	}
	a, err = h.do(t.Context(), order{Burst: &burstOrder{Window: 8, AtLeast: time.Millisecond, Near: true}})
	require.NoError(t, err)
	require.Equal(t, 3*a.Messages, a.Deliveries, "those far away are waited for at the end")
	require.Equal(t, h.devices.due, h.devices.delivered)
	require.Equal(t, h.devices.dueFar, h.devices.far)
}

func TestStamps(t *testing.T) {
	d := connectTest(t, startTestFloor(t, "single"), 2, 20)
	require.NoError(t, d.stamp(t.Context()))
	begin := time.Now()
	var came []time.Time
	d.took = func(_ *receiver, now time.Time) { came = append(came, now) }
	require.NoError(t, d.burst(t.Context(), 1))
	require.Len(t, came, 2)
	for _, at := range came {
		require.WithinRange(t, at, begin.Round(0), time.Now().Round(0))
	}
	at, err := stampIn(nil)
	require.NoError(t, err)
	require.Zero(t, at)
	_, err = stampIn(make([]byte, 32))
	require.ErrorContains(t, err, "time stamp")
}

func TestHopTimes(t *testing.T) {
	h := hopTimes{make([]time.Duration, 2), make([]time.Duration, 2)}
	h.record(&receiver{}, 0, 5)
	h.record(&receiver{}, 0, 4)
	h.record(&receiver{far: true}, 0, 9)
	h.record(&receiver{far: true}, 1, 7)
	require.Equal(t, hopTimes{near: []time.Duration{5, 0}, far: []time.Duration{9, 7}}, h)
}

func TestBodiesDiffer(t *testing.T) {
	require.Nil(t, bodiesOf("", 64))
	for _, kind := range bodies() {
		seen := map[string]bool{}
		all := bodiesOf(kind, 64)
		require.Len(t, all, differentBodies)
		for _, b := range all {
			require.Len(t, b, 64)
			seen[string(b[sequenceLen:])] = true
		}
		require.Greater(t, len(seen), differentBodies*9/10, kind)
		require.Len(t, bodiesOf(kind, sequenceLen)[0], sequenceLen)
	}
	require.Equal(t, byte('{'), bodiesOf(bodyJSON, 200)[7][sequenceLen])
	// Messages that follow each other have different bodies, whatever their topics.
	x := tally{topics: []string{"a", "b"}, bodies: bodiesOf(bodyRandom, 16)}
	require.NotEqual(t, x.body(0, 4), x.body(1, 4))
	require.NotEqual(t, x.body(1, 4), x.body(0, 5))
	require.Equal(t, x.body(1, 4), x.body(1, 4+differentBodies/2))
}

// A message with the body of another one is noticed.
func TestReceiverChecksBodies(t *testing.T) {
	x := testTally()
	x.payload, x.bodies = pattern(20), bodiesOf(bodyRandom, 20)
	r := &receiver{up: true, id: uint32(testTopic)}
	deliver := func(number byte, body []byte) error {
		p := append([]byte{0, 0, 0, 0, 0, 0, 0, number}, body[sequenceLen:]...)
		return r.feed(wire.Message{Topic: testTopic, Payload: p}.Append(nil), &x)
	}
	require.NoError(t, deliver(0, x.bodies[0]))
	require.ErrorContains(t, deliver(1, x.bodies[0]), "altered")
}

func TestSubscribedAreCounted(t *testing.T) {
	b := wire.Subscribed{Sub: 2, Topic: 9}.Append(nil)
	b = append(b, 0x9F, 1, 0) // a type that may be skipped
	b = wire.Subscribed{Sub: 3, Topic: 10}.Append(b)
	for n := range len(b) + 1 {
		used, answers, err := subscribedIn(b[:n])
		require.NoError(t, err)
		_, more, err := subscribedIn(b[used:])
		require.NoError(t, err)
		require.Equal(t, 2, answers+more, "cut at %d", n)
	}
	_, _, err := subscribedIn(wire.Subscribed{Sub: 2, Code: wire.CodeBadTopic}.Append(nil))
	require.ErrorContains(t, err, "refused")
	_, _, err = subscribedIn(wire.Close{Code: wire.CodeBadTopic}.Append(nil))
	require.ErrorContains(t, err, "closed the connection")
}

func TestProcessRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, make([]byte, 50_000), 0o600))
	before, err := processRead(os.Getpid())
	require.NoError(t, err)
	_, err = os.ReadFile(file)
	require.NoError(t, err)
	after, err := processRead(os.Getpid())
	require.NoError(t, err)
	require.GreaterOrEqual(t, after-before, uint64(50_000))
	_, err = processRead(-1)
	require.ErrorContains(t, err, "process -1")
}
