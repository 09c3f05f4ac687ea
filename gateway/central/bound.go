package central

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/bellwire/bellwire/wire"
)

// binding is a JetStream stream that takes the messages of some topics. Its sequence is
// their offset, and its name and time of birth are their life.
type binding struct {
	name     string
	life     wire.Life
	subjects []string
	ctx      context.Context // ends when the stream is not there any more
	cancel   context.CancelFunc

	refusing  atomic.Bool  // it did not take a message
	nextTry   atomic.Int64 // when one may try again, in ns since 1970
	following following
}

// tryEach is how often a stream that takes nothing is given a message.
const tryEach = time.Second

// takes reports whether a message may be published to the stream.
func (b *binding) takes() bool {
	if !b.refusing.Load() {
		return true
	}
	now, next := time.Now().UnixNano(), b.nextTry.Load()
	return now >= next && b.nextTry.CompareAndSwap(next, now+int64(tryEach))
}

// lifeOf names one life of a stream: another stream of the same name has another.
func lifeOf(stream string, created time.Time) wire.Life {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s\x00%d", stream, created.UnixNano())
	// FNV mixes its last bytes little.
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return wire.Life(max(x, 1))
}

// bindings are the streams that take messages of topics.
type bindings struct {
	list  atomic.Pointer[[]*binding]
	again chan struct{} // holds one: they may have changed
}

func newBindings() *bindings {
	b := &bindings{again: make(chan struct{}, 1)}
	b.list.Store(&[]*binding{})
	return b
}

// of is the stream that takes a subject; nil: none. No two streams take the same one.
func (b *bindings) of(subject string) *binding {
	for _, x := range *b.list.Load() {
		for _, p := range x.subjects {
			if matches(p, subject) {
				return x
			}
		}
	}
	return nil
}

func (b *bindings) named(stream string) *binding {
	for _, x := range *b.list.Load() {
		if x.name == stream {
			return x
		}
	}
	return nil
}

// took and tookNot say what a stream made of a message. Without a name nobody knows
// which it was.
func (b *bindings) took(stream string) {
	if x := b.named(stream); x != nil && x.refusing.Load() {
		x.refusing.Store(false)
	}
}

func (b *bindings) tookNot(stream string) {
	for _, x := range *b.list.Load() {
		if stream == "" || x.name == stream {
			x.nextTry.Store(time.Now().UnixNano() + int64(tryEach))
			x.refusing.Store(true)
		}
	}
	if stream == "" {
		signal(b.again)
	}
}

// interested has all of them look at what is subscribed to.
func (b *bindings) interested() {
	for _, x := range *b.list.Load() {
		x.following.poke()
	}
}

// bindEach is how often the streams are asked for, beside when NATS says that one came
// or went.
const bindEach = 10 * time.Second

// binding keeps the list of streams, and follows them, until c.ctx ends.
func (c *Central) binding() {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		l := c.nextLink()
		if l == nil {
			return
		}
		changed := make(chan *nats.Msg, 64)
		sub, err := l.nc.ChanSubscribe("$JS.EVENT.ADVISORY.STREAM.*.>", changed)
		if err != nil && l.ctx.Err() == nil {
			c.log.Warn("central: streams that come and go are noticed late", "error", err)
		}
		c.bindOn(l, changed, &all)
		if sub != nil {
			_ = sub.Unsubscribe()
		}
	}
}

func (c *Central) bindOn(l *link, changed <-chan *nats.Msg, all *sync.WaitGroup) {
	wait := time.Duration(0)
	for {
		timer := time.NewTimer(wait)
		select {
		case <-l.ctx.Done():
		case <-timer.C:
		case <-c.bound.again:
		case <-changed:
		}
		timer.Stop()
		if l.ctx.Err() != nil {
			return
		}
		found, err := c.streams(l)
		if err != nil {
			c.log.Debug("central: streams are not known", "error", err)
			wait = time.Second
			continue
		}
		wait = bindEach
		c.rebind(found, all)
	}
}

// streams are those that take messages of topics.
func (c *Central) streams(l *link) ([]*binding, error) {
	ctx, cancel := l.during(c.ctx)
	defer cancel()
	below := c.cfg.Prefix + topicPart + ">"
	list := l.js.ListStreams(ctx, jetstream.WithStreamListSubject(below))
	var found []*binding
	for info := range list.Info() {
		b := &binding{name: info.Config.Name, life: lifeOf(info.Config.Name, info.Created)}
		for _, s := range info.Config.Subjects {
			if p, ok := intersect(s, below); ok {
				b.subjects = append(b.subjects, p)
			}
		}
		if len(b.subjects) > 0 {
			found = append(found, b)
		}
	}
	return found, list.Err()
}

// rebind makes found the list. What was known keeps its place in its stream.
func (c *Central) rebind(found []*binding, all *sync.WaitGroup) {
	var gone, came []*binding
	before := *c.bound.list.Load()
	for _, b := range before {
		if !slices.ContainsFunc(found, b.same) {
			gone = append(gone, b)
		}
	}
	next := make([]*binding, 0, len(found))
	for _, f := range found {
		if i := slices.IndexFunc(before, f.same); i >= 0 {
			next = append(next, before[i])
			continue
		}
		f.ctx, f.cancel = context.WithCancel(c.ctx)
		f.following.init()
		came = append(came, f)
		next = append(next, f)
	}
	slices.SortFunc(next, func(a, b *binding) int { return strings.Compare(a.name, b.name) })
	c.bound.list.Store(&next)
	if len(came) > 0 {
		// What was under way when the topics changed sides belongs to neither, also when this is the first list of all:
		// devices do not wait for that.
		c.in.missed()
	}
	for _, b := range gone {
		b.cancel()
		c.log.Info("central: a stream takes no more messages of topics", "stream", b.name, "life", b.life)
		if c.cfg.Ended != nil && !slices.ContainsFunc(next, func(n *binding) bool { return n.life == b.life }) {
			c.cfg.Ended(b.life)
		}
	}
	for _, b := range came {
		c.log.Info("central: a stream takes messages of topics", "stream", b.name, "subjects", b.subjects, "life", b.life)
		all.Go(func() { c.follow(b) })
	}
}

// same reports whether two are the same stream, which takes the same subjects.
func (b *binding) same(o *binding) bool {
	return b.name == o.name && b.life == o.life && slices.Equal(b.subjects, o.subjects)
}

// Keep is what a stream keeps. Zero fields are without a bound.
type Keep struct {
	Messages int64         // of all topics
	PerTopic int64         // of each topic
	Bytes    int64         // of all topics
	Age      time.Duration // of a message
	Memory   bool          // not on disk
}

// Bind has a JetStream stream keep the messages of a tenant's topics that match a
// filter, from now on. It is made if it is not there, and changed if it is. Operators can
// do the same with the tools of NATS: any stream that takes subjects of topics is found.
func (c *Central) Bind(ctx context.Context, stream, tenant, filter string, keep Keep) error {
	if err := checkFilter(tenant, filter); err != nil {
		return err
	}
	l, _ := c.link()
	if l == nil {
		return ErrAway
	}
	ctx, cancel := l.during(ctx)
	defer cancel()
	storage := jetstream.FileStorage
	if keep.Memory || c.server != nil && c.cfg.Embedded.Dir == "" {
		storage = jetstream.MemoryStorage
	}
	_, err := l.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: stream, Subjects: c.names.filter(tenant, filter), Storage: storage, Replicas: c.replicas(l),
		MaxMsgs: unbounded(keep.Messages), MaxMsgsPerSubject: unbounded(keep.PerTopic), MaxBytes: unbounded(keep.Bytes),
		MaxAge: keep.Age, AllowDirect: true,
	})
	if err != nil {
		return fmt.Errorf("central: bind %q to the stream %s: %w", filter, stream, l.plain(err))
	}
	signal(c.bound.again)
	return nil
}

func unbounded(n int64) int64 {
	if n == 0 {
		return -1
	}
	return n
}

func (c *Central) replicas(l *link) int {
	switch {
	case c.cfg.Replicas > 0:
		return c.cfg.Replicas
	case l.nc.ConnectedClusterName() != "":
		return 3
	}
	return 1
}
