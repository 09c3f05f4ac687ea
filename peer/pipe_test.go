package peer

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// pipedMesh is one whose connections are pipes, in a bubble of time.
type pipedMesh struct {
	*Mesh
	host *host
}

func piped(t *testing.T, life uint64, name string) pipedMesh {
	h := newHost(t, life)
	m, err := New(Config{Cluster: "test", Name: name, Life: h.life, Streams: h, Source: h, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	h.mesh = m.Broadcast
	go func() { _ = m.Serve(context.Background()) }()
	<-m.Ready()
	return pipedMesh{m, h}
}

// readFrame reads one frame from a pipe.
func readFrame(t *testing.T, conn net.Conn) (frameType, []byte) {
	head := make([]byte, 2)
	_, err := io.ReadFull(conn, head)
	require.NoError(t, err)
	require.Less(t, head[1], byte(0x80))
	body := make([]byte, head[1])
	_, err = io.ReadFull(conn, body)
	require.NoError(t, err)
	return frameType(head[0]), body
}

// TestNoHello gives a stranger five seconds, drop by drop or silent.
func TestNoHello(t *testing.T) {
	for _, drip := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			m := piped(t, 1, "a")
			near, far := net.Pipe()
			m.welcome(far)
			begun := time.Now()
			if drip {
				go func() {
					for _, err := near.Write([]byte{byte(typeHello)}); err == nil; _, err = near.Write([]byte{0x26}) {
						time.Sleep(time.Second)
					}
				}()
			}
			ty, body := readFrame(t, near)
			require.Equal(t, typeClose, ty)
			e, err := parseClose(body)
			require.NoError(t, err)
			require.Contains(t, []Why{Late, Broken}, e.Why)
			require.LessOrEqual(t, time.Since(begun), defaultGreeting+tickEvery)
			_ = near.Close()
			require.NoError(t, m.Close())
			time.Sleep(time.Second) // the one that drips sees it
		})
	}
}

// TestPipeSilence links over a pipe, says nothing more, and does not even read the goodbye: all goroutines end.
func TestPipeSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := piped(t, 1, "a")
		near, far := net.Pipe()
		m.welcome(far)
		said := hello{kind: kindBatches, min: 1, max: 1, cluster: "test", name: "b", life: 9 << 24}
		go func() { _, _ = near.Write(appendSeq(said.frame(), typeAck, 0)) }()
		ty, _ := readFrame(t, near)
		require.Equal(t, typeHello, ty)
		ty, _ = readFrame(t, near)
		require.Equal(t, typeAck, ty)
		synctest.Wait()
		require.True(t, linked(m.Mesh, "b"))
		time.Sleep(DefaultSilence + goodbye + 3*tickEvery)
		synctest.Wait()
		require.Zero(t, m.connections())
		require.EqualValues(t, 1, m.Totals().Refused[Silent])
		require.Equal(t, "away", m.Links()[0].State)
		time.Sleep(DefaultHold)
		synctest.Wait()
		require.Equal(t, "lost", m.Links()[0].State)
		require.NoError(t, m.Close())
	})
}

// TestBackPressure has a gateway wait for publish credit for long: it reads nothing meanwhile, keeps its link, and has lost
// nothing when it goes on. What keeps the link where heartbeats are not answered is TestWaitingIsNotSilent's.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := piped(t, 1, "a"), piped(t, 2, "b")
		near, far := net.Pipe()
		a.welcome(far)
		dials := &conn{Conn: near, mesh: b.Mesh}
		require.True(t, b.add(dials))
		go func() { _ = b.run(dials, endpoint{dialled: true, begun: b.now()}) }()
		synctest.Wait()
		require.True(t, linked(a.Mesh, "b"))
		credit := make(chan struct{})
		b.host.credit.Store(&credit)
		for i := 1; i <= 100; i++ {
			a.host.publish("broadcast/x", fmt.Sprint(i), nil)
		}
		time.Sleep(5 * DefaultSilence)
		require.True(t, linked(a.Mesh, "b"))
		require.True(t, linked(b.Mesh, "a"))
		require.Empty(t, b.host.saw(a.host.life))
		close(credit)
		time.Sleep(time.Second)
		require.Equal(t, numbers(1, 100), b.host.saw(a.host.life))
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
	})
}
