package peer

import (
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// Defaults of [Config].
const (
	DefaultRetain  = 8 << 20
	DefaultSilence = 2500 * time.Millisecond
	DefaultHold    = 2 * time.Second
	DefaultPeers   = 32
)

// Config is what a [Mesh] is made from. Cluster, Name, Life, Streams and Source are needed.
type Config struct {
	// Cluster is the fleet's name; gateways of another fleet are refused. It is what the gateways' certificates say.
	Cluster string
	// Name of this gateway, unique in the fleet; with TLS that of its certificate.
	Name string
	// Life is the boot nonce of this gateway: the life of its streams with run 0.
	Life wire.Life
	// Filters is a hash of the fleet's broadcast filters. A peer that has another one is linked, and told of in Links.
	// Mesh.SetFilters replaces it.
	Filters uint64

	// Listen is where other gateways connect; empty: nowhere, it only dials. Port 0 finds a free one. Beyond loopback
	// it needs TLS.
	Listen string
	// Advertise is the address that others reach Listen at; default what was bound.
	Advertise string
	// Peers are addresses that are dialled for ever, besides those that SetPeers names.
	Peers []string
	// TLS is this gateway's certificate and the fleet's CA (Certificates, RootCAs and ClientCAs). Nil: plain TCP, on
	// loopback only. The host at which another gateway is means nothing, so that the chain of one that is dialled is
	// verified against RootCAs alone, or with InsecureSkipVerify by VerifyConnection alone. Certificates that change
	// while links stand come from its callbacks; then Mesh.Recheck is to be called.
	TLS *tls.Config

	// Retain is how many bytes of batches are kept until all peers have acknowledged them. Default DefaultRetain.
	Retain int
	// Silence is how long nothing may be heard of a linked peer, at least a second. Default DefaultSilence.
	Silence time.Duration
	// Hold is how long a peer's streams are kept open after its link has gone, before their subscribers are told that
	// it is lost: it may be a partition. Default DefaultHold.
	Hold time.Duration
	// Most is how many peers there may be at once. Default DefaultPeers, which is also the largest.
	Most int
	// NoCompression has batches sent as they are.
	NoCompression bool

	// Streams is where the messages of others go, and Source what others may ask for.
	Streams Streams
	Source  Source
	// Logger has a line for every link that comes and goes. Default slog.Default().
	Logger *slog.Logger

	// without takes guards out; only tests of this package can set it.
	without guards
	// greeting is how long a connection may take until it is linked. Default 5 s.
	greeting time.Duration
}

// guards are the protections that a fault test takes out to prove that it is they which make the test pass.
type guards struct {
	certificateName bool // a gateway has the name of its certificate
	nameInUse       bool // of two gateways of one name the second is refused
	foreign         bool // messages of others are refused
	oldBatch        bool // a batch that came before is dropped
	bomb            bool // how large a batch becomes is bounded
	silence         bool // a link of which nothing is heard is closed
	fetch           bool // what is missing is asked for
	whole           bool // streams of who began later begin at their first message
	tops            bool // who has skipped is told where streams stand
	answerOrder     bool // answers come behind the live batches that were there when they were asked for
	hold            bool // an origin is lost only when its link has been gone for long
	restarted       bool // a life is over when the next one begins
	resend          bool // batches that were not acknowledged come again
	bound           bool // retention is bounded
	slowWrite       bool // nobody waits for a link whose write takes long
}
