package gateway

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/peer"
	"github.com/bellwire/bellwire/wire"
)

var rewrite = flag.Bool("rewrite", false, "write the golden transcripts in testdata/session anew")

// decoded is a frame for people.
func decoded(t testing.TB, f simFrame) string {
	t.Helper()
	line, err := decode(f)
	require.NoError(t, err, "%s %x", f.t, f.body)
	return line
}

func decode(f simFrame) (string, error) {
	switch f.t.Base() {
	case wire.TypeWelcome:
		w, err := wire.ParseWelcome(f.body)
		return fmt.Sprintf("WELCOME recv %d keepalive %d credit %d subs %d", w.Recv, w.Keepalive, w.Credit, w.MaxSubs), err
	case wire.TypeSubscribed:
		s, err := wire.ParseSubscribed(f.body)
		return fmt.Sprintf("SUBSCRIBED %d %s id %d%s", s.Sub, s.Code, s.Topic, retryText(s.Retry)), err
	case wire.TypeUnsubscribed:
		u, err := wire.ParseUnsubscribed(f.body)
		return fmt.Sprintf("UNSUBSCRIBED %d %s", u.Sub, u.Code), err
	case wire.TypeTopic:
		p, err := wire.ParseTopic(f.body)
		return fmt.Sprintf("TOPIC %d %s", p.Topic, p.Name), err
	case wire.TypePong:
		return fmt.Sprintf("PONG %q", f.body), nil
	case wire.TypeGoaway:
		g, err := wire.ParseGoaway(f.body)
		return fmt.Sprintf("GOAWAY %s within %d spread %d", g.Code, g.Within, g.Spread), err
	case wire.TypeError:
		r, err := wire.ParseRefusal(f.body)
		return fmt.Sprintf("ERROR %s for %s number %d", r.Code, r.Type, r.Number), err
	case wire.TypeAck:
		a, err := wire.ParseAck(f.body)
		return fmt.Sprintf("ACK %d %s%s", a.Seq, a.Code, retryText(a.Retry)), err
	case wire.TypeCredit:
		c, err := wire.ParseCredit(f.body)
		return fmt.Sprintf("CREDIT %d: %d", c.Handle, c.Bytes), err
	case wire.TypeClose:
		c, err := wire.ParseClose(f.body)
		return fmt.Sprintf("CLOSE %d %s", c.Handle, c.Code), err
	case wire.TypeMessage:
		m, err := wire.ParseMessage(f.t, f.body)
		where := fmt.Sprintf("%d", m.Topic)
		if m.Name != nil {
			where = string(m.Name)
		}
		if m.Origin != 0 {
			where += fmt.Sprintf("/%d", m.Origin)
		}
		form := [...]string{"", fmt.Sprintf(" check %d", m.Offset), fmt.Sprintf(" offset %d", m.Offset), " TLVs"}[m.Form]
		return fmt.Sprintf("MESSAGE %s%s %s", where, form, payloadText(m.Payload)), err
	case wire.TypeGap:
		g, err := wire.ParseGap(f.body)
		return fmt.Sprintf("GAP %d/%d %s %d", g.Topic, g.Origin, g.Reason, g.Count), err
	case wire.TypeStream:
		s, err := wire.ParseStream(f.body)
		return fmt.Sprintf("STREAM %d/%d flags %d next %d", s.Topic, s.Origin, s.Flags, s.Next), err
	case wire.TypeEnd:
		e, err := wire.ParseEnd(f.body)
		return fmt.Sprintf("END %d/%d %s", e.Topic, e.Origin, e.How), err
	case wire.TypeLive:
		l, err := wire.ParseLive(f.body)
		return fmt.Sprintf("LIVE %d", l.Sub), err
	}
	return fmt.Sprintf("%s %x", f.t, f.body), nil
}

func retryText(ms uint32) string {
	if ms == 0 {
		return ""
	}
	return fmt.Sprintf(" retry %d", ms)
}

func payloadText(p []byte) string {
	if len(p) > 24 {
		return fmt.Sprintf("%q… (%d)", p[:8], len(p))
	}
	return fmt.Sprintf("%q", p)
}

// TestTranscripts plays testdata/session/*.txt. A line that begins with < is what
// a device receives; all others are done:
//
//	connect NAME [loop N]             a connection that says nothing
//	hello NAME [recv N] [names N] …   its HELLO; join is both
//	subscribe NAME SUB FILTER [track] [kept|last|cursor LIFE=OFFSET] …
//	publish NAME SEQ TOPIC PAYLOAD    SEQ 0: no ACK wanted; PAYLOAD x*9 is nine x
//	broadcast TOPIC PAYLOAD…          from inside
//	hex NAME BYTES                    anything else
//	full NAME, open NAME              its socket takes nothing, or everything again
//	pass SECONDS
//	peer LIFE met|lost|left|restarted a life of another gateway
//	accept LIFE TOPIC OFFSET PAYLOAD… what it has published, from that offset on
//	older LIFE TOPIC OFFSET PAYLOAD…  the same, for the ring alone
//	miss LIFE TOPIC NEXT              what is before will not come
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/session/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			golden, err := os.ReadFile(file)
			require.NoError(t, err)
			got := playTranscript(t, string(golden))
			if *rewrite {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
				return
			}
			require.Equal(t, string(golden), got)
		})
	}
}

// playTranscript does the lines and writes what is received after each.
func playTranscript(t testing.TB, script string) string {
	t.Helper()
	p := &player{t: t, conns: map[string]*simConn{}}
	var out strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "< ") {
			continue
		}
		fmt.Fprintln(&out, line)
		if line == "" || line[0] == '#' {
			continue
		}
		p.do(line)
		p.sim().drain()
		for _, name := range p.order {
			c := p.conns[name]
			for _, f := range c.frames() {
				fmt.Fprintf(&out, "< %s %s\n", name, f)
			}
			if c.closed && !p.ended[name] {
				p.ended[name] = true
				fmt.Fprintf(&out, "< %s (hung up)\n", name)
			}
		}
	}
	return out.String()
}

type player struct {
	t     testing.TB
	cfg   Config
	m     *sim
	fleet *fleet
	conns map[string]*simConn
	order []string
	ended map[string]bool
}

func (p *player) sim() *sim {
	if p.m == nil {
		p.m, p.ended = newSim(p.t, p.cfg), map[string]bool{}
	}
	return p.m
}

func (p *player) do(line string) {
	verb, rest, _ := strings.Cut(line, " ")
	args := strings.Fields(rest)
	switch verb {
	case "config":
		p.configure(args)
	case "connect", "join":
		c := p.sim().connect(p.number(args, "loop", 0))
		if _, had := p.conns[args[0]]; !had {
			p.order = append(p.order, args[0])
		}
		p.conns[args[0]] = c
		p.ended[args[0]] = false
		if verb == "join" {
			c.write(p.hello(args).Append(nil))
		}
	case "hello":
		p.conns[args[0]].write(p.hello(args).Append(nil))
	case "subscribe":
		p.conns[args[0]].write(p.subscribe(args).Append(nil))
	case "unsubscribe":
		p.conns[args[0]].write(wire.Unsubscribe{Sub: uint32(p.integer(args[1]))}.Append(nil))
	case "publish": // publish NAME SEQ TOPIC PAYLOAD; SEQ 0: no ACK
		seq := uint64(p.integer(args[1]))
		pub := wire.Publish{Ack: seq != 0, Seq: seq, Name: []byte(args[2]), Payload: p.payload(args[3])}
		p.conns[args[0]].write(pub.Append(nil))
	case "broadcast": // broadcast TOPIC PAYLOAD…
		for _, payload := range args[1:] {
			p.sim().publish(args[0], p.payload(payload))
		}
	case "hex":
		b, err := hex.DecodeString(strings.Join(args[1:], ""))
		require.NoError(p.t, err)
		p.conns[args[0]].write(b)
	case "drip": // its HELLO, one byte at a time
		b := p.hello(args).Append(nil)
		for i := range b {
			p.conns[args[0]].write(b[i : i+1])
		}
	case "segment": // segment NAME SEQ,TOPIC,PAYLOAD…: publishes that come together
		var b []byte
		for _, a := range args[1:] {
			f := strings.Split(a, ",")
			seq := uint64(p.integer(f[0]))
			b = wire.Publish{Ack: seq != 0, Seq: seq, Name: []byte(f[1]), Payload: p.payload(f[2])}.Append(b)
		}
		p.conns[args[0]].write(b)
	case "full":
		p.conns[args[0]].take(0)
	case "open":
		p.conns[args[0]].take(-1)
	case "hangup":
		_ = p.conns[args[0]].Close()
	case "pass":
		p.sim().pass(p.integer(args[0]))
		if p.fleet != nil {
			p.fleet.sweep(p.sim().g.now.Load())
		}
	case "peer", "accept", "miss", "older":
		p.peer(verb, args)
	default:
		p.t.Fatalf("transcript: %q is not known", line)
	}
}

// peer does what other gateways do.
func (p *player) peer(verb string, args []string) {
	if p.fleet == nil {
		p.fleet = newFleet(p.sim().g)
	}
	n, err := strconv.ParseUint(args[0], 16, 64)
	require.NoError(p.t, err)
	life := wire.Life(n)
	if verb == "peer" {
		change, ok := map[string]peer.Change{"met": peer.Met, "lost": peer.Lost, "left": peer.Left, "restarted": peer.Restarted}[args[1]]
		require.True(p.t, ok, "peer: %q", args[1])
		p.fleet.Changed(life, args[0], change)
		return
	}
	stream, err := p.fleet.Stream(life, []byte(DefaultTenant), []byte(args[1]))
	require.NoError(p.t, err)
	offset := uint64(p.integer(args[2]))
	var older []peer.Kept
	for i, payload := range args[3:] {
		if verb == "older" {
			older = append(older, peer.Kept{Offset: offset + uint64(i), Payload: p.payload(payload)})
			continue
		}
		v, err := stream.Accept(p.t.Context(), offset+uint64(i), p.payload(payload))
		require.NoError(p.t, err)
		require.Equal(p.t, peer.Taken, v)
	}
	switch verb {
	case "older":
		stream.Backfill(older)
	case "miss":
		stream.Miss(offset)
	}
}

func (p *player) configure(args []string) {
	require.Nil(p.t, p.m, "config comes first")
	for _, a := range args {
		name, value, _ := strings.Cut(a, "=")
		n := p.integer(value)
		lim := &p.cfg.Limits
		switch name {
		case "loops":
			p.cfg.Loops = n
		case "subscriptions":
			lim.Subscriptions = n
		case "ring_messages":
			lim.RingMessages = n
		case "pending_bytes":
			lim.PendingBytes = n
		case "publish_rate":
			lim.PublishRate = n
		case "frame":
			lim.Frame = n
		case "publish_credit":
			lim.PublishCredit = n
		case "ring_age":
			lim.RingAge = time.Duration(n) * time.Second
		default:
			p.t.Fatalf("transcript: config %s is not known", name)
		}
	}
}

func (p *player) hello(args []string) wire.Hello {
	name := args[0]
	for i, a := range args[:len(args)-1] {
		if a == "as" {
			name = args[i+1]
		}
	}
	h := hello(name)
	h.Recv = uint8(p.number(args, "recv", 16))
	h.Names = uint32(p.number(args, "names", 100))
	h.Keepalive = uint32(p.number(args, "keepalive", 0))
	return h
}

func (p *player) subscribe(args []string) wire.Subscribe {
	q := wire.Subscribe{Sub: uint32(p.integer(args[1])), Filter: []byte(args[2])}
	for i := 3; i < len(args); i++ {
		switch a := args[i]; a {
		case "track":
			q.Track = true
		case "noecho":
			q.NoEcho = true
		case "publishonly":
			q.PublishOnly = true
		case "latest":
			q.Policy = wire.LatestOnly
		case "lossless":
			q.Policy = wire.Lossless
		case "last":
			q.Start = wire.StartLast
		case "kept":
			q.Start = wire.StartKept
		case "cursor":
			q.Start, q.Cursor = wire.StartCursor, wire.Cursor{}
		default:
			life, offset, ok := strings.Cut(a, "=")
			require.True(p.t, ok, "subscribe: %q", a)
			l := p.sim().g.life // "own"
			if life != "own" {
				n, err := strconv.ParseUint(life, 16, 64)
				require.NoError(p.t, err)
				l = wire.Life(n)
			}
			q.Cursor = q.Cursor.AppendPosition(wire.Position{Life: l, Offset: uint64(p.integer(offset))})
		}
	}
	return q
}

// payload is the text, or with *N after it so many bytes of it.
func (p *player) payload(s string) []byte {
	text, times, ok := strings.Cut(s, "*")
	if !ok {
		return []byte(s)
	}
	return []byte(strings.Repeat(text, p.integer(times)))
}

func (p *player) integer(s string) int {
	n, err := strconv.Atoi(s)
	require.NoError(p.t, err, "transcript")
	return n
}

// number is the argument after a word.
func (p *player) number(args []string, word string, preset int) int {
	for i, a := range args[:max(0, len(args)-1)] {
		if a == word {
			return p.integer(args[i+1])
		}
	}
	return preset
}
