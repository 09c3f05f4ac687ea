package gatewaytest

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Proxy stands between devices and a gateway and fails as networks do. All
// methods are safe for concurrent use.
type Proxy struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	moved   *sync.Cond // stalled or closed changed
	conns   map[net.Conn]struct{}
	stalled bool
	closed  bool
	down    int // bytes towards a device before a cut; -1: any number
	up      int // the same towards the gateway
}

// NewProxy listens on a free port of 127.0.0.1 until the test ends.
func NewProxy(t testing.TB, target net.Addr) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &Proxy{listener: l, target: target.String(), conns: map[net.Conn]struct{}{}, down: -1, up: -1}
	p.moved = sync.NewCond(&p.mu)
	var done sync.WaitGroup
	done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			done.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		p.closed = true
		p.moved.Broadcast()
		p.mu.Unlock()
		p.Cut()
		done.Wait()
	})
	return p
}

// Addr is where devices connect.
func (p *Proxy) Addr() net.Addr { return p.listener.Addr() }

// Cut ends every connection that there is, without a word.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// CutAfter ends each connection that comes from now on once that many bytes went
// through to its device; -1: none.
func (p *Proxy) CutAfter(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = n
}

// CutUpAfter is CutAfter for what the device sends.
func (p *Proxy) CutUpAfter(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up = n
}

// Stall holds all bytes back, or lets them go on.
func (p *Proxy) Stall(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = on
	p.moved.Broadcast()
}

func (p *Proxy) serve(device net.Conn) {
	gateway, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = device.Close()
		return
	}
	p.mu.Lock()
	p.conns[device], p.conns[gateway] = struct{}{}, struct{}{}
	down, up := p.down, p.up
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.copy(gateway, device, up) })
	both.Go(func() { p.copy(device, gateway, down) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, device)
	delete(p.conns, gateway)
	p.mu.Unlock()
}

// copy moves bytes until either side ends, then ends both.
func (p *Proxy) copy(to, from net.Conn, budget int) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for budget != 0 {
		part := buf
		if budget > 0 {
			part = buf[:min(budget, len(buf))]
		}
		n, err := from.Read(part)
		p.mu.Lock()
		for p.stalled && !p.closed {
			p.moved.Wait()
		}
		p.mu.Unlock()
		if _, werr := to.Write(part[:n]); werr != nil || err != nil {
			return
		}
		if budget > 0 {
			budget -= n
		}
	}
	// Who wrote last is read from until it hangs up, so that nothing is reset.
	_ = to.Close()
	_, _ = io.Copy(io.Discard, from)
}
