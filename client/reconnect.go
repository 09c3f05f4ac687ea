package client

import (
	"time"

	"github.com/bellwire/bellwire/wire"
)

const (
	// maxHops is how many redirects are followed without settledAfter of service.
	maxHops = 3
	// settledAfter is how long a connection lasts before past failures are forgotten.
	settledAfter = time.Minute
	// laterLeast is the first wait when a gateway says "later" without a delay.
	laterLeast = 5 * time.Second
	// atOnceMost bounds the wait when a gateway says "at once": enough to spread a fleet.
	atOnceMost = time.Second
)

// reconnect decides where to connect next, and when. It is pure: it is told how
// the last attempt ended and draws from random.
type reconnect struct {
	servers    []string
	least      time.Duration // first back-off
	most       time.Duration // longest back-off
	random     func() float64
	good       int // the server that welcomed last
	at         int // the server of the last attempt that was not a redirect
	tried      int // attempts since the last welcome
	rounds     int // failures in a row that cost a wait
	hops       uint8
	welcomed   bool // ever
	redirected bool // the last attempt went to a target
}

// ending is how a connection, or the attempt to make one, ended.
type ending struct {
	err      error
	welcomed bool
	served   time.Duration
	coded    bool // the gateway gave a code
	code     wire.Code
	text     string
	target   string
}

// attempt is what to do next.
type attempt struct {
	addr string
	wait time.Duration
	hops uint8
}

func (r *reconnect) first() attempt { return attempt{addr: r.servers[0]} }

// next says how to go on, or why to give up: a *StoppedError, or the error of the
// last try when no server at all has welcomed the client yet.
func (r *reconnect) next(e ending) (attempt, error) {
	if e.welcomed {
		r.welcomed, r.tried = true, 0
		if !r.redirected {
			r.good = r.at
		}
		if e.served >= settledAfter {
			r.rounds, r.hops = 0, 0
		}
	} else {
		r.tried++
	}
	if !e.coded {
		return r.lost(e)
	}
	switch e.code.Class() {
	case wire.ClassNeverIdentity, wire.ClassNeverSoftware, wire.ClassNotThis:
		return attempt{}, &StoppedError{e.code, e.text}
	case wire.ClassElsewhere:
		if r.hops < maxHops {
			r.hops++
			if e.target != "" {
				r.redirected = true
				return attempt{e.target, r.spread(atOnceMost), r.hops}, nil
			}
			return r.server(r.at+1, r.spread(atOnceMost)), nil
		}
		return r.later(e)
	case wire.ClassLater, wire.ClassCustomer:
		return r.later(e)
	case wire.ClassFine, wire.ClassAtOnce:
		return r.atOnce(e)
	}
	return r.lost(e) // not reached: a class is three bits
}

// lost is an end that nobody explained.
func (r *reconnect) lost(e ending) (attempt, error) {
	if e.welcomed {
		return r.atOnce(e)
	}
	if r.exhausted() {
		return attempt{}, e.err
	}
	next := r.at + 1
	if r.redirected {
		next = r.good // the target is gone: back to the own list
	}
	if r.tried%len(r.servers) != 0 {
		return r.server(next, 0), nil
	}
	r.rounds++
	return r.server(next, r.spread(r.backoff(r.least))), nil
}

// atOnce comes back to the server that was good, slower each time if that does
// not last.
func (r *reconnect) atOnce(e ending) (attempt, error) {
	if !e.welcomed && r.exhausted() {
		return attempt{}, e.err
	}
	wait := min(r.least, atOnceMost)
	if r.rounds++; r.rounds > 3 {
		wait = r.backoff(r.least)
	}
	return r.server(r.good, r.spread(wait)), nil
}

// later gives the gateway time, and asks the next one then.
func (r *reconnect) later(e ending) (attempt, error) {
	if !e.welcomed && r.exhausted() {
		return attempt{}, e.err
	}
	r.rounds++
	wait := r.backoff(laterLeast)
	return r.server(r.at+1, wait+r.spread(wait/2)), nil
}

// exhausted reports that no server was ever reached and each was asked once.
func (r *reconnect) exhausted() bool { return !r.welcomed && r.tried >= len(r.servers) }

func (r *reconnect) server(i int, wait time.Duration) attempt {
	r.at, r.redirected = i%len(r.servers), false
	return attempt{r.servers[r.at], wait, r.hops}
}

// backoff doubles from base with each round, up to the longest wait or to base
// where that is longer.
func (r *reconnect) backoff(base time.Duration) time.Duration {
	d := base
	for range min(r.rounds-1, 30) {
		if d *= 2; d >= r.most {
			return max(base, r.most)
		}
	}
	return d
}

// spread is a random part of d, so that a fleet does not come back as one.
func (r *reconnect) spread(d time.Duration) time.Duration {
	return time.Duration(r.random() * float64(d))
}
