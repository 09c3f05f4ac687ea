package gateway

import (
	"sync"
	"time"
)

const (
	// guessBurst bad tokens are looked at from one source, then one more for each
	// guessEvery: five a minute.
	guessBurst = 5
	guessEvery = time.Minute / guessBurst
	// guessSources is how many sources are known at once. Those beyond share one
	// account, so that an attacker with very many addresses is slowed down too.
	guessSources = 4096
)

// guesses counts bad admin tokens by the source network that they come from. Each is an account
// that is full again at some time; what is full is forgotten.
type guesses struct {
	now func() time.Time

	mu   sync.Mutex
	full map[uint64]time.Time // when no bad token will count any more
	rest time.Time            // the same of all those who found no place
}

func newGuesses() *guesses {
	return &guesses{now: time.Now, full: map[uint64]time.Time{}}
}

// blocked is how long a source has to wait; 0: its next token is looked at.
func (g *guesses) blocked(source uint64) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	full, known := g.full[source]
	if !known && len(g.full) >= guessSources {
		full = g.rest
	}
	// Five bad ones at once fill the account for a minute.
	return max(0, full.Add(-(guessBurst-1)*guessEvery).Sub(g.now()))
}

// failed counts a bad token.
func (g *guesses) failed(source uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	full, known := g.full[source]
	if !known && len(g.full) >= guessSources {
		g.forget(now)
	}
	if !known && len(g.full) >= guessSources {
		g.rest = later(g.rest, now)
		return
	}
	g.full[source] = later(full, now)
}

// later is when an account is full again that one more is taken of.
func later(full, now time.Time) time.Time {
	if full.Before(now) {
		full = now
	}
	return full.Add(guessEvery)
}

// forget drops the accounts that are full.
func (g *guesses) forget(now time.Time) {
	for source, full := range g.full {
		if !full.After(now) {
			delete(g.full, source)
		}
	}
}
