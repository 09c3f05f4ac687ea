package client

import (
	"errors"
	"fmt"
	"time"

	"github.com/bellwire/bellwire/wire"
)

var (
	errNoPong = errors.New("client: the gateway does not answer")
	errLeft   = errors.New("client: the gateway asked to leave")
)

// write sends what the session has to say and keeps the time: PING when nothing
// was sent for long, its answer, and the moment to leave after GOAWAY.
func (k *conn) write() {
	defer close(k.wrote)
	var spare []byte
	lastWrite, pinged := time.Now(), time.Time{}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		out, bye, keepalive := k.take(spare)
		if len(out) > 0 {
			lastWrite = time.Now()
			if err := k.send(out, lastWrite); err != nil {
				k.leaveWith(err)
				return
			}
		}
		// The session has the other buffer now, so this one is free.
		if spare = out[:0]; cap(spare) > 64<<10 {
			spare = nil
		}
		if len(out) > 0 {
			continue
		}
		if bye {
			return
		}
		now := time.Now()
		next := now.Add(time.Hour)
		if !pinged.IsZero() {
			switch heard := k.started.Add(time.Duration(k.heard.Load())); {
			case !heard.Before(pinged):
				pinged = time.Time{}
			case k.stalled.Load():
				next = earlier(next, now.Add(k.client.opts.pongTimeout))
			case !now.Before(pinged.Add(k.client.opts.pongTimeout)):
				k.leaveWith(fmt.Errorf("%w: no PONG within %v", errNoPong, k.client.opts.pongTimeout))
				return
			default:
				next = earlier(next, pinged.Add(k.client.opts.pongTimeout))
			}
		}
		if keepalive > 0 {
			due := lastWrite.Add(keepalive)
			if !now.Before(due) {
				if pinged.IsZero() {
					pinged = now
				}
				k.ping()
				continue
			}
			next = earlier(next, due)
		}
		leave, gone := k.leaving(now)
		if gone {
			return
		}
		next = earlier(next, leave)
		timer.Reset(next.Sub(now))
		select {
		case <-k.wake:
		case <-timer.C:
		case <-k.over:
			return
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}

// take takes away what is to be written.
func (k *conn) take(spare []byte) (out []byte, bye bool, keepalive time.Duration) {
	k.client.mu.Lock()
	defer k.client.mu.Unlock()
	out, k.session.pending = k.session.pending, spare
	if k.session.welcomed {
		// A little early, so that the way to the gateway does not make it late.
		keepalive = time.Duration(k.session.welcome.Keepalive) * time.Second * 9 / 10
	}
	return out, k.bye, keepalive
}

func (k *conn) send(out []byte, now time.Time) error {
	if err := k.nc.SetWriteDeadline(now.Add(writeTimeout)); err != nil {
		return fmt.Errorf("client: connection to %s lost: %w", k.addr, err)
	}
	if _, err := k.nc.Write(out); err != nil {
		return fmt.Errorf("client: connection to %s lost: %w", k.addr, err)
	}
	return nil
}

func (k *conn) ping() {
	k.client.mu.Lock()
	defer k.client.mu.Unlock()
	k.session.pending = wire.AppendPing(k.session.pending, nil)
}

// leaveWith closes the connection from this side; the reader ends by it.
func (k *conn) leaveWith(err error) {
	k.client.mu.Lock()
	if k.end == nil {
		k.end = err
	}
	k.client.mu.Unlock()
	_ = k.nc.Close()
}

// leaving obeys GOAWAY: at its moment nothing new is published, and the
// connection ends when all ACKs are there, or soon.
func (k *conn) leaving(now time.Time) (next time.Time, gone bool) {
	c := k.client
	c.mu.Lock()
	at, idle := k.leaveAt, c.outbox.answered()
	if !at.IsZero() && !now.Before(at) {
		k.session.draining = true
		if at = at.Add(leaveWithin); !idle && now.Before(at) {
			c.mu.Unlock()
			return at, false
		}
		code := k.session.leave.code
		c.mu.Unlock()
		k.leaveWith(fmt.Errorf("%w: %s: %v", errLeft, k.addr, code))
		return at, true
	}
	c.mu.Unlock()
	return at, false
}
