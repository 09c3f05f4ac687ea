package gateway

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/wire"
)

// mostShaken is what a device may send before its handshake is done: certificates
// of some KiB, and what may follow HELLO.
const mostShaken = 64 * kib

// handshake is a TLS handshake under way, on a goroutine of its own because
// crypto/tls cannot stop in the middle. The loop feeds it.
type handshake struct {
	conn   *secure.Conn
	cancel context.CancelCauseFunc
	place  *list.Element
	fed    int
}

// shake begins the handshake with what was received.
func (l *loop) shake(s *session, hello secure.Hello, b []byte) {
	g := l.g
	network := networkOf(addressOf(s).Addr())
	left := g.limits.Load().AuthenticateWithin - time.Duration(g.now.Load()-l.slots.at(s.n).seen)*time.Second
	if g.gate.wait(network, hello.Resumes) > left*3/4 {
		// Nobody can be told a delay before there are keys: the device backs off [W-1.1].
		l.refusedAt(s, auditConnect, wire.CodeOverload, "too many handshakes wait")
		l.drop(s)
		return
	}
	trust := g.rules.Load().trust
	ctx, cancel := context.WithCancelCause(g.ctx)
	h := &handshake{conn: trust.Server(), cancel: cancel}
	s.secure.shake = h
	s.stage = stageShake
	g.shaking.begin(h, g.limits.Load().Handshakes)
	l.feed(s, b)
	t := &ticket{gate: g.gate, network: network, resumes: hello.Resumes}
	go l.shakeHands(ctx, l.handle(s), h, t)
}

// feed hands received bytes to the handshake.
func (l *loop) feed(s *session, b []byte) {
	h := s.secure.shake
	if h.fed += len(b); h.fed > mostShaken && !l.g.cfg.without.heldLimit {
		l.refusedAt(s, auditHandshake, wire.CodeOverCredit, "too much before the end of the handshake")
		l.drop(s)
		return
	}
	h.conn.Feed(b)
	_, _ = s.conn.Discard(len(b))
}

// shakeHands does the handshake, off the loop, and posts how it ended.
func (l *loop) shakeHands(ctx context.Context, of handle, h *handshake, t *ticket) {
	proof, err := caught(l, func() (*secure.Proof, error) {
		return h.conn.Handshake(ctx, t, func(b []byte) {
			b = bytes.Clone(b)
			l.mail.post(entry{call: func(l *loop) {
				if s := l.slots.get(of); s != nil && s.stage == stageShake {
					l.writeRaw(l.slots.at(s.n), b)
					l.reap()
				}
			}})
		})
	})
	l.g.shaking.end(h)
	h.cancel(nil)
	l.mail.post(entry{call: func(l *loop) {
		if s := l.slots.get(of); s != nil && s.stage == stageShake {
			l.guard(s, func() { l.shaken(s, proof, err) })
		}
	}})
}

// shaken goes on with a connection whose handshake is done. One whose certificate
// was refused is told so in frames, inside TLS: devices know what to do about codes
// [W-3.1].
func (l *loop) shaken(s *session, p *secure.Proof, err error) {
	h := s.secure.shake
	s.secure.shake = nil
	refused := (*wire.Error)(nil)
	if err == nil && p != nil {
		err = l.g.check(p) // a reload may have come between
	}
	if err != nil && (errors.Is(err, errPanicked) || !errors.As(err, &refused)) { // TLS does not stand
		code := wire.CodeNotAuthenticated
		if errors.Is(err, errShed) {
			code = wire.CodeOverload // it has done nothing wrong
		}
		l.refusedAt(s, auditHandshake, code, err.Error())
		l.drop(s)
		return
	}
	s.secure.transport = h.conn
	s.secure.unproven = h.conn.Waiting()
	l.slots.at(s.n).flags |= flagSealed
	s.stage = stageNew
	if refused != nil {
		l.refusedAt(s, auditAuthenticate, refused.Code, refused.Field)
		l.closeWith(s, refused.Code, refused.Field)
		return
	}
	l.believe(s, p)
	l.work(s, nil, l.frames) // crypto/tls reads ahead: HELLO may be there
}

// shaking is the handshakes under way, the oldest first. When there are too many it
// is the oldest that goes: a device that is still talking is a younger one.
type shaking struct {
	mu    sync.Mutex
	order list.List
}

var (
	errShed = errors.New("shed for a newer connection")
	errGone = errors.New("the connection is gone")
)

func (k *shaking) begin(h *handshake, most int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	h.place = k.order.PushBack(h)
	if k.order.Len() > most {
		oldest := k.order.Remove(k.order.Front()).(*handshake)
		oldest.place = nil
		oldest.cancel(errShed)
	}
}

func (k *shaking) end(h *handshake) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if h.place != nil {
		k.order.Remove(h.place)
		h.place = nil
	}
}

func (k *shaking) len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.order.Len()
}
