package gateway

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/peer"
	"github.com/bellwire/bellwire/wire"
)

// peers are the other gateways of a model, as their links would tell of them: lives
// that publish, lose messages, go silent, come back, or begin anew.
type peers struct {
	m     *model
	fleet *fleet
	lives []*peerLife
}

// peerLife is one life of another gateway.
type peerLife struct {
	life    wire.Life
	name    string
	number  uint32 // of the origin here
	up      bool
	never   bool              // it does not come back
	hows    map[wire.How]bool // that it has ended in
	remotes map[string]*remoteStream
}

// remoteStream is a stream of it and what came of it here.
type remoteStream struct {
	id     streamID
	stream peer.Stream
	top    uint64 // its next message
	oldest uint64 // that may be in the ring here; 0: none is
}

func newPeers(m *model) *peers {
	p := &peers{m: m, fleet: newFleet(m.g)}
	for i := range 3 {
		p.meet(fmt.Sprintf("gateway %d", i))
	}
	return p
}

// meet links a new life of a gateway.
func (p *peers) meet(name string) {
	o := &peerLife{
		life: wire.Life(0xA000 + len(p.lives)), name: name, number: uint32(len(p.lives) + 2), up: true,
		hows: map[wire.How]bool{}, remotes: map[string]*remoteStream{},
	}
	p.lives = append(p.lives, o)
	p.fleet.Changed(o.life, name, peer.Met)
}

func (p *peers) of(number uint32) *peerLife {
	if p == nil || number < 2 || int(number-2) >= len(p.lives) {
		return nil
	}
	return p.lives[number-2]
}

func (p *peers) isOver(number uint32) bool { o := p.of(number); return o != nil && !o.up }

func (p *peers) hasEnded(number uint32, how wire.How) bool {
	o := p.of(number)
	return o != nil && o.hows[how]
}

func (p *peers) step() {
	m := p.m
	o := pick(m, p.lives)
	if !o.up {
		if m.rng.IntN(6) == 0 {
			for range 3 {
				m.second()
			}
		}
		if o.never || m.rng.IntN(3) > 0 {
			return
		}
		m.note("peer: %s (%d) is back", o.name, o.number)
		o.up = true
		p.fleet.Changed(o.life, o.name, peer.Met)
		return
	}
	topics := modelTopics
	if m.closed != nil {
		topics = append([]string{m.closed.never, m.closed.sometimes}, topics...)
	}
	r := p.remote(o, pick(m, topics))
	switch n := m.rng.IntN(40); {
	case n < 22:
		for range pick(m, []int{1, 1, 2, 6}) {
			p.say(r, r.top, peer.Taken)
		}
	case n < 24:
		if next := r.stream.Next(); next > 1 {
			p.say(r, 1+m.rng.Uint64N(next-1), peer.Duplicate)
		}
	case n < 28:
		p.lose(r)
	case n < 30:
		r.top += m.rng.Uint64N(3)
		p.miss(r, r.top)
	case n < 33:
		p.backfill(r)
	case n < 36:
		m.note("peer: the stream %s is looked up anew", r.id)
		r.stream = p.streamOf(o, r.id.topic)
	default:
		p.end(o, pick(m, []peer.Change{peer.Lost, peer.Lost, peer.Left, peer.Restarted}))
	}
}

// remote is a life's stream of a topic. It may have come far before it is seen here.
func (p *peers) remote(o *peerLife, topic string) *remoteStream {
	r := o.remotes[topic]
	if r == nil {
		r = &remoteStream{id: streamID{topic, o.number}, stream: p.streamOf(o, topic), top: pick(p.m, []uint64{1, 1, 5, 250})}
		o.remotes[topic] = r
	}
	return r
}

func (p *peers) streamOf(o *peerLife, topic string) peer.Stream {
	s, err := p.fleet.Stream(o.life, []byte(DefaultTenant), []byte(topic))
	require.NoError(p.m.t, err)
	return s
}

func (p *peers) posted(r *remoteStream) *posted {
	return p.m.stream(r.id, p.of(r.id.origin).life)
}

// say has a message come from the link.
func (p *peers) say(r *remoteStream, offset uint64, want peer.Verdict) {
	m := p.m
	payload := m.payload()
	m.note("peer: publish %d to %s at %d", m.ids, r.id, offset)
	p.posted(r)
	verdict, err := r.stream.Accept(m.t.Context(), offset, payload)
	require.NoError(m.t, err)
	if verdict != want {
		m.problem("peer: %s at %d: verdict %d, want %d", r.id, offset, verdict, want)
	}
	if verdict == peer.Taken {
		m.say(binary.BigEndian.Uint32(payload), saying{in: r.id, offset: offset})
		r.top = offset + 1
		if r.oldest == 0 {
			r.oldest = offset
		}
	}
}

// lose has messages not come in order: those between come later, or never.
func (p *peers) lose(r *remoteStream) {
	m := p.m
	later := r.top + 1 + m.rng.Uint64N(3)
	if r.stream.Next() != 0 {
		p.say(r, later, peer.Hole)
	}
	if m.rng.IntN(2) == 0 {
		for r.top < later && len(m.problems) == 0 {
			p.say(r, r.top, peer.Taken)
		}
	} else {
		p.miss(r, later)
	}
	p.say(r, later, peer.Taken)
}

// miss has the positions before next never come.
func (p *peers) miss(r *remoteStream, next uint64) {
	m := p.m
	m.note("peer: before %d of %s nothing more comes", next, r.id)
	s, was := p.posted(r), r.stream.Next()
	r.stream.Miss(next)
	r.top = max(r.top, next)
	switch {
	case was == 0:
		s.next, s.known = next, true
	case next > was:
		for o := was; o < next; o++ {
			m.say(0, saying{in: r.id, offset: o, lost: true})
		}
	}
}

// backfill has older messages come for the ring.
func (p *peers) backfill(r *remoteStream) {
	m := p.m
	s, next := p.posted(r), r.stream.Next()
	end := next
	if r.oldest != 0 {
		end = min(end, r.oldest)
	}
	if next == 0 || end == 1 {
		return
	}
	from := end - min(end-1, 1+m.rng.Uint64N(5))
	var older []peer.Kept
	for o := from; o < end; o++ {
		payload := m.payload()
		m.said[m.ids] = saying{in: r.id, offset: o}
		if _, ok := s.at[o]; ok {
			m.said[m.ids] = saying{} // it was missed: nobody may get it
			continue
		}
		older = append(older, peer.Kept{Offset: o, Payload: payload})
		s.older[o] = true
	}
	m.note("peer: %d older ones of %s from %d on", len(older), r.id, from)
	r.stream.Backfill(older)
	r.oldest = from
}

// end says that an origin is over.
func (p *peers) end(o *peerLife, how peer.Change) {
	m := p.m
	m.note("peer: %s (%d) %s", o.name, o.number, howOf(how))
	o.up, o.never = false, how != peer.Lost
	o.hows[howOf(how)] = true
	for _, id := range m.order {
		if s := m.streams[id]; id.origin == o.number {
			s.ends[s.next] = true
		}
	}
	p.fleet.Changed(o.life, o.name, how)
	if o.never && len(p.lives) < 9 {
		p.meet(o.name)
	}
}

// sweep is what happens each second.
func (p *peers) sweep() {
	p.fleet.sweep(p.m.g.now.Load())
	for _, o := range p.lives {
		if o.up || p.fleet.origin(o.life).kept {
			continue
		}
		for _, r := range o.remotes {
			p.posted(r).known, p.posted(r).loose, r.oldest = false, true, 0
		}
	}
}

func playPeers(t testing.TB, seed uint64, steps int, without guards) *model {
	cfg := Config{without: without}
	short := seed%3 == 0
	if short {
		cfg.Limits.RingAge = 2 * time.Second
	}
	m := newModel(t, seed, cfg)
	m.smallRings = m.smallRings || short
	m.peers = newPeers(m)
	return m.play(steps)
}

// Random histories of a gateway that has peers: a topic has a stream of its own and
// one of each life of another gateway, and devices count each of them. Whatever
// links, origins and devices do, all positions come in their place or are announced
// there, ends come behind everything, and nothing comes twice (BC-7, BC-15, BC-D1,
// BC-D2).
func TestModelPeers(t *testing.T) {
	for seed := range uint64(200) {
		m := playPeers(t, seed, 200, guards{})
		if len(m.problems) > 0 {
			require.Fail(t, "seed "+fmt.Sprint(seed), "%s\n\n%s", strings.Join(m.problems, "\n"), m.told())
		}
	}
}

// Every rule about streams of others that the model holds taken away turns it red.
// Three more are rare there: they have tests of their own in copied_test.go.
func TestModelPeersNoticesMissingRules(t *testing.T) {
	rules := map[string]guards{
		"a stream begins for who subscribed by name": {begins: true},
		"a group is told a stream":                   {told: true},
		"and again after an end":                     {eras: true},
		"posts have numbers of their own":            {numbers: true},
		"END stands behind what is read":             {endBehind: true},
		"END comes, when that is done":               {tellOver: true},
		"an end is told before the return":           {endFirst: true},
		"mailboxes come to an end before it goes":    {unheard: true},
		"who is ahead takes nothing from others":     {ahead: true},
		"what is lost is announced":                  {gapOfOthers: true},
		"a start has a marker":                       {startMarker: true},
		"a replay withholds live":                    {withhold: true},
		"a replay begins behind the cursor":          {cursor: true},
	}
	for name, without := range rules {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(400) {
				if m := playPeers(t, seed, 200, without); len(m.problems) > 0 {
					t.Log(seed, m.problems[0])
					return
				}
			}
			t.Fatal("no history noticed")
		})
	}
}
