package gateway

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

// loop is the state of one event loop. Everything but mail and counters belongs
// to that loop: sessions, their subscriptions and their turn need no locks.
type loop struct {
	// Static after it was adopted.
	g      *Gateway
	n      int
	log    *slog.Logger
	send   func(fd int32, b []byte) (int, error) // one write that never blocks
	unsent func(fd int32) int                    // bytes that the kernel holds for a socket
	clock  func() time.Time                      // how late it is, for the length of a turn
	stride int                                   // sends between two looks at the clock
	frames int                                   // the most that are handled of a session at once

	// For any goroutine.
	mail     mailbox
	counters counters
	event    atomic.Pointer[gnet.EventLoop] // nil until the loop was adopted
	far      atomic.Int32                   // far end of the socket pair, 0: none yet; a byte sent to it has drain called
	busy     atomic.Bool                    // somebody waits for a tick soon
	ticking  atomic.Bool                    // a tick is under way
	returned returned

	// Owned by the loop.
	ev    gnet.EventLoop
	slots slots
	wheel wheel

	// The turn: what was taken from the mailbox and how far it is done.
	batch   []entry
	at      int
	run     run
	runs    uint32 // numbers the runs, so that a session takes each once
	dirty   []fanout.Sub
	flushed int // how many of dirty are done
	nodes   []node
	arena   []byte // bytes that nodes point to
	gotten  int    // bytes gathered since the last flush, as runs
	enc     []byte // a control frame while it is encoded
	scratch []byte // joins what one session has coming
	sealed  []byte // the same, sealed
	unseal  []byte // what a transport has opened

	strangers int // how many of unproven are not proven yet

	behind   []fanout.Sub        // sessions whose socket is full
	replays  []fanout.Sub        // sessions that read from rings
	markers  uint32              // numbers the markers of replays
	doomed   []handle            // sessions whose socket failed
	unproven []handle            // connections in order of age; some are proven by now, or gone
	rules    *rules              // those that sessions are asked about by, but for late ones
	before   *rules              // of those; nil: none are late
	early    map[fanout.Sub]bool // beyond checked, and asked about
	checked  fanout.Sub          // how far asking all sessions again has come
	checking bool                // it is under way
	passed   []func()            // called when all were asked by the newest rules
	stalled  []handle            // sessions with a frame that waits for the end of a walk
	waiting  []handle            // sessions whose frames go on in the loop's turn
	departed bool                // GOAWAY was sent
	spare    []giveBack          // an emptied list for returned
	over     map[uint32]over     // origins that have ended, by their numbers
	endings  []ending            // those that sessions are being told of
}

// newLoop prepares a loop; gnet shows its loops only through connections.
func newLoop(g *Gateway, n int) *loop {
	l := &loop{g: g, n: n, log: g.log, send: sendNow, unsent: unsent, clock: time.Now, stride: sliceCheck, frames: readFrames, nodes: make([]node, 1, 64), enc: make([]byte, 0, 2*wire.MaxControl)}
	l.wheel.slots = &l.slots
	l.rules = g.rules.Load()
	l.over = map[uint32]over{}
	l.slots.anyone = g.cfg.without.ownSlot
	l.mail.arm = l.wake
	return l
}

// execute has a task run on the loop; not from the loop's own turn, because gnet
// would run it before it looks at any socket.
func (l *loop) execute(t gnet.Runnable) {
	if ev := l.event.Load(); ev != nil {
		// The error means that the engine has stopped; the mailbox is emptied then.
		_ = (*ev).Execute(context.Background(), t)
	}
}

// adopt takes the far end of the loop's socket pair.
func (l *loop) adopt(far int32) {
	l.far.Store(far)
	l.drain() // what was posted before the loop could be woken
}

// wake has drain called when the sockets have had their turn, from any goroutine:
// a byte in the socket pair is one more socket to look at, and unlike a task of
// gnet's it costs no memory.
func (l *loop) wake() {
	if far := l.far.Load(); far != 0 {
		if _, err := sendNow(far, wakeByte); err == nil {
			return
		}
	}
	l.tickSoon() // the tick does it
}

// tickSoon asks for a tick within tickEvery, from any goroutine.
func (l *loop) tickSoon() {
	if !l.busy.Swap(true) {
		select {
		case l.g.hurry <- struct{}{}:
		default:
		}
	}
}

var wakeByte = []byte{0}

// guard runs fn; a panic costs the session that it happened for, never the
// process.
func (l *loop) guard(s *session, fn func()) {
	if !l.g.cfg.without.recover {
		defer func() {
			if p := recover(); p != nil {
				l.recovered(s, p)
			}
		}()
	}
	fn()
}

// opened makes a session for a connection, or refuses it with a code.
func (l *loop) opened(c gnet.Conn, fd int) (*session, []byte) {
	g := l.g
	from, tls := addrOf(c.RemoteAddr()), g.overTLS(c)
	network, proxy := networkOf(from.Addr()), g.isProxy(from.Addr())
	code := l.take(network, proxy)
	if code != wire.CodeOK {
		l.counters.refused(code)
		g.audit.refused(auditConnect, denial{code: code, from: from})
		if tls {
			return nil, nil // there are no keys to say it with
		}
		return nil, g.refusal(code)
	}
	n, sl := l.slots.alloc()
	s := &session{conn: c, n: n}
	sl.fd, sl.sess, sl.flags, sl.recv = int32(fd), s, flagOpen, wire.MinFrameLog
	switch {
	case g.cfg.newTransport != nil:
		s.secure = &secured{transport: g.cfg.newTransport()}
		sl.flags |= flagSealed
	case tls:
		s.secure = &secured{}
		s.stage = stageHail
	}
	if proxy {
		s.stage = stageHail
		sl.flags |= flagProxied
	} else {
		s.network = network
	}
	l.stranger(s)
	sl.seen = g.now.Load()
	if !g.cfg.without.authDeadline {
		l.wheel.set(n, sl.seen+seconds(g.limits.Load().AuthenticateWithin)+1) // the second that is under way does not count
	}
	l.counters.opened.Add(1)
	return s, nil
}

// lost unlinks a session whose connection is gone. closed comes first, so that
// nothing that is called from here writes to the descriptor again: it may be a
// stranger's by then.
func (l *loop) lost(s *session) {
	if s.closed && !l.g.cfg.without.lostOnce {
		return
	}
	s.closed = true
	l.uncount(s)
	if s.secure != nil && s.secure.shake != nil {
		s.secure.shake.cancel(errGone)
	}
	sl := l.slots.at(s.n)
	sl.flags = 0
	if !l.g.cfg.without.unlist {
		l.unlistAll(s)
	}
	l.wheel.unset(s.n)
	if s.tenant != nil {
		l.g.identities.release(l.tag(s), l.handle(s))
		s.tenant.usage.sessions.Add(-1)
		l.counters.sessions.Add(-1)
	}
	l.slots.release(s.n)
	l.g.conns.Add(-1)
	l.counters.closed.Add(1)
}

// wheelFor has the wheel look when a session may have been silent for too long, or
// when what proves it ends.
func (l *loop) wheelFor(s *session, now uint32) {
	end := l.slots.at(s.n).seen + uint32(s.silence)
	if l.g.cfg.without.keepalive {
		end = now + seconds(mostLife)
	}
	// A second that has passed comes again only when the wheel has turned.
	l.wheel.set(s.n, max(s.proof.due(end), now+1))
}

// dueTime is how long a tick acts on sessions that are due. Thousands can be in the
// same second, strangers that came together for instance: closed at once they would
// hold up everybody else, and come again as one blow.
const dueTime = 500 * time.Microsecond

// turnWheel looks at who is due, some of them at each tick. When it is more than a
// second late it takes as long as it needs.
func (l *loop) turnWheel(now uint32) {
	end, late := l.clock().Add(dueTime), now-l.wheel.turned > 2
	over := func() bool { return !late && !l.g.cfg.without.dueSlices && !l.clock().Before(end) }
	if !l.wheel.turn(now, func(n fanout.Sub) { l.due(n, now) }, over) {
		l.tickSoon()
	}
}

// tick is called about tickEvery after it was asked for, and every second.
func (l *loop) tick() {
	now := l.g.now.Load()
	l.busy.Store(false)
	l.turnWheel(now)
	sl := l.slice()
	l.catchUp(&sl)
	l.drain()
}

// due decides what silence means for a session.
func (l *loop) due(n fanout.Sub, now uint32) {
	sl := l.slots.at(n)
	s := sl.sess
	switch s.stage {
	case stageNew, stageProving:
		// Slow, not refused: a device on a bad link shall try again.
		l.closeWith(s, wire.CodeKeepaliveMissed, "not authenticated in time")
	case stageHail, stageShake:
		l.refusedAt(s, auditHandshake, wire.CodeKeepaliveMissed, "not authenticated in time")
		l.drop(s)
	case stageClosing:
		l.drop(s)
	case stageOpen:
		if !l.ends(s, now) {
			return
		}
		if int32(now-sl.seen-uint32(s.silence)) >= 0 && !l.g.cfg.without.keepalive {
			l.closeWith(s, wire.CodeKeepaliveMissed, "")
			return
		}
		l.wheelFor(s, now)
	}
}

func (l *loop) recovered(s *session, p any) {
	l.counters.panics.Add(1)
	l.log.Error("a handler panicked; its connection is closed", "panic", p, "stack", stack())
	if s == nil {
		// It was the loop's turn: what was being delivered is lost, not the loop.
		for i := range l.run.entries {
			l.g.settle(l.run.entries[i].charge, nil)
		}
		l.run = run{}
		l.wake()
		return
	}
	if s.closed {
		return
	}
	sl := l.slots.at(s.n)
	if sl.flags&(flagOpen|flagBehind|flagSealed) == flagOpen {
		_, _ = l.send(sl.fd, wire.Close{Code: wire.CodeOverload}.Append(nil))
		l.counters.closedWith(wire.CodeOverload)
	}
	l.drop(s)
}

// seconds rounds up, so that no deadline comes early.
func seconds(d time.Duration) uint32 { return uint32((d + time.Second - 1) / time.Second) }
