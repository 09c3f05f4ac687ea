package client

import (
	"errors"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// maxNames is how many topic names a connection keeps; messages of topics beyond
// are a Gap. It is what a gateway names at most.
const maxNames = 1 << 20

// session is one connection's protocol: frames go in, bytes to write and
// deliveries come out. It does no I/O and knows no clock; its caller holds a lock.
type session struct {
	opts     *options
	outbox   *outbox
	welcomed bool
	welcome  wire.Welcome

	// For the caller to take away.
	pending []byte         // bytes to write
	out     outlet         // what subscriptions have to tell
	retries []retry        // SUBSCRIBEs to repeat later
	leave   *goaway        // the gateway asks to leave
	log     []wire.Refusal // errors that answer no request of the client's

	// Subscriptions.
	intakes    []*intake
	links      map[uint32]*link
	lastSub    uint32
	exact      map[string][]*link
	wildcards  []*link
	replaying  map[string]*link // by topic
	queued     []*link          // they wait until their topic is not replaying
	crowded    []*link          // they wait until a helper is gone
	generation uint64           // of exact and wildcards, and of who is replaying

	// Topics.
	topics   map[wire.TopicID]*topic
	byName   map[string]*topic // of messages that carry the name
	nameless bool              // a topic did not fit

	// Proving who the device is [W-3.3].
	offered  chan<- error  // for the answer to the AUTH under way; nil: there is none
	expiring bool          // the gateway says that the token ends after left
	left     time.Duration // with expiring

	// Publishing.
	credit   uint64
	draining bool // nothing new is published here
}

// goaway is what a GOAWAY asks.
type goaway struct {
	code           wire.Code
	within, spread time.Duration
	target         string
}

// newSession begins with HELLO; auth is the token in it, if there is one.
func newSession(o *options, b *outbox, auth string, incarnation uint32, hops uint8) *session {
	s := &session{
		opts: o, outbox: b,
		links: make(map[uint32]*link), exact: make(map[string][]*link), replaying: make(map[string]*link),
		topics: make(map[wire.TopicID]*topic), byName: make(map[string]*topic),
		generation: 1,
	}
	h := wire.Hello{
		MinVersion: wire.Version, MaxVersion: wire.Version, Recv: o.recv, Flags: wire.HelloTracks,
		Names: maxNames, Keepalive: uint32(o.keepalive / time.Second), Incarnation: incarnation, Hops: hops,
	}
	if auth != "" {
		h.Method, h.Auth = wire.AuthToken, []byte(auth)
	}
	s.pending = h.Append(s.pending)
	return s
}

// named is the topic of a message that carries its name.
func (s *session) named(name string) *topic {
	t := s.byName[name]
	if t == nil {
		t = &topic{name: name}
		if len(s.byName) < maxNames {
			s.byName[name] = t
		}
	}
	return t
}

// feed takes one frame. The error ends the connection: a *closedByGateway, or one
// that is ErrProtocol.
func (s *session) feed(t wire.Type, body []byte) error {
	err := s.handle(t, body)
	if broken := (*wire.Error)(nil); errors.As(err, &broken) && !errors.Is(err, ErrProtocol) {
		return &violation{err}
	}
	return err
}

// early reports that a frame may come before WELCOME.
func early(t wire.Type) bool {
	return t == wire.TypeWelcome || t == wire.TypeError || t == wire.TypeClose || t == wire.TypeGoaway || t.Skippable()
}

// handle has one case for each frame that a gateway may send.
func (s *session) handle(t wire.Type, body []byte) error {
	switch {
	case s.welcomed:
	case !early(t):
		return violated("%v before WELCOME", t)
	case t.Skippable():
		return nil
	}
	switch t.Base() {
	case wire.TypeMessage:
		return handled(s.onMessage)(wire.ParseMessage(t, body))
	case wire.TypeGap:
		return handled(s.onGap)(wire.ParseGap(body))
	case wire.TypeStream:
		return handled(s.onStream)(wire.ParseStream(body))
	case wire.TypeEnd:
		return handled(s.onEnd)(wire.ParseEnd(body))
	case wire.TypeTopic:
		return handled(s.onTopic)(wire.ParseTopic(body))
	case wire.TypeLive:
		return handled(s.onLive)(wire.ParseLive(body))
	case wire.TypeSubscribed:
		return handled(s.onSubscribed)(wire.ParseSubscribed(body))
	case wire.TypeUnsubscribed:
		return handled(s.onUnsubscribed)(wire.ParseUnsubscribed(body))
	case wire.TypeAck:
		return handled(s.onAck)(wire.ParseAck(body))
	case wire.TypeCredit:
		return handled(s.onCredit)(wire.ParseCredit(body))
	case wire.TypeWelcome:
		return handled(s.onWelcome)(wire.ParseWelcome(body))
	case wire.TypeGoaway:
		return handled(s.onGoaway)(wire.ParseGoaway(body))
	case wire.TypeError:
		return handled(s.onError)(wire.ParseRefusal(body))
	case wire.TypeClose:
		return handled(s.onClose)(wire.ParseClose(body))
	case wire.TypePing:
		if err := wire.CheckPing(t, body); err != nil {
			return err
		}
		s.pending = wire.AppendPong(s.pending, body)
		return nil
	case wire.TypePong:
		s.onPong()
		return wire.CheckPing(t, body)
	case wire.TypeAuth:
		return handled(s.onAuth)(wire.ParseAuth(body))
	case wire.TypeHello, wire.TypeSubscribe, wire.TypeUnsubscribe, wire.TypePublish, // a device's own
		wire.TypeOpen, wire.TypeOpened, wire.TypeLinked, wire.TypeEOF, wire.TypeData: // sockets, not opened here
	default:
		if t.Skippable() {
			return nil
		}
	}
	return &wire.Error{Code: wire.CodeUnknownType, Type: t, Field: "type is not known to this client"}
}

// handled calls on with what a parser returned, unless that was an error.
func handled[F any](on func(F) error) func(F, error) error {
	return func(f F, err error) error {
		if err != nil {
			return err
		}
		return on(f)
	}
}

func (s *session) onWelcome(f wire.Welcome) error {
	if s.welcomed {
		return violated("a second WELCOME")
	}
	if f.Version != wire.Version {
		return violated("WELCOME has version %d, this client speaks %d", f.Version, wire.Version)
	}
	s.welcomed, s.welcome, s.credit = true, f, f.Credit
	return nil
}

func (s *session) onGoaway(f wire.Goaway) error {
	s.leave = &goaway{
		code:   f.Code,
		within: time.Duration(f.Within) * time.Millisecond,
		spread: time.Duration(f.Spread) * time.Millisecond,
		target: string(f.Target),
	}
	return nil
}

func (s *session) onClose(f wire.Close) error {
	if f.Handle != 0 {
		return violated("CLOSE of socket %d, which was not opened", f.Handle)
	}
	return &closedByGateway{f.Code, string(f.Text), time.Duration(f.Retry) * time.Millisecond}
}

func (s *session) onError(f wire.Refusal) error {
	refusal := &RefusedError{Code: f.Code, Text: string(f.Text)}
	switch {
	case f.Type == wire.TypeSubscribe && f.Number <= 1<<32-1 && s.links[uint32(f.Number)] != nil:
		return s.refused(s.links[uint32(f.Number)], refusal)
	case f.Type.Base() == wire.TypePublish && f.Type&wire.PublishAck != 0 && f.Number != 0:
		s.outbox.refuse(f.Number, refusal)
	case f.Type == wire.TypeAuth && s.offered != nil:
		refusal.What = "the new token"
		s.answerOffer(refusal)
	default:
		f.Text = append([]byte{}, f.Text...)
		s.log = append(s.log, f)
	}
	return nil
}

func (s *session) onAck(f wire.Ack) error {
	if f.Code.Class() == wire.ClassFine {
		s.outbox.acknowledge(f.Seq)
	} else {
		s.outbox.refuse(f.Seq, &RefusedError{Code: f.Code, Retry: time.Duration(f.Retry) * time.Millisecond, Text: string(f.Text)})
	}
	return nil
}

func (s *session) onCredit(f wire.Credit) error {
	if f.Handle != 0 {
		return violated("CREDIT for socket %d, which was not opened", f.Handle)
	}
	s.credit = min(s.credit+f.Bytes, wire.MaxVarint)
	s.publish()
	return nil
}

// publish writes what waits, as far as the gateway's credit goes.
func (s *session) publish() {
	if s.welcomed && !s.draining {
		s.pending, s.credit = s.outbox.write(s.pending, s.credit, s.welcome.Credit, 1<<s.welcome.Recv)
	}
}
