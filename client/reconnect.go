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
	random  func() float64

	good       int   // the server to try first: the last one that served for long, else that welcomed
	settled    bool  // good served for long
	at         int   // the server of the last attempt that was not a redirect
	failed     int   // attempts without WELCOME since the last one
	rounds     int   // back-offs since the last long service
	brief      bool  // the last connection was told to come back at once, and did not serve for long
	hops       uint8 // redirects since the last long service
	welcomed   bool  // ever
	redirected bool  // the last attempt went to a target
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
	bye      bool // Shutdown ended it
	spread   bool // the client chose its moment itself, as GOAWAY asked
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
	r.account(e)
	if e.coded {
		switch e.code.Class() {
		case wire.ClassNeverIdentity, wire.ClassNeverSoftware:
			return attempt{}, &StoppedError{e.code, e.text}
		case wire.ClassElsewhere:
			if r.hops < maxHops {
				return r.elsewhere(e), nil
			}
			return r.later(e, r.at+1)
		case wire.ClassLater, wire.ClassNotThis, wire.ClassCustomer:
			return r.later(e, r.at+1)
		case wire.ClassFine, wire.ClassAtOnce:
		}
	}
	switch {
	case e.welcomed:
		return r.server(r.good, r.atOnce(e)), nil
	case !r.welcomed && r.failed >= len(r.servers):
		return attempt{}, e.err
	case r.redirected:
		return r.server(r.good, 0), nil // the target is gone: back to the own list
	case r.failed%len(r.servers) != 0:
		return r.server(r.at+1, 0), nil
	}
	return r.later(e, r.at+1) // the whole list has failed
}

// account learns from what happened.
func (r *reconnect) account(e ending) {
	long := e.welcomed && e.served >= settledAfter
	if long {
		r.rounds, r.hops, r.brief = 0, 0, false
	}
	if !e.welcomed {
		r.failed++
		return
	}
	r.welcomed, r.failed = true, 0
	if !r.redirected && (long || !r.settled) {
		r.good, r.settled = r.at, long
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
	return r.part(min(r.least, atOnceMost))
}

func (r *reconnect) elsewhere(e ending) attempt {
	r.hops++
	wait := r.atOnce(e)
	if e.target == "" {
		return r.server(r.at+1, wait)
	}
	r.redirected = true
	return attempt{e.target, wait, r.hops}
}

// later waits by back-off.
func (r *reconnect) later(e ending, server int) (attempt, error) {
	if !r.welcomed && r.failed >= len(r.servers) {
		return attempt{}, e.err
	}
	return r.server(server, r.backoff()), nil
}

func (r *reconnect) server(i int, wait time.Duration) attempt {
	r.at, r.redirected = i%len(r.servers), false
	return attempt{r.servers[r.at], wait, r.hops}
}

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
