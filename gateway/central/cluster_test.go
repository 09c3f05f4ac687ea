package central

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// cluster is three NATS servers with JetStream, which can be killed and started again.
type cluster struct {
	t     *testing.T
	dir   string
	ports [3]int // of clients
	peers [3]int // of the servers among themselves
	up    [3]*server.Server
}

func newCluster(t *testing.T) *cluster {
	c := &cluster{t: t, dir: t.TempDir()}
	for i := range c.ports {
		c.ports[i], c.peers[i] = freePort(t), freePort(t)
	}
	for i := range c.up {
		c.start(i)
	}
	t.Cleanup(func() {
		for i := range c.up {
			c.kill(i)
		}
	})
	eventually(t, func() bool { return c.leader() >= 0 }, "the cluster has a leader")
	return c
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func (c *cluster) start(i int) {
	var routes []*url.URL
	for _, p := range c.peers {
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", p)})
	}
	srv, err := server.NewServer(&server.Options{
		ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: c.ports[i], NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: filepath.Join(c.dir, fmt.Sprint(i)), SyncAlways: true,
		JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: 64 << 20,
		Cluster: server.ClusterOpts{Name: "fleet", Host: "127.0.0.1", Port: c.peers[i]}, Routes: routes,
	})
	require.NoError(c.t, err)
	srv.Start()
	require.True(c.t, srv.ReadyForConnections(10*time.Second))
	c.up[i] = srv
}

func (c *cluster) kill(i int) {
	if c.up[i] != nil {
		halt(c.up[i])
		c.up[i] = nil
	}
}

func (c *cluster) leader() int {
	return slices.IndexFunc(c.up[:], func(s *server.Server) bool { return s != nil && s.JetStreamIsLeader() })
}

// of is who leads a stream.
func (c *cluster) of(stream string) int {
	return slices.IndexFunc(c.up[:], func(s *server.Server) bool {
		return s != nil && s.JetStreamIsStreamLeader("$G", stream)
	})
}

func (c *cluster) urls() (all []string) {
	for _, p := range c.ports {
		all = append(all, fmt.Sprintf("nats://127.0.0.1:%d", p))
	}
	return all
}

// A cluster of three loses the leader of everything, then a second server, and gets them
// back: central topics, records, streams and the list of gateways go on by themselves, and
// without a quorum records are refused with a code while messages still pass.
func TestCluster(t *testing.T) {
	cl := newCluster(t)
	a, _ := start(t, Config{Name: "a", URLs: cl.urls(), Lease: time.Second})
	b, got := start(t, Config{Name: "b", URLs: cl.urls(), Lease: time.Second, Alive: func(string) bool { return true }})
	ctx := t.Context()
	put := func(value string) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := a.Records().Put(ctx, "k", []byte(value))
		return err
	}
	reads := func(want string) func() bool {
		return func() bool {
			v, _, err := b.Records().Get(ctx, "k")
			return err == nil && string(v) == want
		}
	}
	eventually(t, func() bool { return put("1") == nil }, "a record")
	eventually(t, reads("1"), "the record")
	eventually(t, func() bool { return a.Bind(ctx, "ORDERS", "acme", "orders/#", Keep{}) == nil }, "a stream")
	eventually(t, func() bool { return a.bound.named("ORDERS") != nil && b.bound.named("ORDERS") != nil }, "the stream is known")
	for _, f := range []string{"orders/#", "plain/#", "+/a", "#"} {
		_, err := b.Subscribe("acme", f)
		require.NoError(t, err)
	}
	settle(t, b, got, "acme", "plain/settle")
	settle(t, b, got, "acme", "orders/settle")
	announce(t, a, Gateway{Name: "a", Life: 1}, nil)
	announce(t, b, Gateway{Name: "b", Life: 2}, nil)
	eventually(t, func() bool { return slices.Equal(got.names(), []string{"a", "b"}) }, "both")

	// Through all that follows: what was acknowledged has to come once, in order.
	stored := storing(t, a, "acme", "orders/a")
	pass := func(mark string) {
		t.Helper()
		eventually(t, func() bool {
			_ = a.Publish("acme", "plain/a", []byte(mark))
			time.Sleep(5 * time.Millisecond)
			return slices.Contains(got.payloads("plain/a"), mark)
		}, "messages pass: %s", mark)
	}

	stored.more("all up")
	first := cl.of("KV_bw-records")
	require.GreaterOrEqual(t, first, 0)
	cl.kill(first)
	eventually(t, func() bool { return put("2") == nil }, "a record with one server down")
	eventually(t, reads("2"), "it is there")
	pass("one server down")
	stored.more("one server down")

	second := (first + 1) % 3
	cl.kill(second)
	eventually(t, func() bool { return a.Connected() && b.Connected() }, "both have found the last one")
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err := a.Records().Put(short, "k", []byte("no quorum"))
	require.ErrorIs(t, err, ErrAway)
	pass("two servers down")
	names := got.names()
	require.Equal(t, []string{"a", "b"}, names, "nobody is dropped")

	cl.start(second)
	eventually(t, func() bool { return put("3") == nil }, "a record with two up")
	cl.start(first)
	eventually(t, reads("3"), "the record")
	pass("all up again")
	stored.more("all up again")
	acked := stored.stop()
	last := acked[len(acked)-1]
	eventually(t, func() bool { return slices.Contains(got.payloads("orders/a"), last) }, "the last stored message")
	// One that was not acknowledged may have been stored all the same.
	var came []string
	for _, p := range got.payloads("orders/a") {
		if _, known := slices.BinarySearchFunc(acked, p, byNumber); known {
			came = append(came, p)
		}
	}
	require.Equal(t, acked, came)
	at := got.offsets("orders/a")
	require.True(t, slices.IsSorted(at))
	require.Len(t, slices.Compact(slices.Clone(at)), len(at))
}

// storer publishes numbers to a topic with a stream, one after the other.
type storer struct {
	t    *testing.T
	quit chan struct{}
	done chan struct{}

	mu    sync.Mutex
	acked []string
}

// storing has it begin, and end with the test at the latest.
func storing(t *testing.T, c *Central, tenant, topic string) *storer {
	s := &storer{t: t, quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		for n := 0; ; n++ {
			select {
			case <-s.quit:
				return
			case <-time.After(time.Millisecond):
			}
			// While nobody leads the stream there is no answer: then it is the next one's turn.
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			_, err := c.PublishStored(ctx, tenant, topic, fmt.Append(nil, n))
			cancel()
			if err == nil {
				s.mu.Lock()
				s.acked = append(s.acked, fmt.Sprint(n))
				s.mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *storer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.acked)
}

// more waits until some are acknowledged that were not published yet when it was called:
// of the first one that comes nobody knows that.
func (s *storer) more(when string) {
	s.t.Helper()
	before := s.count()
	eventually(s.t, func() bool { return s.count() > before+1 }, "messages are stored: %s", when)
}

// stop ends it, and is what was acknowledged.
func (s *storer) stop() []string {
	select {
	case <-s.quit:
	default:
		close(s.quit)
	}
	<-s.done
	return s.acked
}

func byNumber(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Over a cluster's routes overlapping filters bring a message once as well.
func TestOverlapInACluster(t *testing.T) {
	cl := newCluster(t)
	c, got := start(t, Config{URLs: cl.urls()})
	for _, f := range []string{"#", "a/#", "a/b", "+/b", "a/+"} {
		_, err := c.Subscribe("acme", f)
		require.NoError(t, err)
	}
	settle(t, c, got, "acme", "a/b")
	before := len(got.payloads("a/b"))
	var want []string
	for i := range cl.up { // from each server
		nc := backend(t, cl.urls()[i])
		// Interest spreads in its own time: until then a message may not find its way.
		for n := range 500 {
			want = append(want, fmt.Sprint(i, n))
			require.NoError(t, nc.Publish("bw.t.acme.a.b", fmt.Append(nil, i, n)))
		}
		require.NoError(t, nc.Flush())
	}
	eventually(t, func() bool { return len(got.payloads("a/b"))-before >= len(want) }, "all")
	all := got.payloads("a/b")[before:]
	slices.Sort(all)
	slices.Sort(want)
	require.Equal(t, want, all)
}

// Real processes that are killed, not shut down.
func TestClusterOfProcesses(t *testing.T) {
	binary := natsServer(t)
	dir := t.TempDir()
	var ports, peers [3]int
	for i := range ports {
		ports[i], peers[i] = freePort(t), freePort(t)
	}
	routes := fmt.Sprintf("nats://127.0.0.1:%d,nats://127.0.0.1:%d,nats://127.0.0.1:%d", peers[0], peers[1], peers[2])
	var running [3]*exec.Cmd
	run := func(i int) {
		cmd := exec.Command(binary, "-n", fmt.Sprint("p", i), "-a", "127.0.0.1", "-p", fmt.Sprint(ports[i]), "-js", "-sd", filepath.Join(dir, fmt.Sprint(i)),
			"-cluster_name", "fleet", "-cluster", fmt.Sprintf("nats://127.0.0.1:%d", peers[i]), "-routes", routes)
		require.NoError(t, cmd.Start())
		running[i] = cmd
	}
	kill := func(i int) {
		if running[i] != nil {
			_ = running[i].Process.Kill()
			_ = running[i].Wait()
			running[i] = nil
		}
	}
	var urls []string
	for i := range running {
		run(i)
		t.Cleanup(func() { kill(i) })
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", ports[i]))
	}
	a, _ := start(t, Config{Name: "a", URLs: urls})
	b, got := start(t, Config{Name: "b", URLs: urls})
	_, err := b.Subscribe("acme", "x/#")
	require.NoError(t, err)
	for round := range 3 {
		mark := fmt.Sprint("round ", round)
		eventually(t, func() bool { _, err := a.Records().Put(t.Context(), "k", []byte(mark)); return err == nil }, "a record, %s", mark)
		kill(round)
		eventually(t, func() bool {
			_ = a.Publish("acme", "x/y", []byte(mark))
			time.Sleep(5 * time.Millisecond)
			return slices.Contains(got.payloads("x/y"), mark)
		}, "messages pass, %s", mark)
		eventually(t, func() bool {
			v, _, err := b.Records().Get(t.Context(), "k")
			return err == nil && string(v) == mark
		}, "the record, %s", mark)
		run(round)
		eventually(t, func() bool {
			nc, err := nats.Connect(urls[round])
			if err == nil {
				nc.Close()
			}
			return err == nil
		}, "it is up again, %s", mark)
	}
}
