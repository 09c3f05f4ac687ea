package peer

import "github.com/bellwire/bellwire/wire"

// appendSeq is a frame whose body is one sequence number: ACK (all batches up to it are held) and HEARTBEAT (it is the
// last one that was sent).
func appendSeq(dst []byte, t frameType, seq uint64) []byte {
	return wire.AppendVarint(append(dst, byte(t), byte(wire.VarintLen(seq))), seq)
}

func parseSeq(t frameType, body []byte) (uint64, error) {
	f := fields{t: t, b: body}
	seq := f.varint("seq")
	return seq, f.end()
}

// appendSkip is 26: batches from–to were given up and will not come.
func appendSkip(dst []byte, from, to uint64) []byte {
	at := len(dst)
	return finish(wire.AppendVarint(wire.AppendVarint(begin(dst), from), to), at, typeSkip)
}

func parseSkip(body []byte) (from, to uint64, err error) {
	f := fields{t: typeSkip, b: body}
	from, to = f.varint("from"), f.varint("to")
	if from == 0 || to < from {
		f.fail("it skips nothing")
	}
	return from, to, f.end()
}

// ended is the body of an END: a stream that was forgotten after an offset, or nothing, which says that the gateway
// leaves and has sent everything.
type ended struct {
	tenant, topic []byte
	run           uint32
	last          uint64
}

func (e ended) frame() []byte {
	dst := begin(nil)
	if len(e.tenant) > 0 {
		dst = appendStr(appendStr(dst, e.tenant), e.topic)
		dst = wire.AppendVarint(wire.AppendVarint(dst, uint64(e.run)), e.last)
	}
	return finish(dst, 0, typeEnd)
}

func parseEnded(body []byte) (e ended, leaving bool, err error) {
	if len(body) == 0 {
		return e, true, nil
	}
	f := fields{t: typeEnd, b: body}
	e = ended{tenant: f.name("tenant", wire.MaxTenant), topic: f.name("topic", wire.MaxName)}
	e.run, e.last = uint32(f.bounded("run", maxRun)), f.varint("last")
	return e, false, f.end()
}
