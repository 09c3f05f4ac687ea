// Package secure says who a device is. A device shows a certificate in the TLS
// handshake, or a token in HELLO; a [Trust] says which device of which tenant
// that proves, or the code and text to refuse it with. Everything is in memory:
// files, flags and their names are the business of the command.
//
// # What is believed
//
// A certificate is believed if one of [Config].DeviceCAs has issued it, directly
// or over intermediates that the device sends along, for client authentication,
// if it is neither expired nor revoked, and if it names exactly one device, in
// the place that [Config].Mapping says: by default one URI,
// bellwire://tenant/device. A CA may be bound to one tenant; a certificate of
// it that names a device of another tenant is refused with its own code.
//
// A token is a JWT, signed with Ed25519 and nothing else, of at most 900 bytes:
//
//	header  alg "EdDSA" · kid, which of the keys; may be missing for a key without ID · typ
//	sub     "tenant/device"
//	exp     seconds since 1970, a whole number; required
//	nbf iat the same, if there; may lie up to 60 s in the future
//	jti     a name to revoke it by
//	pub sbs lists of filters that it may publish and subscribe to, in which
//	        {tenant} and {device} may stand; if one of them is there, nothing else is
//	        allowed, so a missing list is an empty one
//	admin   "*" or a tenant: the token proves a person, named by sub, and no device
//	aud     if there, "bellwire" must be in it
//
// A static key is a long random text that a small set-up gives a device instead;
// the gateway knows only its SHA-256.
//
// # Answers
//
// Each refusal is a *wire.Error. Its Code tells the device what to do and its
// Field is a text for people of at most [wire.MaxRefusalText] bytes, in which
// nothing is quoted that a stranger wrote: serial numbers, dates and names that
// passed [wire.Identity.Check] at most.
//
//	80 not authenticated  not believed, whatever the reason
//	81 revoked            the device, the token or a certificate was withdrawn
//	84 other tenant       the CA or key does not speak for that tenant
//	25 token expired      a token whose time is over, or anything that has ended on a live session: come back with a new one
//
// # Changes
//
// A [Trust] never changes. Who reads new files makes a new one and asks its
// [Trust.Check] for each live session: whether what proved it holds still.
//
// # Between gateways
//
// The gateways of a fleet have a CA of their own, and certificates that name one
// gateway of one fleet, bellwire://CLUSTER/gateway/NAME. [Fleet] is the
// configuration for both ends of their links.
//
// # Issuing
//
// The other side is here too, for the command and for tests: [Authority] makes
// CAs, certificates and revocation lists, [IssueToken] tokens, [NewStaticKey]
// keys. A gateway needs none of it.
package secure
