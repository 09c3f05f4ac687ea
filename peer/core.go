package peer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellwire/bellwire/wire"
)

const (
	// forgetLog is how long batches are kept for a peer that is not linked: what rings keep is no older.
	forgetLog = 2 * time.Minute
	// forgetPeer is how long a peer that is not linked is known, with the lives that it has had.
	forgetPeer = 10 * time.Minute
	maxLives   = 16 // superseded ones that are remembered, per peer
)

// member is another gateway, by its name.
type member struct {
	name       string
	origin     *origin // its present life; nil before it was linked
	superseded []wire.Life
	link       *link // that carries batches
	since      time.Duration
	address    string
	forgotten  bool   // by the log
	filters    uint64 // hash of its broadcast filters, as it said when it was linked last
	lastError  string
	tally      tally
}

// core is a gateway's part of the mesh without goroutines, clock or sockets: shells tell it what happened and when, and
// write what it wants written. A simulator with many of them is a shell as well. All methods may be called by any
// goroutine. The time that they are given is 0 when the core is made, and monotonic.
type core struct {
	cfg     Config
	ctx     context.Context // ends when the mesh is closed
	log     *outlog
	leaving atomic.Bool
	filters atomic.Uint64 // hash of our broadcast filters

	mu      sync.Mutex
	members map[string]*member
	links   map[*link]struct{} // all that are open
	refused [reasons]uint64    // links, by why this side refused or closed them
}

func newCore(ctx context.Context, cfg Config, clock func() time.Duration) *core {
	c := &core{
		cfg: cfg, ctx: ctx, log: newLog(cfg.Retain, compressor{off: cfg.NoCompression, clock: clock}),
		members: make(map[string]*member), links: make(map[*link]struct{}),
	}
	c.log.without = cfg.without
	c.filters.Store(cfg.Filters)
	return c
}

// open begins a link on a new connection.
func (c *core) open(now time.Duration, e endpoint, wake func()) *link {
	ctx, cancel := context.WithCancel(c.ctx)
	l := &link{core: c, endpoint: e, wake: wake, ctx: ctx, cancel: cancel, heard: now}
	c.mu.Lock()
	c.links[l] = struct{}{}
	c.mu.Unlock()
	if l.dialled {
		l.say(c.hello(now, l.looksFor).frame())
	}
	l.recheck() // what is believed may have changed since the handshake
	return l
}

// recheck closes the links whose certificates are not believed any more.
func (c *core) recheck() {
	c.mu.Lock()
	links := slices.Collect(maps.Keys(c.links))
	c.mu.Unlock()
	for _, l := range links {
		l.recheck()
	}
}

// hello is this gateway's first frame to a peer, whose name may not be known yet.
func (c *core) hello(now time.Duration, name string) hello {
	h := hello{
		kind: kindBatches, min: minVersion, max: maxVersion, cluster: c.cfg.Cluster, name: c.cfg.Name, life: c.cfg.Life,
		filters: c.filters.Load(), age: now,
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.members[name]; m != nil && m.origin != nil {
		h.lastOf, h.last = m.origin.life, m.origin.last.Load()
	}
	return h
}

// admit says why a gateway that said hello may not be linked; nil if it may.
func (c *core) admit(l *link, now time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.admitLocked(l, now)
}

func (c *core) admitLocked(l *link, now time.Duration) error {
	h := &l.hello
	if err := c.identify(l); err != nil {
		return err
	}
	m := c.members[h.name]
	for _, other := range c.members {
		if other != m && other.origin != nil && other.origin.life == h.life {
			return &CloseError{Why: NameInUse, Text: "its life is that of " + other.name}
		}
	}
	if m == nil || m.link == nil {
		linked := 0
		for _, other := range c.members {
			if other.link != nil {
				linked++
			}
		}
		if linked >= c.cfg.Most {
			return &CloseError{Why: TooMany, Text: fmt.Sprintf("%s has %d", c.cfg.Name, linked)}
		}
	}
	if m == nil {
		return nil
	}
	for _, life := range m.superseded {
		if life == h.life {
			return &CloseError{Why: OlderLife, Text: h.name + " has begun another one"}
		}
	}
	return c.contest(m.link, l, now)
}

// identify checks who it says it is.
func (c *core) identify(l *link) error {
	h := &l.hello
	switch {
	case h.cluster != c.cfg.Cluster:
		return &CloseError{Why: OtherFleet, Text: fmt.Sprintf("%s is of %s, not %s", c.cfg.Name, c.cfg.Cluster, h.cluster)}
	case h.kind != kindBatches:
		return &CloseError{Why: Unsupported, Text: fmt.Sprintf("connections of kind %d", h.kind)}
	case l.proven != "" && l.proven != h.name && !c.cfg.without.certificateName:
		return &CloseError{Why: WrongName, Text: fmt.Sprintf("the certificate is that of %s, not %s", l.proven, h.name)}
	case h.life == c.cfg.Life:
		return &CloseError{Why: Self, Text: "this is " + c.cfg.Name}
	case h.name == c.cfg.Name:
		return &CloseError{Why: NameInUse, Text: "by " + c.cfg.Name + " itself"}
	case l.looksFor != "" && l.looksFor != h.name:
		return &CloseError{Why: WrongName, Text: fmt.Sprintf("looking for %s, not %s", l.looksFor, h.name)}
	}
	return nil
}

// contest decides between the link that a peer has and a new one. Both sides come to the same end.
func (c *core) contest(old, l *link, now time.Duration) error {
	if old == nil || old == l {
		return nil
	}
	if old.hello.life != l.hello.life {
		if old.quietFor(now) < c.cfg.Silence/2 && !c.cfg.without.nameInUse {
			return &CloseError{Why: NameInUse, Text: "another " + l.hello.name + " is linked and answers"}
		}
		return nil
	}
	// The one that the smaller name dialled stays; of two by the same side the newer one, as the older may be dead.
	if old.dialled != l.dialled && l.dialled != (c.cfg.Name < l.hello.name) {
		return &CloseError{Why: Linked, Text: "by another connection"}
	}
	return nil
}

// join makes a link that of its peer. It says what happened to the peer's lives.
func (c *core) join(l *link, now time.Duration) error {
	c.mu.Lock()
	if err := c.admitLocked(l, now); err != nil {
		c.mu.Unlock()
		return err
	}
	m, pruned := c.members[l.hello.name], []string(nil)
	if m == nil {
		m = &member{name: l.hello.name}
		c.members[m.name] = m
		pruned = c.prune()
	}
	replaced := m.link
	m.link, m.since, m.address, m.forgotten = l, now, l.address, false
	m.filters, m.lastError = l.hello.filters, ""
	gone := (*origin)(nil)
	if m.origin == nil || m.origin.life != l.hello.life {
		if gone = m.origin; gone != nil {
			m.superseded = append(m.superseded, gone.life)
			m.superseded = m.superseded[max(0, len(m.superseded)-maxLives):]
			m.tally.restarts.Add(1)
		}
		m.origin = newOrigin(c, m, l.hello.life)
		m.origin.whole = l.hello.age > 0 && l.hello.age < min(now, forgetPeer)
	}
	l.member, l.origin = m, m.origin
	c.mu.Unlock()
	for _, name := range pruned {
		c.log.forget(name, now)
	}
	if replaced != nil {
		replaced.fail(&CloseError{Why: Linked, Text: "by a newer connection"})
	}
	if gone != nil && !c.cfg.without.restarted {
		gone.restarted(now)
	}
	l.origin.attach(l)
	return nil
}

// prune forgets the peers that have been away longest if there are too many: four times as many as there may be links. It
// returns their names, for which the log has to keep nothing any more. One whose end has not been told yet stays, as
// nobody else would tell it: that is over after Config.Hold.
func (c *core) prune() (names []string) {
	for len(c.members) > 4*max(c.cfg.Most, DefaultPeers) {
		oldest := (*member)(nil)
		for _, m := range c.members {
			if m.link == nil && m.origin != nil && m.origin.state() != "away" && (oldest == nil || m.since < oldest.since) {
				oldest = m
			}
		}
		if oldest == nil {
			return names
		}
		delete(c.members, oldest.name)
		names = append(names, oldest.name)
	}
	return names
}

// gone ends a link whose connection is closed and whose reader has returned. why is what the reader or writer met.
func (c *core) gone(l *link, now time.Duration, why error) {
	l.fail(why)
	l.cancel()
	cause := l.cause()
	c.mu.Lock()
	delete(c.links, l)
	if !cause.Theirs {
		c.refused[cause.Why]++
	}
	m := l.member
	if m == nil {
		m = c.members[l.hello.name]
	}
	if m == nil && l.looksFor != "" {
		m = c.members[l.looksFor]
	}
	if m != nil && !cause.quiet() {
		m.lastError = cause.Error()
	}
	left := false
	if l.member != nil && l.member.link == l {
		left = cause.Why == Bye
		l.member.link, l.member.since, l.member.forgotten = nil, now, left
	}
	c.mu.Unlock()
	l.mu.Lock()
	cursor := l.cursor
	l.mu.Unlock()
	if cursor != nil {
		c.log.detach(cursor, now)
	}
	if left {
		c.log.forget(l.hello.name, now)
	}
	if l.origin != nil {
		l.origin.detach(l, now)
	}
}

// count counts a connection that was refused before there was a link.
func (c *core) count(why Why) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused[why]++
}

// tick does what is due; it is called some forty times per second. Work for an origin may wait for publish credit: run
// starts it, in a goroutine or at once.
func (c *core) tick(now time.Duration, run func(func())) {
	c.log.tick(now)
	c.mu.Lock()
	links := slices.Collect(maps.Keys(c.links))
	var due []*origin
	var forget []string
	for _, m := range c.members {
		if m.origin != nil && m.origin.dueAt(now) {
			due = append(due, m.origin)
		}
		if m.link == nil && m.origin != nil && now-m.since >= forgetLog && !m.forgotten {
			m.forgotten = true
			forget = append(forget, m.name)
		}
		if m.link == nil && m.origin != nil && now-m.since >= forgetPeer {
			delete(c.members, m.name)
		}
	}
	c.mu.Unlock()
	for _, l := range links {
		l.tick(now)
	}
	for _, name := range forget {
		c.log.forget(name, now)
	}
	// In one order, so that a history can be repeated.
	slices.SortFunc(due, func(a, b *origin) int { return strings.Compare(a.member.name, b.member.name) })
	for _, o := range due {
		run(func() { o.tick(now) })
	}
}

// idleTick is how often tick is called while nothing is under way: a gateway that rests costs next to nothing.
const idleTick = 4 * tickEvery

// rest is how long it is until tick has to be called again.
func (c *core) rest() time.Duration {
	if c.log.holds() {
		return tickEvery
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for l := range c.links {
		if l.restless() {
			return tickEvery
		}
	}
	return idleTick
}

// leave has every link send END when it has sent everything.
func (c *core) leave(now time.Duration) {
	c.log.seal(now)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving.Store(true)
	for l := range c.links {
		l.mu.Lock()
		if l.phase != up {
			l.failLocked(&CloseError{Why: Bye, Text: "leaving"})
		}
		l.mu.Unlock()
		l.wake()
	}
}

// linked reports whether a peer of that name has a link.
func (c *core) linked(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.members[name]
	return m != nil && m.link != nil
}

// settled reports whether nothing is being fetched on any link, and all have been up for some time.
func (c *core) settled(now time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		if m.link != nil && (now-m.since < settleTime || !m.origin.settled()) {
			return false
		}
	}
	return true
}
