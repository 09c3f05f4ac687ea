package gateway

import (
	"github.com/panjf2000/gnet/v2"

	"github.com/bellwire/bellwire/fanout"
	"github.com/bellwire/bellwire/wire"
)

// session is one device connection. It belongs to its loop: only code on that
// loop touches it. It is small, because there are very many that do nothing:
// 112 bytes, which is a size that the allocator has.
type session struct {
	// Static after it was opened.
	conn gnet.Conn
	n    fanout.Sub

	silence uint16 // seconds without a whole frame after which it is closed; static after it is proven
	stage   stage
	closed  bool

	// Static after it is proven.
	tenant *tenant
	device string

	subs   []subscription
	pub    *publishing // nil until it publishes
	out    *outbound   // nil while it keeps up and replays nothing
	secure *secured    // nil: plain
	proof  *proof      // nil: it named itself, and no proxy spoke for it

	network uint64 // what it counts for in sources, until it is proven; 0: nothing
}

// publishing is what a session holds that has published something.
type publishing struct {
	tag      uint64 // of its identity
	acked    uint64 // highest accepted sequence that was not acknowledged yet, 0: none
	credit   int    // bytes that it may still publish
	owed     int    // bytes that came back and were not told yet
	tokens   float32
	tokensAt uint32
}

// subscription is one filter of a session.
type subscription struct {
	topic  *fanout.Topic // exact filters
	group  *fanout.Group // wildcards
	num    uint32        // the device's number
	policy wire.Policy
	flags  subFlags
}

type subFlags uint8

const (
	subTracks  subFlags = 1 << iota // the device counts
	subCounted                      // it is one of its group's trackers
	subNoEcho                       // the session's own messages are not wanted
	subMute                         // publish only
	subCentral                      // the central service brings messages of its filter
	subBoth                         // and so it does of this exact one, although it is a broadcast: its class changes
)

// flagsOf are those of a SUBSCRIBE.
func flagsOf(q wire.Subscribe) (f subFlags) {
	if q.Track {
		f |= subTracks
	}
	if q.NoEcho {
		f |= subNoEcho
	}
	if q.PublishOnly {
		f |= subMute
	}
	return f
}

func (l *loop) handle(s *session) handle { return handle{uint32(l.n), s.n, l.slots.at(s.n).gen} }

// tag is the identity as streams remember publishers.
func (l *loop) tag(s *session) uint64 { return l.g.identities.tag(s.identity()) }

func (s *session) identity() wire.Identity {
	return wire.Identity{Tenant: s.tenant.name, Device: s.device}
}

// byNumber is the index of the subscription with the device's number, or -1.
func (s *session) byNumber(num uint32) int {
	for i := range s.subs {
		if s.subs[i].num == num {
			return i
		}
	}
	return -1
}

// stage is how far a session has come.
type stage uint8

const (
	stageNew     stage = iota // nothing was received
	stageProving              // HELLO is with the authenticator; what follows is held
	stageOpen
	stageClosing // CLOSE was sent; what comes is thrown away until the device hangs up
	stageHail    // what comes before frames is awaited: a PROXY header, a ClientHello
	stageShake   // the TLS handshake is under way
)

// verb is what a frame asks the loop to do.
type verb uint8

const (
	verbHello verb = iota + 1
	verbSubscribe
	verbUnsubscribe
	verbPublish
	verbPing
	verbPong
	verbClose
	verbAuth
	verbRefuse // understood, but not offered by this version
	verbIgnore
)

// next is the session's state machine: what a frame of this type means at this
// stage. It is pure. The error ends the connection [W-3.0].
func (st stage) next(t wire.Type) (verb, error) {
	if st == stageNew {
		if t != wire.TypeHello {
			return 0, &wire.Error{Code: wire.CodeOutOfOrder, Type: t, Field: "HELLO must be first"}
		}
		return verbHello, nil
	}
	switch t.Base() {
	case wire.TypeHello:
		return 0, &wire.Error{Code: wire.CodeOutOfOrder, Type: t, Field: "HELLO came twice"}
	case wire.TypeSubscribe:
		return verbSubscribe, nil
	case wire.TypeUnsubscribe:
		return verbUnsubscribe, nil
	case wire.TypePublish:
		return verbPublish, nil
	case wire.TypePing:
		return verbPing, nil
	case wire.TypePong:
		return verbPong, nil
	case wire.TypeClose:
		return verbClose, nil
	case wire.TypeError, wire.TypeGap, wire.TypeStream, wire.TypeEnd, wire.TypeLive:
		return verbIgnore, nil
	case wire.TypeAuth:
		return verbAuth, nil
	case wire.TypeOpen, wire.TypeCredit, wire.TypeEOF, wire.TypeData:
		return verbRefuse, nil
	case wire.TypeWelcome, wire.TypeSubscribed, wire.TypeUnsubscribed, wire.TypeTopic, wire.TypeGoaway,
		wire.TypeAck, wire.TypeOpened, wire.TypeLinked, wire.TypeMessage:
		return 0, &wire.Error{Code: wire.CodeOutOfOrder, Type: t, Field: "only gateways send this"}
	}
	if t.Skippable() {
		return verbIgnore, nil
	}
	return 0, &wire.Error{Code: wire.CodeUnknownType, Type: t, Field: "not known in version 1"}
}
