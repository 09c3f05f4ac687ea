package client

import (
	"slices"
	"time"

	"github.com/bellwire/bellwire/wire"
)

const (
	// maxHops is how many redirects are followed without settledAfter of service.
	maxHops = 3
	// settledAfter is how long a connection lasts before past failures are forgotten.
	settledAfter = time.Minute
	// laterLeast is the wait when an answer says "later" without a delay.
	laterLeast = 5 * time.Second
	// atOnceMost spreads a fleet that was told to come back at once.
	atOnceMost = time.Second
)

// reconnect decides where to connect next, and when [W-8.2]. It is pure: it is
// told how the last attempt ended, and draws from random.
type reconnect struct {
	servers []string
	least   time.Duration // the first back-off is up to this
	most    time.Duration // and the longest up to this
	fixed   bool          // the token never changes
	random  func() float64

	// Where [W-8.1].
	home string // the last one that welcomed, of servers or a target; empty: none ever
	last string // the address of the last attempt
	at   int    // the place in servers that was tried last
	left int    // how many of servers a round has still to try

	// When.
	rounds int   // back-offs since the last long service
	brief  bool  // the last connection was told to come back at once, and did not serve for long
	hops   uint8 // redirects since the last long service
}

// ending is how a connection, or the attempt to make one, ended.
type ending struct {
	err      error
	welcomed bool
	served   time.Duration
	coded    bool // the gateway gave a code
	code     wire.Code
	text     string
	retry    time.Duration // when the gateway wants it back; 0: not told
	target   string
	bye      bool // Shutdown ended it
	own      bool // it is the client's own failure: no address is to blame
	spread   bool // the client chose its moment itself, as GOAWAY asked
}

// attempt is what to do next.
type attempt struct {
	addr string
	wait time.Duration
	hops uint8
}

func (r *reconnect) first() attempt {
	r.left = len(r.servers) - 1
	return r.to(r.servers[0], 0)
}

// next says how to go on, or why to give up: a *StoppedError, or the error of the
// last try when no server at all has welcomed the client yet.
func (r *reconnect) next(e ending) (attempt, error) {
	r.account(e)
	if e.own {
		if r.home == "" {
			return attempt{}, e.err
		}
		return r.to(r.last, r.backoff()), nil
	}
	if e.coded && e.code == wire.CodeTokenExpired && r.fixed {
		return attempt{}, &StoppedError{e.code, e.text} // it would be the same token again [W-3.1]
	}
	if e.coded {
		switch e.code.Class() {
		case wire.ClassNeverIdentity, wire.ClassNeverSoftware:
			return attempt{}, &StoppedError{e.code, e.text}
		case wire.ClassElsewhere:
			if r.hops < maxHops {
				return r.elsewhere(e), nil
			}
			return r.later(e)
		case wire.ClassLater, wire.ClassNotThis, wire.ClassCustomer:
			return r.later(e)
		case wire.ClassFine, wire.ClassAtOnce:
		}
	}
	switch {
	case e.welcomed:
		return r.goHome(r.atOnce(e)), nil
	case r.home != "" && r.home != r.last && !slices.Contains(r.servers, r.last):
		return r.goHome(r.shortly()), nil // the target is gone
	case r.left > 0:
		return r.onward(r.shortly()), nil
	case r.home == "":
		return attempt{}, e.err
	}
	return r.goHome(r.backoff()), nil // the whole list has failed
}

// account learns from what happened.
func (r *reconnect) account(e ending) {
	if !e.welcomed {
		return
	}
	r.home = r.last
	if e.served >= settledAfter {
		r.rounds, r.hops, r.brief = 0, 0, false
	}
}

// atOnce is the wait before coming back at once: by back-off if that was asked
// before, and no long service came of it.
func (r *reconnect) atOnce(e ending) time.Duration {
	again := r.brief
	if r.brief = true; again {
		return r.backoff()
	}
	if e.spread {
		return 0
	}
	return r.shortly()
}

func (r *reconnect) elsewhere(e ending) attempt {
	r.hops++
	wait := r.atOnce(e)
	if e.target == "" {
		return r.nextInList(wait)
	}
	return r.to(e.target, wait)
}

// later waits as long as the gateway said, which has spread its devices already, or
// by back-off.
func (r *reconnect) later(e ending) (attempt, error) {
	if r.home == "" && r.left <= 0 && e.retry == 0 {
		return attempt{}, e.err
	}
	wait := e.retry
	if wait == 0 {
		wait = r.backoff()
	}
	if r.home == "" && r.left > 0 {
		return r.onward(wait), nil
	}
	return r.nextInList(wait), nil
}

// goHome begins a round: home first, then the list in turn.
func (r *reconnect) goHome(wait time.Duration) attempt {
	r.left = len(r.servers)
	if i := slices.Index(r.servers, r.home); i >= 0 {
		r.at = i
		r.left--
	}
	return r.to(r.home, wait)
}

// nextInList begins a round behind the address that was tried last.
func (r *reconnect) nextInList(wait time.Duration) attempt {
	r.left = len(r.servers)
	if slices.Contains(r.servers, r.last) {
		r.left--
	}
	return r.onward(wait)
}

// onward is the next of the list; after the last comes the first.
func (r *reconnect) onward(wait time.Duration) attempt {
	r.left--
	r.at = (r.at + 1) % len(r.servers)
	return r.to(r.servers[r.at], wait)
}

func (r *reconnect) to(addr string, wait time.Duration) attempt {
	r.last = addr
	return attempt{addr, wait, r.hops}
}

// shortly spreads those who find the same address gone.
func (r *reconnect) shortly() time.Duration { return r.part(min(r.least, atOnceMost)) }

// backoff is a random part of a time that doubles with each call.
func (r *reconnect) backoff() time.Duration {
	d := r.least
	for i := 0; i < r.rounds && d < r.most; i++ {
		d *= 2
	}
	r.rounds++
	return r.part(min(d, r.most))
}

// part is a random part of d, so that a fleet does not come back as one.
func (r *reconnect) part(d time.Duration) time.Duration {
	return time.Duration(r.random() * float64(d))
}
