package gateway

import (
	"sync"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

// lives are origins by their lives.
type lives struct {
	mu sync.RWMutex
	by map[wire.Life]*fanout.Origin
}

func newLives() *lives { return &lives{by: map[wire.Life]*fanout.Origin{}} }

func (l *lives) find(life wire.Life) *fanout.Origin {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.by[life]
}

// get finds an origin or has it made.
func (l *lives) get(life wire.Life, made func() *fanout.Origin) *fanout.Origin {
	if o := l.find(life); o != nil {
		return o
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if o := l.by[life]; o != nil {
		return o
	}
	o := made()
	l.by[life] = o
	return o
}
