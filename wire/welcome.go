package wire

import "encoding/binary"

// WelcomeResumes says that the gateway keeps rings: subscriptions can track and
// resume. It promises no duration.
const WelcomeResumes = 0x01

// Welcome answers HELLO once the device is proven [W-3.2].
type Welcome struct {
	Version   uint8
	Recv      uint8  // log2 of the largest frame the gateway takes, 10–20
	Flags     uint8  // WelcomeResumes
	Keepalive uint32 // seconds; the device sends something at least this often
	Credit    uint64 // bytes of PUBLISH frames that may be under way
	MaxSubs   uint32 // subscriptions at once
	Table     uint32 // preloaded ids in force; 0: none
	Life      Life   // of the gateway
}

func (w Welcome) body() int {
	return 3 + VarintLen(uint64(w.Keepalive)) + VarintLen(w.Credit) + VarintLen(uint64(w.MaxSubs)) +
		VarintLen(uint64(w.Table)) + 8
}

// Len is the length of the frame.
func (w Welcome) Len() int { return frameLen(w.body()) }

// Append appends the frame.
func (w Welcome) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeWelcome, w.body())
	dst = append(dst, w.Version, w.Recv, w.Flags)
	dst = AppendVarint(dst, uint64(w.Keepalive))
	dst = AppendVarint(dst, w.Credit)
	dst = AppendVarint(dst, uint64(w.MaxSubs))
	dst = AppendVarint(dst, uint64(w.Table))
	return binary.BigEndian.AppendUint64(dst, uint64(w.Life))
}

// ParseWelcome reads the body of a WELCOME.
func ParseWelcome(body []byte) (Welcome, error) {
	f := fields{t: TypeWelcome, b: body}
	w := Welcome{
		Version: f.u8("version"), Recv: f.u8("recv"), Flags: f.u8("flags"), Keepalive: f.u32v("keepalive"),
		Credit: f.varint("credit"), MaxSubs: f.u32v("max subs"), Table: f.u32v("table"), Life: Life(f.u64("life")),
	}
	f.tlvs()
	if f.err == nil && (w.Recv < MinGatewayFrameLog || w.Recv > MaxFrameLog) {
		f.fail(CodeMalformed, "recv is not within 10–20")
	}
	if f.err != nil {
		return Welcome{}, f.err
	}
	return w, nil
}
