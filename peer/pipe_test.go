package peer

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// piped has a mesh whose connections are pipes, in a bubble of time.
func piped(t *testing.T) *Mesh {
	h := newHost(t, 1)
	m, err := New(Config{Cluster: "test", Name: "a", Life: h.life, Streams: h, Source: h})
	require.NoError(t, err)
	h.mesh = m.Broadcast
	go func() { _ = m.Serve(context.Background()) }()
	<-m.Ready()
	return m
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
			m := piped(t)
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
		m := piped(t)
		near, far := net.Pipe()
		m.welcome(far)
		said := hello{kind: kindBatches, min: 1, max: 1, cluster: "test", name: "b", life: 9 << 24}
		go func() { _, _ = near.Write(appendSeq(said.frame(), typeAck, 0)) }()
		ty, _ := readFrame(t, near)
		require.Equal(t, typeHello, ty)
		ty, _ = readFrame(t, near)
		require.Equal(t, typeAck, ty)
		synctest.Wait()
		require.True(t, linked(m, "b"))
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
