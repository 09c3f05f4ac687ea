package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/panjf2000/gnet/v2"
)

// engine is gnet's view of a gateway: six callbacks, each of which finds the
// loop and hands over. Nothing else sees gnet.EventHandler.
type engine struct {
	g     *Gateway
	eng   gnet.Engine
	began bool // the first tick was
}

var _ gnet.EventHandler = (*engine)(nil)

// tickEvery is how often sockets that are full are looked at again.
const tickEvery = 10 * time.Millisecond

// wakeEnd is the context of a loop's own end of its socket pair.
type wakeEnd struct{ far int32 }

// OnBoot keeps the engine, to stop it.
func (e *engine) OnBoot(eng gnet.Engine) gnet.Action {
	e.eng = eng
	return gnet.None
}

// OnShutdown lets OnTick return; sessions are unlinked in OnClose.
func (e *engine) OnShutdown(gnet.Engine) {
	select {
	case e.g.hurry <- struct{}{}:
	default:
	}
}

// OnOpen makes a session, or adopts a loop.
func (e *engine) OnOpen(c gnet.Conn) (out []byte, action gnet.Action) {
	l := e.g.loopOf(c.EventLoop())
	if end, ok := c.Context().(*wakeEnd); ok {
		l.adopt(end.far)
		return nil, gnet.None
	}
	action = gnet.Close
	l.guard(nil, func() {
		s, refusal := l.opened(c, c.Fd())
		if s == nil {
			out = refusal
			return
		}
		c.SetContext(s)
		if !e.g.cfg.without.userTimeout {
			tune(c.Fd(), int(e.g.limits.Load().UserTimeout.Milliseconds()))
		}
		action = gnet.None
	})
	return out, action
}

// OnClose unlinks the session.
func (e *engine) OnClose(c gnet.Conn, err error) gnet.Action {
	if s, ok := c.Context().(*session); ok {
		l := e.g.loopOf(c.EventLoop())
		l.guard(nil, func() { l.hungUp(s, err) })
	}
	return gnet.None
}

// OnTraffic hands over what was received.
func (e *engine) OnTraffic(c gnet.Conn) gnet.Action {
	l := e.g.loopOf(c.EventLoop())
	switch ctx := c.Context().(type) {
	case *session:
		l.guard(ctx, func() { l.traffic(ctx) })
	case *wakeEnd:
		_, _ = c.Discard(-1)
		l.guard(nil, l.drain)
	}
	return gnet.None
}

// OnTick runs on a goroutine of its own: it advances the coarse clock and has
// the loops tick, each at most once at a time. It returns when the next tick is
// due or asked for.
func (e *engine) OnTick() (time.Duration, gnet.Action) {
	g := e.g
	if !e.began {
		e.began = true
		if err := e.enrollWakeEnds(); err != nil {
			g.log.Error("the loops cannot be woken; stopping", "error", err)
			return tickEvery, gnet.Shutdown
		}
		close(g.ready)
	}
	g.watchMemory(time.Now())
	now := uint32(time.Since(g.started)/time.Second) + 1
	second := g.now.Swap(now) != now
	for _, l := range g.loops {
		if (second || l.busy.Load()) && l.ticking.CompareAndSwap(false, true) {
			l.execute(tickTask{l})
		}
	}
	if second {
		g.rings.Expire(now, expireAtOnce)
		g.sweep()
		if g.fleet != nil {
			g.fleet.sweep(now)
		}
		g.sources.sweep(now)
	}
	return g.untilTick(now), gnet.None
}

// untilTick waits for the next second or until a loop asks for a tick, and says
// how much longer to wait. A ticker that went on by itself would cost an idle
// gateway 2 % of a core: whenever all have slept, Go's runtime looks every 20 µs
// for a while whether it is needed.
func (g *Gateway) untilTick(now uint32) time.Duration {
	for _, l := range g.loops {
		if l.busy.Load() {
			return tickEvery
		}
	}
	second := time.NewTimer(time.Duration(now)*time.Second - time.Since(g.started))
	defer second.Stop()
	select {
	case <-g.hurry:
		return tickEvery
	case <-second.C:
		return 0
	}
}

// sweepAtOnce is how many topics and links of one tenant are looked at per second:
// some milliseconds of work.
const sweepAtOnce = 1 << 18

// sweep drops what topics hold of wildcards that are gone, gives tenants what a second
// gives, and tells them what they missed.
func (g *Gateway) sweep() {
	for _, t := range g.tenants.all() {
		t.index.Sweep(sweepAtOnce)
		t.usage.refill()
		if t.unnamed.CompareAndSwap(true, false) {
			g.CentralMissed(t.name)
		}
	}
}

// expireAtOnce is how many rings are cleared of what is too old per second.
const expireAtOnce = 4096

// enrollWakeEnds gives each loop its socket pair. gnet hands registered
// connections to its loops in turn.
func (e *engine) enrollWakeEnds() error {
	for range e.g.loops {
		near, far, err := wakePair()
		if err != nil {
			return err
		}
		done, err := e.eng.Register(gnet.NewNetConnContext(gnet.NewContext(context.Background(), &wakeEnd{far}), near))
		if err != nil {
			return fmt.Errorf("register: %w", err)
		}
		select {
		case r := <-done:
			if r.Err != nil {
				return fmt.Errorf("register: %w", r.Err)
			}
		case <-e.g.ctx.Done():
			return net.ErrClosed
		}
	}
	return nil
}

type tickTask struct{ l *loop }

func (t tickTask) Run(context.Context) error {
	t.l.guard(nil, t.l.tick)
	t.l.ticking.Store(false)
	return nil
}

// options are the engine's: level triggered, one listener per loop, so that a
// refused connection is refused before the next is accepted. TCP_NODELAY [W-1.1] is
// gnet's default.
func (g *Gateway) options() []gnet.Option {
	return []gnet.Option{
		gnet.WithNumEventLoop(g.cfg.Loops), gnet.WithReusePort(true), gnet.WithReuseAddr(true),
		gnet.WithTicker(true), gnet.WithTCPKeepAlive(10 * time.Minute),
		gnet.WithReadBufferCap(64 * kib), gnet.WithWriteBufferCap(16 * kib),
		gnet.WithSocketSendBuffer(g.limits.Load().SendBuffer), gnet.WithLogger(engineLog{g.log}),
	}
}

// engineLog passes on what gnet has to say that matters.
type engineLog struct{ log *slog.Logger }

func (e engineLog) Debugf(string, ...any) {}
func (e engineLog) Infof(string, ...any)  {}

// Warnf is for developers: strangers who hang up at the wrong moment cause it.
func (e engineLog) Warnf(format string, args ...any) {
	if e.log.Enabled(context.Background(), slog.LevelDebug) {
		e.log.Debug("engine", "message", fmt.Sprintf(format, args...))
	}
}

func (e engineLog) Errorf(format string, args ...any) {
	e.log.Error("engine", "message", fmt.Sprintf(format, args...))
}

// Fatalf only logs: it is for whoever embeds the gateway to end the process.
func (e engineLog) Fatalf(format string, args ...any) { e.Errorf(format, args...) }
