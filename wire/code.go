package wire

import "strconv"

// Code says how something went, in one byte: in ACK, SUBSCRIBED, UNSUBSCRIBED,
// ERROR, GOAWAY and CLOSE. The table is append-only. A code that a receiver
// does not know is treated as its Class [W-7.1].
type Code uint8

// The codes, by class.
const (
	CodeOK            Code = 0x00 // done
	CodeOKLiveOnly    Code = 0x01 // subscribed, but nothing can be resumed here
	CodeOKCentralAway Code = 0x02 // subscribed, the central part is away
	CodePeerClosed    Code = 0x03 // the linked socket was closed
	CodeWaitTimedOut  Code = 0x04 // the peer never came
	CodeIdle          Code = 0x05 // nothing happened for too long

	CodeRestart         Code = 0x20 // the gateway restarts
	CodeGatewayLost     Code = 0x21 // another gateway that this depended on is gone
	CodeSlow            Code = 0x22 // the device took nothing for too long
	CodeKeepaliveMissed Code = 0x23 // 1.5 intervals of silence
	CodeUnknownID       Code = 0x24 // use the name
	CodeTokenExpired    Code = 0x25 // come back with a new one

	CodeOverload      Code = 0x40 // the gateway has too much to do
	CodePublishRate   Code = 0x41 // too many publishes
	CodeConnectRate   Code = 0x42 // too many connects
	CodeThrottled     Code = 0x43 // the tenant's quota
	CodeCentralAway   Code = 0x44 // the central service does not answer
	CodeEndpointFails Code = 0x45 // the customer's function fails
	CodeReplayBusy    Code = 0x46 // too many replays at once

	CodeMoved       Code = 0x60 // the target serves this device
	CodeDraining    Code = 0x61 // the gateway is leaving
	CodeMaintenance Code = 0x62 // the gateway is in its maintenance slot
	CodeNotRegion   Code = 0x63 // another region serves this device

	CodeNotAuthenticated Code = 0x80 // who are you?
	CodeRevoked          Code = 0x81 // the credential was withdrawn
	CodeReplaced         Code = 0x82 // a newer connection of the same identity took over
	CodeNotGranted       Code = 0x83 // this identity may not do that
	CodeOtherTenant      Code = 0x84 // that belongs to somebody else
	CodeBanned           Code = 0x85 // by the operator

	CodeMalformed     Code = 0xA0 // the bytes are not the protocol
	CodeVersion       Code = 0xA1 // no version in common
	CodeUnknownType   Code = 0xA2 // a frame or TLV that must be understood is not
	CodeFrameTooLarge Code = 0xA3 // larger than the receiver takes
	CodeOverCredit    Code = 0xA4 // more published than credit was given
	CodeOutOfOrder    Code = 0xA5 // a frame that may not come here

	CodeBadTopic         Code = 0xC0 // not a topic or filter
	CodePayloadTooLarge  Code = 0xC1 // does not fit
	CodeTooManySubs      Code = 0xC2 // one more subscription than WELCOME allows
	CodeCursorUnusable   Code = 0xC3 // the cursor does not belong to this filter
	CodeUnknownMapping   Code = 0xC4 // no such function mapping
	CodeSelfLink         Code = 0xC5 // a socket cannot be linked to itself
	CodePeerTaken        Code = 0xC6 // the peer is linked already
	CodeAnswersDisagree  Code = 0xC7 // the two functions contradict each other
	CodeNameInUse        Code = 0xC8 // a socket of that name lives
	CodeNoCentral        Code = 0xC9 // not a broadcast topic, and no central service here
	CodeNotSupported     Code = 0xCA // this gateway cannot do that
	CodeCustomerSmallest Code = 0xE0 // from here on: passed through from functions
)

// Class is what a device does about a code; it is the code's top three bits.
type Class uint8

// The classes, in the order of their ranges of 32 codes.
const (
	ClassFine          Class = iota // 00–1F nothing; after CLOSE: come back when it wants
	ClassAtOnce                     // 20–3F again now, jitter of at most 1 s
	ClassLater                      // 40–5F after the delay given, else back-off from 5 s
	ClassElsewhere                  // 60–7F at the target, else the next of its own list
	ClassNeverIdentity              // 80–9F stop, tell someone
	ClassNeverSoftware              // A0–BF stop until updated
	ClassNotThis                    // C0–DF do not repeat this request unchanged
	ClassCustomer                   // E0–FF the customer's own meaning
)

// Class is the range of the code.
func (c Code) Class() Class { return Class(c >> 5) }

// String is a short lower-case text, or the number if the code has none.
func (c Code) String() string {
	if s := codeTexts[c]; s != "" {
		return s
	}
	return "code 0x" + strconv.FormatUint(uint64(c), 16)
}

// hasRetry reports whether ACK and SUBSCRIBED carry a delay after this code.
func (c Code) hasRetry() bool { return c.Class() == ClassLater }

var codeTexts = [256]string{
	CodeOK: "ok", CodeOKLiveOnly: "ok, live only", CodeOKCentralAway: "ok, central part away",
	CodePeerClosed: "peer closed", CodeWaitTimedOut: "waiting timed out", CodeIdle: "idle",
	CodeRestart: "restart", CodeGatewayLost: "gateway lost", CodeSlow: "slow", CodeKeepaliveMissed: "keepalive missed",
	CodeUnknownID: "unknown id", CodeTokenExpired: "token expired",
	CodeOverload: "overload", CodePublishRate: "publish rate", CodeConnectRate: "connect rate",
	CodeThrottled: "throttled by tenant", CodeCentralAway: "central away", CodeEndpointFails: "endpoint failing",
	CodeReplayBusy: "replay busy",
	CodeMoved:      "moved", CodeDraining: "draining", CodeMaintenance: "maintenance", CodeNotRegion: "not this region",
	CodeNotAuthenticated: "not authenticated", CodeRevoked: "revoked", CodeReplaced: "replaced by a newer connection",
	CodeNotGranted: "not granted", CodeOtherTenant: "other tenant", CodeBanned: "banned",
	CodeMalformed: "malformed", CodeVersion: "version", CodeUnknownType: "unknown type",
	CodeFrameTooLarge: "frame too large", CodeOverCredit: "over credit", CodeOutOfOrder: "out of order",
	CodeBadTopic: "bad topic", CodePayloadTooLarge: "payload too large", CodeTooManySubs: "too many subscriptions",
	CodeCursorUnusable: "cursor unusable", CodeUnknownMapping: "unknown mapping", CodeSelfLink: "self-link",
	CodePeerTaken: "peer taken", CodeAnswersDisagree: "answers disagree", CodeNameInUse: "name in use",
	CodeNoCentral: "no central here", CodeNotSupported: "not supported",
}
