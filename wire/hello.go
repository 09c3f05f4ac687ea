package wire

import "encoding/binary"

// AuthMethod says how HELLO.Auth proves the identity.
type AuthMethod uint8

// The methods. A gateway without an authenticator takes the token as the name
// of the device.
const (
	AuthCertificate AuthMethod = 0 // the transport has proven it; Auth is empty
	AuthToken       AuthMethod = 1 // Auth is a token, at most 900 bytes
)

// HelloTracks says that the device counts positions on some subscriptions.
const HelloTracks = 0x01

// Hello is the first frame of a connection [W-3.1].
type Hello struct {
	MinVersion, MaxVersion uint8
	Recv                   uint8  // log2 of the largest frame the device takes, 7–20
	Flags                  uint8  // HelloTracks; unknown bits are ignored
	Names                  uint32 // topic names that the device has room for; 0: named messages instead of TOPIC
	Keepalive              uint32 // seconds wished; 0: the gateway's default
	Incarnation            uint32 // drawn once per start of the device; sequences of PUBLISH belong to it
	Hops                   uint8  // redirects followed since 60 s of service
	Table                  uint32 // preloaded topic ids known, 0: none
	Method                 AuthMethod
	Auth                   []byte // aliases the frame after parsing
}

func (h Hello) body() int {
	return 2 + 4 + VarintLen(uint64(h.Names)) + VarintLen(uint64(h.Keepalive)) + 4 + 1 +
		VarintLen(uint64(h.Table)) + 1 + strLen(len(h.Auth))
}

// Len is the length of the frame.
func (h Hello) Len() int { return frameLen(h.body()) }

// Append appends the frame.
func (h Hello) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeHello, h.body())
	dst = append(dst, 'B', 'W', h.MinVersion, h.MaxVersion, h.Recv, h.Flags)
	dst = AppendVarint(dst, uint64(h.Names))
	dst = AppendVarint(dst, uint64(h.Keepalive))
	dst = binary.BigEndian.AppendUint32(dst, h.Incarnation)
	dst = append(dst, h.Hops)
	dst = AppendVarint(dst, uint64(h.Table))
	dst = append(dst, byte(h.Method))
	return appendStr(dst, h.Auth)
}

// ParseHello reads the body of a HELLO.
func ParseHello(body []byte) (Hello, error) {
	f := fields{t: TypeHello, b: body}
	if m := f.u8("magic"); m != 'B' || f.u8("magic") != 'W' {
		f.fail(CodeMalformed, `magic is not "BW"`)
	}
	h := Hello{MinVersion: f.u8("min version"), MaxVersion: f.u8("max version")}
	switch {
	case h.MinVersion > h.MaxVersion:
		f.fail(CodeMalformed, "min version is above max version")
	case h.MinVersion > Version || h.MaxVersion < Version:
		// Said before the rest is read: another version may lay it out differently.
		f.fail(CodeVersion, "no version in common")
	}
	h.Recv, h.Flags = f.u8("recv"), f.u8("flags")
	h.Names, h.Keepalive, h.Incarnation = f.u32v("names"), f.u32v("keepalive"), f.u32("incarnation")
	h.Hops, h.Table = f.u8("hops"), f.u32v("table")
	h.Method, h.Auth = AuthMethod(f.u8("auth")), f.str("auth")
	f.tlvs()
	switch {
	case f.err != nil:
	case h.Recv < MinFrameLog || h.Recv > MaxFrameLog:
		f.fail(CodeMalformed, "recv is not within 7–20")
	case h.Method > AuthToken:
		f.fail(CodeNotAuthenticated, "auth method is not known")
	case len(h.Auth) > MaxAuth:
		f.fail(CodeFrameTooLarge, "auth is longer than 900 bytes")
	}
	if f.err != nil {
		return Hello{}, f.err
	}
	return h, nil
}
