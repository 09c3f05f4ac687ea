package gateway

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/bellwire/bellwire/wire"
)

// Authenticator proves who a device is. It runs on a goroutine of its own, with
// a context that ends when the time to authenticate is over. The error's wire
// code (wire.CodeOf of a *wire.Error) is what the device is told; any other
// error is CodeNotAuthenticated. h.Auth may be kept.
type Authenticator func(ctx context.Context, h wire.Hello, from netip.AddrPort) (wire.Identity, error)

// Authorizer decides whether a device may publish to a topic or subscribe to a
// filter; a wildcard must be granted whole. It is asked on the event loop: it
// must not block. Nil means yes, any error means CodeNotGranted. Config.Policy has
// to allow it as well.
type Authorizer func(id wire.Identity, a Action, topic string) error

// Central is the central publish/subscribe service, which takes what is not a
// broadcast. Its methods are called on the event loops and by Gateway.Publish, so
// from several goroutines at once, and must not block.
type Central interface {
	// Publish forwards a message; payload may be kept. Its error's wire code is what
	// the publisher is told; any other error is CodeCentralAway.
	Publish(tenant, topic string, payload []byte) error
	// Subscribe has the messages of all topics that match a filter brought to
	// Gateway.FromCentral until cancel is called. It is called once for all devices
	// with that filter. Its error's wire code is what the device is told, as with
	// Publish.
	Subscribe(tenant, filter string) (cancel func(), err error)
}

// CentralStreams is a Central that keeps the messages of some topics: those are
// counted, and a device resumes them. Config.Central is asked whether it is one.
type CentralStreams interface {
	// Bound is the last position of the stream that a topic is bound to; false if there
	// is none. Offsets of a topic rise and are not dense. It must not block.
	Bound(tenant, topic string) (last wire.Position, ok bool)
	// Replay calls fn with the messages of a topic behind a position, at most so many,
	// until fn returns false; payloads may be kept. upTo is how far it came, the end of
	// the stream at least if it read all. It is not whole if something behind the
	// position is not kept any more.
	Replay(ctx context.Context, tenant, topic string, from wire.Position, most int, fn func(offset uint64, payload []byte) bool) (upTo wire.Position, whole bool, err error)
}

// Directory is what is known of the fleet's gateways beside the links to them. Its
// methods may be called by several goroutines at once.
type Directory interface {
	// Members are the gateways that are listed, this one among them.
	Members() []Member
	// State says in a word how the list is kept, such as "embedded" or "away".
	State() string
}

// Stored is what the fleet's gateways have in common, as the central service keeps it.
// Its methods may be called by several goroutines at once; they wait for the answer. An
// error that wraps ErrNotStored is the caller's, another one that of the service.
type Stored interface {
	// Policy is the stored text of a policy; nil: there is none.
	Policy(ctx context.Context) ([]byte, error)
	// StorePolicy replaces it at all gateways; nil deletes it.
	StorePolicy(ctx context.Context, text []byte) error
	// Broadcast are the fleet's broadcast filters.
	Broadcast(ctx context.Context) (StoredBroadcast, error)
	// StoreBroadcast changes them, and returns when all gateways have.
	StoreBroadcast(ctx context.Context, filters []string) error
}

// ErrNotStored is why something that is wrong was not stored.
var ErrNotStored = errors.New("not stored")

// StoredBroadcast are broadcast filters as GET /v1/fleet/broadcast shows them.
type StoredBroadcast struct {
	Filters []string `json:"filters"`
	// Also is not nil while they change: see Gateway.SetBroadcast.
	Also []string `json:"also,omitzero"`
	// Stored: they are the fleet's; else this gateway's own.
	Stored bool `json:"stored"`
}

// Member is a gateway of the fleet as the directory lists it.
type Member struct {
	Name    string
	Life    wire.Life
	Address string // for other gateways
	Version string
	Devices *int64 // when it last said so; nil: unknown
	Filters uint64 // hash of its broadcast filters, see Gateway.FiltersHash; 0: it did not say
	Since   time.Time
}
