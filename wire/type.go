package wire

import "strconv"

// Type is the first byte of a frame. PUBLISH, MESSAGE and DATA carry flags in
// their low bits; Base removes them.
//
// A session, in the order in which frames appear:
//
//	HELLO → WELCOME            who are you, what do we agree on
//	SUBSCRIBE → SUBSCRIBED     then STREAM (if tracked), replay, LIVE
//	PUBLISH → ACK              and CREDIT, which gives back what was spent
//	MESSAGE, GAP, END          what subscribers are for
//	PING → PONG                either side
//	GOAWAY, CLOSE              the end, with a code that says what to do next
type Type uint8

// Frame types. D→G: device to gateway, G→D: gateway to device.
const (
	TypeHello        Type = 0x01 // D→G "BW" · min · max · recv · flags · names · keepalive · incarnation · hops · table · auth
	TypeWelcome      Type = 0x02 // G→D version · recv · flags · keepalive · credit · max subs · table · gateway life
	TypeSubscribe    Type = 0x04 // D→G sub · opts · filter or id · [cursor]
	TypeSubscribed   Type = 0x05 // G→D sub · code · id · [retry ms]
	TypeUnsubscribe  Type = 0x06 // D→G sub
	TypeUnsubscribed Type = 0x07 // G→D sub · code
	TypeTopic        Type = 0x08 // G→D id · name
	TypePing         Type = 0x09 // both 0–8 bytes
	TypePong         Type = 0x0A // both the bytes of the PING
	TypeGoaway       Type = 0x0B // G→D code · within ms · spread ms · target
	TypeError        Type = 0x0C // both code · type · number · text
	TypeAuth         Type = 0x0D // both method · bytes (D→G: the new token; G→D: seconds left)
	TypeAck          Type = 0x0E // G→D seq · code · [retry ms]
	TypeOpen         Type = 0x10 // D→G level 2
	TypeOpened       Type = 0x11 // G→D level 2
	TypeLinked       Type = 0x12 // G→D level 2
	TypeCredit       Type = 0x13 // both handle (0: publishing) · bytes
	TypeEOF          Type = 0x14 // both level 2
	TypeClose        Type = 0x15 // both handle (0: the connection) · code · text · [delay ms]
	TypePublish      Type = 0x40 // D→G 4 flag bits: name, ack, confirmed, TLVs
	TypeMessage      Type = 0x50 // G→D 4 flag bits: name, origin, offset form (2)
	TypeData         Type = 0x60 // both level 2, 1 flag bit: EOF after it
	TypeGap          Type = 0x80 // G→D id · origin · reason · count
	TypeStream       Type = 0x81 // G→D id · origin · flags · life · next
	TypeEnd          Type = 0x82 // G→D id · origin · how
	TypeLive         Type = 0x83 // G→D sub
)

// Flag bits of PUBLISH.
const (
	PublishNamed     Type = 0x01 // the topic is a name, not an id
	PublishAck       Type = 0x02 // a sequence number follows, an ACK is wanted
	PublishConfirmed Type = 0x04 // two gateways shall hold it before the ACK
	PublishTLVs      Type = 0x08 // a TLV block stands before the payload
)

// Flag bits of MESSAGE.
const (
	MessageNamed      Type = 0x01 // the topic is a name, not an id
	MessageOrigin     Type = 0x02 // an origin index follows; else the topic's main origin
	messageOffsetMask Type = 0x0C
)

// Base is the type without the flag bits that PUBLISH, MESSAGE and DATA carry.
func (t Type) Base() Type {
	switch {
	case t >= 0x40 && t <= 0x5F:
		return t &^ 0x0F
	case t == 0x61:
		return TypeData
	}
	return t
}

// Skippable reports whether a receiver that does not know the type passes over
// the frame by its length [W-2.4]. Any other unknown type ends the connection.
func (t Type) Skippable() bool { return t >= 0x80 }

// String is the type's name in capitals, or its number if it has none.
func (t Type) String() string {
	if n := typeNames[t.Base()]; n != "" {
		return n
	}
	return "TYPE_0x" + strconv.FormatUint(uint64(t), 16)
}

var typeNames = [256]string{
	TypeHello: "HELLO", TypeWelcome: "WELCOME", TypeSubscribe: "SUBSCRIBE", TypeSubscribed: "SUBSCRIBED",
	TypeUnsubscribe: "UNSUBSCRIBE", TypeUnsubscribed: "UNSUBSCRIBED", TypeTopic: "TOPIC", TypePing: "PING",
	TypePong: "PONG", TypeGoaway: "GOAWAY", TypeError: "ERROR", TypeAuth: "AUTH", TypeAck: "ACK",
	TypeOpen: "OPEN", TypeOpened: "OPENED", TypeLinked: "LINKED", TypeCredit: "CREDIT", TypeEOF: "EOF",
	TypeClose: "CLOSE", TypePublish: "PUBLISH", TypeMessage: "MESSAGE", TypeData: "DATA", TypeGap: "GAP",
	TypeStream: "STREAM", TypeEnd: "END", TypeLive: "LIVE",
}
