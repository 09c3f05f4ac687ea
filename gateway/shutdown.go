package gateway

import (
	"context"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// isReady reports whether new devices are taken.
func (g *Gateway) isReady() bool {
	select {
	case <-g.ready:
		return !g.draining.Load() && !g.closing()
	default:
		return false
	}
}

func (g *Gateway) closing() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stopping
}

func (g *Gateway) goaway() []byte {
	return wire.Goaway{
		Code: wire.CodeDraining, Within: uint32(g.drainTime().Milliseconds()),
		Spread: uint32(g.cfg.DrainSpread.Milliseconds()),
	}.Append(nil)
}

// drainTime is how long a drain takes at most.
func (g *Gateway) drainTime() time.Duration { return g.cfg.DrainSpread + g.cfg.DrainWithin }

// Shutdown drains: not ready, no new devices, GOAWAY to those that are here, and
// Close when they have left, when DrainSpread and then DrainWithin are over, or
// when ctx ends; then it returns ctx's error. Those still here at the end get
// CLOSE.
func (g *Gateway) Shutdown(ctx context.Context) error {
	g.draining.Store(true)
	frame := g.goaway()
	for _, l := range g.loops {
		l.mail.post(entry{call: func(l *loop) {
			l.departed = true
			l.slots.each(func(s *session) {
				if s.stage == stageOpen {
					l.say(s, frame)
				}
			})
		}})
	}
	err := g.waitEmpty(ctx)
	for _, l := range g.loops {
		l.mail.post(entry{call: func(l *loop) {
			l.slots.each(func(s *session) { l.closeWith(s, wire.CodeDraining, "") })
		}})
	}
	if err == nil {
		g.waitClosed(ctx)
	}
	g.leaveFleet(ctx)
	_ = g.Close() // it has no error of its own
	return err
}

// emptyCheck is how often Shutdown counts the devices that are left.
const emptyCheck = 20 * time.Millisecond

// waitEmpty waits until no device is left or the drain's time is over.
func (g *Gateway) waitEmpty(ctx context.Context) error {
	over := time.NewTimer(g.drainTime())
	defer over.Stop()
	tick := time.NewTicker(emptyCheck)
	defer tick.Stop()
	for g.conns.Load() > 0 {
		select {
		case <-tick.C:
		case <-over.C:
			return nil
		case <-g.done:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// waitClosed gives the last CLOSE frames a moment to leave.
func (g *Gateway) waitClosed(ctx context.Context) {
	over := time.NewTimer(lingerSeconds * time.Second)
	defer over.Stop()
	tick := time.NewTicker(emptyCheck)
	defer tick.Stop()
	for g.conns.Load() > 0 {
		select {
		case <-tick.C:
		case <-over.C:
			return
		case <-g.done:
			return
		case <-ctx.Done():
			return
		}
	}
}

// Close stops at once and returns when every goroutine is gone. It is
// idempotent; its error is always nil.
func (g *Gateway) Close() error {
	g.mu.Lock()
	first, serving := !g.stopping, g.serving
	g.stopping = true
	g.mu.Unlock()
	if !serving {
		g.cancel()
		return nil
	}
	if first {
		go g.stopEngine()
	}
	<-g.done
	return nil
}

// stopEngine has the engine stop as soon as it runs.
func (g *Gateway) stopEngine() {
	select {
	case <-g.ready:
	case <-g.done:
		return
	}
	// Serve's return, not Stop's, says that it is over: Stop only looks twice a
	// second.
	_ = g.engine.eng.Stop(g.ctx)
}
