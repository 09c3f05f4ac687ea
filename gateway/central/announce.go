package central

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"
)

// ErrNameTaken is that a gateway that started later has announced itself under this one's name.
var ErrNameTaken = errors.New("central: another gateway has this name: give each its own")

// lease is the record of a gateway.
type lease struct {
	Gateway
	Left bool `json:"left,omitempty"` // it will not be back
}

// fleet is the list of gateways as it was told last.
type fleet struct {
	mu    sync.Mutex
	list  []Gateway
	held  int
	alarm bool
}

// Announce puts this gateway on the fleet's list, and keeps it there until ctx ends; then
// it takes it off and returns ctx's error. While the service is away it goes on trying.
//
// Of two gateways of one name the one that announced itself later has it. The other one is
// told by taken, each time that it notices, and comes back when the lease of that one has
// run out. taken may be nil.
func (c *Central) Announce(ctx context.Context, g Gateway, taken func(error)) error {
	if g.Name == "" || len(g.Name) > MaxKey || g.Life == 0 {
		return fmt.Errorf("central: announce %q: want a name of at most %d bytes, and a life", g.Name, MaxKey)
	}
	a := announcer{c: c, me: g}
	tick := time.NewTicker(c.cfg.Lease / 3)
	defer tick.Stop()
	said := ""
	for {
		err := a.renew(ctx, time.Now())
		switch {
		case errors.Is(err, ErrNameTaken):
			if taken != nil {
				taken(err)
			}
		case err != nil && !errors.Is(err, ErrAway) && ctx.Err() == nil && err.Error() != said:
			said = err.Error()
			c.log.Warn("central: this gateway's lease was not renewed", "error", err)
		}
		_, changed := c.link()
		select {
		case <-ctx.Done():
			a.leave()
			return ctx.Err()
		case <-c.ctx.Done():
			return ErrClosed
		case <-changed: // at once when the service is back
		case <-tick.C:
		case <-c.renewals:
		}
	}
}

// Renew has the list say at once what Config.Devices and Config.Applied say now.
func (c *Central) Renew() { signal(c.renewals) }

// announcer holds the lease of one gateway.
type announcer struct {
	c        *Central
	me       Gateway
	revision uint64 // of our last record; 0: we have none

	rival    uint64    // revision of the record of another gateway of this name
	rivalled time.Time // since when it is that
}

func (a *announcer) renew(ctx context.Context, now time.Time) error {
	if devices := a.c.cfg.Devices; devices != nil {
		a.me.Devices = devices()
	}
	if applied := a.c.cfg.Applied; applied != nil {
		a.me.Applied, a.me.Filters = applied()
	}
	value, err := json.Marshal(lease{Gateway: a.me})
	if err != nil {
		return err
	}
	store := a.c.leases
	if a.revision != 0 {
		revision, err := store.Update(ctx, a.me.Name, value, a.revision)
		if !errors.Is(err, ErrRevision) {
			if err == nil {
				a.revision = revision
			}
			return err
		}
	}
	old, revision, err := store.Get(ctx, a.me.Name)
	if errors.Is(err, ErrNotFound) {
		revision, err = 0, nil
	}
	if err != nil {
		return err
	}
	if err := a.yield(old, revision, now); err != nil {
		return err
	}
	if revision == 0 {
		revision, err = store.Create(ctx, a.me.Name, value)
	} else {
		revision, err = store.Update(ctx, a.me.Name, value, revision)
	}
	if err == nil {
		a.revision, a.rival = revision, 0
	}
	return err
}

// yield is an error while a gateway that came after this one has its name. One that was
// there when this one came is a former life, or loses the name.
func (a *announcer) yield(old []byte, revision uint64, now time.Time) error {
	var l lease
	if a.revision == 0 || revision == 0 || json.Unmarshal(old, &l) != nil || l.Life == a.me.Life || l.Left {
		return nil
	}
	if a.rival != revision {
		a.rival, a.rivalled = revision, now
	}
	if now.Sub(a.rivalled) > a.c.cfg.Lease {
		return nil
	}
	return fmt.Errorf("%w: %s at %s, since %s", ErrNameTaken, l.Name, l.PeerAddr, l.Since.UTC().Format(time.RFC3339))
}

// leave says that this gateway goes, so that nobody waits for its lease to run out.
func (a *announcer) leave() {
	if a.revision == 0 {
		return
	}
	value, err := json.Marshal(lease{Gateway: a.me, Left: true})
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	revision, err := a.c.leases.Update(ctx, a.me.Name, value, a.revision)
	if err == nil {
		err = a.c.leases.Delete(ctx, a.me.Name, revision)
	}
	if err != nil {
		a.c.log.Debug("central: this gateway was not taken off the list", "error", err)
	}
}

// Gateways is the fleet's list, by name, as far as it is known, and how many are on it
// only because they are not believed to be gone. The list is not the caller's to change.
func (c *Central) Gateways() (all []Gateway, held int) {
	c.fleet.mu.Lock()
	defer c.fleet.mu.Unlock()
	return c.fleet.list, c.fleet.held
}

// watchGateways keeps the list until c.ctx ends. All that happens to it happens in this goroutine.
func (c *Central) watchGateways() {
	started := time.Now()
	r := newRoster(c.cfg.Lease)
	r.without = c.cfg.without
	news := make(chan func(now time.Duration))
	tell := func(fn func(now time.Duration)) {
		select {
		case <-c.ctx.Done():
		case news <- fn:
		}
	}
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() {
		_ = c.leases.Watch(c.ctx, "",
			func(key string, value []byte, _ uint64) {
				tell(func(now time.Duration) { c.leaseOf(r, key, value, now) })
			},
			func() { tell(r.back) },
			func() { tell(func(time.Duration) { r.away() }) })
	})
	tick := time.NewTicker(max(c.cfg.Lease/6, 20*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case fn := <-news:
			fn(time.Since(started))
		case <-tick.C:
		}
		if r.here { // else what is known is not all that there is
			c.judge(r, time.Since(started))
		}
	}
}

// leaseOf takes in one record: what it says was written by others.
func (c *Central) leaseOf(r *roster, key string, value []byte, now time.Duration) {
	var l lease
	switch {
	case value == nil:
		r.deleted(key, now)
	case json.Unmarshal(value, &l) != nil || l.Name != key || l.Life == 0:
		c.log.Warn("central: a record of a gateway makes no sense", "key", key)
	case l.Left:
		r.left(key)
	default:
		r.heard(l.Gateway, now)
	}
}

// judge tells the list if it has changed.
func (c *Central) judge(r *roster, now time.Duration) {
	r.judge(now, c.cfg.Alive)
	list, held := r.list()
	f := &c.fleet
	f.mu.Lock()
	same := held == f.held && reflect.DeepEqual(list, f.list)
	rung := r.alarm && !f.alarm
	f.list, f.held, f.alarm = list, held, r.alarm
	f.mu.Unlock()
	if rung {
		c.log.Warn("many gateways have vanished from central at once: they are kept on the list until they are known to be gone", "held", held, "gateways", len(list))
	}
	if !same && c.cfg.OnGateways != nil {
		c.cfg.OnGateways(list, held)
	}
}
