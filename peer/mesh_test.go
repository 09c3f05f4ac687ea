package peer

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// host is a gateway as a mesh sees one: streams of its own with rings, and copies of those of others. It notes everything
// that was done with a copy, and fails the test if two calls for one origin are under way at once.
type host struct {
	t    testing.TB
	life wire.Life
	mesh func(Message)

	mu      sync.Mutex
	own     map[string]*ownStream
	copies  map[string]*copied
	changes []changed
	refuse  func(topic string) error
	ring    int                        // messages that are kept per stream
	calls   map[wire.Life]*atomic.Bool // a call for the origin is under way

	credit atomic.Pointer[chan struct{}] // not nil: Accept takes one each
}

type changed struct {
	origin wire.Life
	name   string
	what   Change
}

type ownStream struct {
	key  uint64
	next uint64
	ring []Kept
}

// copied is the copy of a stream. log has what subscribers see.
type copied struct {
	host  *host
	topic string
	calls *atomic.Bool // of the origin
	mu    sync.Mutex
	next  uint64
	log   []string // "5=payload", "miss 6-8"
	older []Kept
}

func newHost(t testing.TB, boot uint64) *host {
	return &host{t: t, life: wire.Life(boot << 24), own: make(map[string]*ownStream), copies: make(map[string]*copied), calls: make(map[wire.Life]*atomic.Bool), ring: 256}
}

// publish broadcasts a payload on a topic of tenant acme.
func (h *host) publish(topic, payload string, held Held) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.own[topic]
	if s == nil {
		s = &ownStream{key: uint64(len(h.own)) + 1, next: 1}
		h.own[topic] = s
	}
	offset := s.next
	s.next++
	s.ring = append(s.ring, Kept{Offset: offset, Payload: []byte(payload)})
	s.ring = s.ring[max(0, len(s.ring)-h.ring):]
	h.mesh(Message{Key: s.key, Tenant: "acme", Topic: topic, Offset: offset, Payload: []byte(payload), Held: held})
}

func (h *host) Stream(origin wire.Life, tenant, topic []byte) (Stream, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refuse != nil {
		if err := h.refuse(string(topic)); err != nil {
			return nil, err
		}
	}
	key := origin.String() + " " + string(tenant) + " " + string(topic)
	c := h.copies[key]
	if c == nil {
		if h.calls[origin] == nil {
			h.calls[origin] = new(atomic.Bool)
		}
		c = &copied{host: h, topic: string(topic), calls: h.calls[origin]}
		h.copies[key] = c
	}
	return c, nil
}

func (h *host) Changed(origin wire.Life, name string, what Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes = append(h.changes, changed{origin, name, what})
}

func (h *host) Tops(_ uint32, fn func(tenant, topic string, next uint64) bool) {
	h.mu.Lock()
	type top struct {
		topic string
		next  uint64
	}
	var tops []top
	for topic, s := range h.own {
		tops = append(tops, top{topic, s.next})
	}
	h.mu.Unlock()
	slices.SortFunc(tops, func(a, b top) int { return slices.Compare([]byte(a.topic), []byte(b.topic)) })
	for _, top := range tops {
		if !fn("acme", top.topic, top.next) {
			return
		}
	}
}

func (h *host) Read(origin wire.Life, _, topic []byte, from, to uint64, fn func(Kept) bool) {
	h.mu.Lock()
	var ring []Kept
	if s := h.own[string(topic)]; s != nil && origin == h.life {
		ring = slices.Clone(s.ring)
	}
	h.mu.Unlock()
	for _, k := range ring {
		if k.Offset >= from && k.Offset < to && !fn(k) {
			return
		}
	}
}

// saw is what subscribers of an origin's broadcast/x saw.
func (h *host) saw(origin wire.Life) []string {
	h.mu.Lock()
	c := h.copies[origin.String()+" acme broadcast/x"]
	h.mu.Unlock()
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.log)
}

func (h *host) told() []changed {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.changes)
}

// alone begins a call, of which there is one at a time for each origin, and returns what ends it.
func (c *copied) alone() func() {
	if !c.calls.CompareAndSwap(false, true) {
		c.host.t.Errorf("two calls at once for the origin of %s", c.topic)
	}
	return func() { c.calls.Store(false) }
}

func (c *copied) Next() uint64 {
	defer c.alone()()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next
}

func (c *copied) Accept(ctx context.Context, offset uint64, payload []byte) (Verdict, error) {
	defer c.alone()()
	if credit := c.host.credit.Load(); credit != nil {
		select {
		case <-*credit:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.next != 0 && offset < c.next:
		return Duplicate, nil
	case c.next != 0 && offset > c.next:
		return Hole, nil
	}
	c.next = offset + 1
	c.log = append(c.log, fmt.Sprintf("%d=%s", offset, payload))
	return Taken, nil
}

func (c *copied) Miss(next uint64) {
	defer c.alone()()
	c.mu.Lock()
	defer c.mu.Unlock()
	if next > c.next {
		if c.next != 0 {
			c.log = append(c.log, fmt.Sprintf("miss %d-%d", c.next, next-1))
		}
		c.next = next
	}
}

func (c *copied) Backfill(older []Kept) {
	defer c.alone()()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range older {
		c.older = append(c.older, Kept{Offset: k.Offset, Payload: slices.Clone(k.Payload)})
	}
}

// start has a mesh of a host on loopback.
func start(t testing.TB, h *host, name string, change func(*Config)) *Mesh {
	t.Helper()
	cfg := Config{
		Cluster: "test", Name: name, Life: h.life, Listen: "127.0.0.1:0", Streams: h, Source: h,
		Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	m, err := New(cfg)
	require.NoError(t, err)
	h.mesh = m.Broadcast
	go func() { _ = m.Serve(context.Background()) }()
	<-m.Ready()
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 10*time.Second, 2*time.Millisecond, what)
}

func linked(m *Mesh, names ...string) bool {
	up := 0
	for _, s := range m.Links() {
		if s.State == "linked" && slices.Contains(names, s.Name) {
			up++
		}
	}
	return up == len(names)
}

// fleet starts gateways a, b, c… that all know each other.
func fleet(t testing.TB, n int, change func(i int, c *Config)) ([]*host, []*Mesh) {
	t.Helper()
	hosts, meshes := make([]*host, n), make([]*Mesh, n)
	found := make(map[string]string)
	for i := range n {
		hosts[i] = newHost(t, uint64(i)+1)
		name := string(rune('a' + i))
		meshes[i] = start(t, hosts[i], name, func(c *Config) {
			if change != nil {
				change(i, c)
			}
		})
		found[name] = meshes[i].Addr().String()
	}
	for _, m := range meshes {
		m.SetPeers(found)
	}
	for i, m := range meshes {
		var others []string
		for name := range found {
			if name != string(rune('a'+i)) {
				others = append(others, name)
			}
		}
		eventually(t, "all are linked", func() bool { return linked(m, others...) && m.connections() == len(others) })
	}
	return hosts, meshes
}

func numbers(from, to int) (list []string) {
	for i := from; i <= to; i++ {
		list = append(list, fmt.Sprintf("%d=%d", i, i))
	}
	return list
}

// TestMesh has three gateways that all publish: each of the others gets each message once (BC-8), and nobody sends on
// what came from a peer (BC-D3).
func TestMesh(t *testing.T) {
	hosts, meshes := fleet(t, 3, nil)
	const n = 2000
	var all sync.WaitGroup
	for _, h := range hosts {
		all.Go(func() {
			for i := 1; i <= n; i++ {
				h.publish("broadcast/x", fmt.Sprint(i), nil)
			}
		})
	}
	all.Wait()
	want := numbers(1, n)
	for i, h := range hosts {
		for j, other := range hosts {
			if i == j {
				continue
			}
			eventually(t, "all have come", func() bool { return len(h.saw(other.life)) >= n })
			require.Equal(t, want, h.saw(other.life))
		}
		require.Nil(t, h.saw(h.life), "its own came back")
	}
	for _, m := range meshes {
		for _, s := range m.Links() {
			require.EqualValues(t, n, s.MessagesSent, "once per publish and peer")
			require.EqualValues(t, n, s.MessagesReceived)
			require.Zero(t, s.Duplicates)
		}
	}
}

// TestReconnect cuts a link again and again while messages flow: none is lost and none comes twice.
func TestReconnect(t *testing.T) {
	hosts, meshes := fleet(t, 2, nil)
	const n = 5000
	for i := 1; i <= n; i++ {
		hosts[0].publish("broadcast/x", fmt.Sprint(i), nil)
		if i%500 == 0 {
			cut(meshes[i/500%2])
			eventually(t, "linked again", func() bool { return linked(meshes[0], "b") && linked(meshes[1], "a") })
		}
	}
	eventually(t, "all have come", func() bool { return len(hosts[1].saw(hosts[0].life)) >= n })
	require.Equal(t, numbers(1, n), hosts[1].saw(hosts[0].life))
}

// cut closes all connections of a mesh.
func cut(m *Mesh) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.conns {
		_ = c.Close()
	}
}

func (m *Mesh) connections() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.conns)
}
