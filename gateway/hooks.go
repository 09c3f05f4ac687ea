package gateway

import (
	"context"
	"net/netip"

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
// broadcast. Publish must not block; payload may be kept. Its error's wire code
// is what the publisher is told; any other error is CodeCentralAway. It brings
// nothing to subscribers: SUBSCRIBE of an exact topic that is not a broadcast one
// gets CodeNotSupported with it, and CodeNoCentral without. Publish is called on
// the event loops and by Gateway.Publish, so from several goroutines at once.
type Central interface {
	Publish(tenant, topic string, payload []byte) error
}
