package wire_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// vectors is testdata/vectors.json; PROTOCOL.md chapter 12 describes it.
type vectors struct {
	Version int
	Frames  []vector
	Invalid []struct {
		Name, Hex, Code, Receiver string
		Max                       int
	}
	Streams []struct {
		Name, Hex, Rest string
		Max             int
		Frames          []string
	}
	Refusals []struct {
		Name, After string
		Send        []string
		Expect      []struct {
			Type    string
			Meaning map[string]any
		}
		Closed bool
	}
	Counting []countingVector
	Varints  []struct {
		Value uint64
		Hex   string
	}
	InvalidVarints []string `json:"invalid_varints"`
	Names          []struct {
		Text, Hex, Why string
		Topic, Filter  bool
	}
	Matches []struct {
		Filter, Topic string
		Match         bool
	}
	Codes []struct{ Code, Range, Text string }
}

type vector struct {
	Name, Hex, Direction, Type string
	Level                      int
	Meaning                    map[string]any
}

// skips reports whether the vector has something that a codec passes over.
func (v vector) skips() bool { return strings.Contains(v.Name, "TLV is skipped") }

func load(t testing.TB) vectors {
	t.Helper()
	file, err := os.ReadFile("testdata/vectors.json")
	require.NoError(t, err)
	d := json.NewDecoder(bytes.NewReader(file))
	d.UseNumber()
	d.DisallowUnknownFields()
	var v vectors
	require.NoError(t, d.Decode(&v))
	require.Equal(t, wire.Version, v.Version)
	return v
}

// The codec and the vectors agree both ways.
func TestVectorFrames(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range load(t).Frames {
		t.Run(v.Name, func(t *testing.T) {
			require.False(t, seen[v.Name], "two vectors of one name")
			seen[v.Name] = true
			b := unhex(t, v.Hex)
			f, err := parseFrame(b)
			require.NoError(t, err)
			require.Equal(t, v.Type, wire.Type(b[0]).String())
			require.Contains(t, []string{"D>G", "G>D", "both"}, v.Direction)

			want, err := json.Marshal(v.Meaning)
			require.NoError(t, err)
			got, err := json.Marshal(meaning(f))
			require.NoError(t, err)
			require.JSONEq(t, string(want), string(got))

			if !v.skips() {
				require.Equal(t, v.Hex, hex.EncodeToString(build(t, v.Type, v.Meaning).Append(nil)))
			}
		})
	}
}

func TestVectorInvalid(t *testing.T) {
	for _, v := range load(t).Invalid {
		t.Run(v.Name, func(t *testing.T) {
			typ, whole, _, err := wire.Next(unhex(t, v.Hex), v.Max)
			if err == nil {
				_, _, err = parse(typ, whole)
			}
			var e *wire.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, v.Code, hex.EncodeToString([]byte{byte(e.Code)}), e.Error())
			require.Equal(t, typ, e.Type)
			require.Contains(t, []string{"gateway", "device", "both"}, v.Receiver)
		})
	}
}

func TestVectorStreams(t *testing.T) {
	for _, v := range load(t).Streams {
		t.Run(v.Name, func(t *testing.T) {
			frames, rest, err := feed(unhex(t, v.Hex), v.Max, nil)
			require.NoError(t, err)
			require.Equal(t, v.Frames, frames)
			require.Equal(t, v.Rest, rest)
		})
	}
}

// The refusals themselves are the gateway's; here each frame is held against the
// codec: what is refused as malformed does not parse, the rest does, and the
// number that the gateway answers with is the first field of the body.
func TestVectorRefusals(t *testing.T) {
	for _, v := range load(t).Refusals {
		t.Run(v.Name, func(t *testing.T) {
			require.Contains(t, []string{"connect", "welcome"}, v.After)
			require.NotEmpty(t, v.Send)
			require.NotEmpty(t, v.Expect)
			last := v.Expect[len(v.Expect)-1]
			require.Equal(t, v.Closed, last.Type == "CLOSE", "a connection ends with CLOSE")
			for _, e := range v.Expect {
				f := build(t, e.Type, e.Meaning)
				again, err := parseFrame(f.Append(nil))
				require.NoError(t, err)
				require.Equal(t, f.Len(), again.Len())
				require.LessOrEqual(t, f.Len(), wire.MaxControl)
			}
			for _, b := range hexes(t, v.Send) {
				typ, whole, _, err := wire.Next(b, 1024)
				if err == nil {
					_, _, err = parse(typ, whole)
				}
				refused := ""
				if err != nil {
					refused = hex.EncodeToString([]byte{byte(wire.CodeOf(err))})
				}
				switch code := last.Meaning["code"]; {
				case v.After == "connect" && code == "a5":
					require.NotEqual(t, wire.TypeHello, typ)
				case last.Type == "CLOSE" && code != "a5" && typ.Base().String() != "TYPE_0x7f":
					require.Equal(t, code, refused)
				default:
					require.NoError(t, err)
				}
			}
		})
	}
}

// meaning is the frame in the words of the vectors.
func meaning(f frame) map[string]any {
	code := func(c wire.Code) string { return hex.EncodeToString([]byte{byte(c)}) }
	switch f := f.(type) {
	case wire.Hello:
		return map[string]any{
			"min": f.MinVersion, "max": f.MaxVersion, "recv": f.Recv, "flags": f.Flags, "names": f.Names, "keepalive": f.Keepalive,
			"incarnation": f.Incarnation, "hops": f.Hops, "table": f.Table, "method": f.Method, "auth": string(f.Auth),
		}
	case wire.Welcome:
		return map[string]any{
			"version": f.Version, "recv": f.Recv, "flags": f.Flags, "keepalive": f.Keepalive, "credit": f.Credit,
			"max_subs": f.MaxSubs, "table": f.Table, "life": f.Life.String(),
		}
	case wire.Subscribe:
		m := map[string]any{
			"sub": f.Sub, "policy": f.Policy, "track": f.Track, "start": f.Start, "no_echo": f.NoEcho, "publish_only": f.PublishOnly,
		}
		if f.Topic != 0 {
			m["id"] = f.Topic
		} else {
			m["filter"] = string(f.Filter)
		}
		if f.Start == wire.StartCursor {
			list := []map[string]any{}
			for p := range f.Cursor.Positions() {
				list = append(list, map[string]any{"life": p.Life.String(), "offset": p.Offset})
			}
			m["cursor"] = list
		}
		return m
	case wire.Subscribed:
		m := map[string]any{"sub": f.Sub, "code": code(f.Code), "id": f.Topic}
		if f.Code.Class() == wire.ClassLater {
			m["retry"] = f.Retry
		}
		textTo(m, f.Text)
		return m
	case wire.Unsubscribe:
		return map[string]any{"sub": f.Sub}
	case wire.Unsubscribed:
		return map[string]any{"sub": f.Sub, "code": code(f.Code)}
	case wire.Topic:
		return map[string]any{"id": f.Topic, "name": string(f.Name)}
	case probe:
		return map[string]any{"data": hex.EncodeToString(f.data)}
	case wire.Goaway:
		return map[string]any{"code": code(f.Code), "within": f.Within, "spread": f.Spread, "target": string(f.Target)}
	case wire.Refusal:
		return map[string]any{"code": code(f.Code), "type": code(wire.Code(f.Type)), "number": f.Number, "text": string(f.Text)}
	case wire.Auth:
		return map[string]any{"method": f.Method, "data": hex.EncodeToString(f.Data)}
	case wire.Ack:
		m := map[string]any{"seq": f.Seq, "code": code(f.Code)}
		if f.Code.Class() == wire.ClassLater {
			m["retry"] = f.Retry
		}
		textTo(m, f.Text)
		return m
	case wire.Credit:
		return map[string]any{"handle": f.Handle, "bytes": f.Bytes}
	case wire.Close:
		m := map[string]any{"handle": f.Handle, "code": code(f.Code), "text": string(f.Text)}
		if f.Retry > 0 {
			m["retry"] = f.Retry
		}
		return m
	case wire.Publish:
		m := map[string]any{"confirmed": f.Confirmed, "payload": hex.EncodeToString(f.Payload)}
		topicTo(m, f.Topic, f.Name)
		if f.Ack {
			m["seq"] = f.Seq
		}
		if f.TLVs != nil {
			m["tlvs"] = hex.EncodeToString(f.TLVs)
		}
		return m
	case wire.Message:
		m := map[string]any{"offset_form": offsetForms[f.Form], "payload": hex.EncodeToString(f.Payload)}
		topicTo(m, f.Topic, f.Name)
		if f.Origin != 0 {
			m["origin"] = f.Origin
		}
		if f.Form != wire.OffsetNone {
			m["offset"] = f.Offset
		}
		if f.Form == wire.OffsetTLVs {
			m["tlvs"] = hex.EncodeToString(f.TLVs)
		}
		return m
	case wire.Gap:
		return map[string]any{"id": f.Topic, "origin": f.Origin, "reason": f.Reason, "count": f.Count}
	case wire.Stream:
		return map[string]any{"id": f.Topic, "origin": f.Origin, "flags": f.Flags, "life": f.Life.String(), "next": f.Next}
	case wire.End:
		return map[string]any{"id": f.Topic, "origin": f.Origin, "how": f.How}
	case wire.Live:
		return map[string]any{"sub": f.Sub}
	}
	return nil
}

var offsetForms = []string{"none", "low", "full", "tlvs"}

func topicTo(m map[string]any, id wire.TopicID, name []byte) {
	if name != nil {
		m["name"] = string(name)
	} else {
		m["id"] = id
	}
}

// textTo notes why a request was refused, if the frame says so.
func textTo(m map[string]any, text []byte) {
	if len(text) > 0 {
		m["text"] = string(text)
	}
}

// words reads a meaning; what is absent is the zero value.
type words struct {
	t testing.TB
	m map[string]any
}

func (w words) has(key string) bool { _, ok := w.m[key]; return ok }

func (w words) num(key string) uint64 {
	n, ok := w.m[key].(json.Number)
	if !ok {
		return 0
	}
	v, err := strconv.ParseUint(n.String(), 10, 64)
	require.NoError(w.t, err, key)
	return v
}

func (w words) u32(key string) uint32     { return uint32(w.num(key)) }
func (w words) u8(key string) uint8       { return uint8(w.num(key)) }
func (w words) id() wire.TopicID          { return wire.TopicID(w.num("id")) }
func (w words) flag(key string) bool      { b, _ := w.m[key].(bool); return b }
func (w words) text(key string) []byte    { s, _ := w.m[key].(string); return []byte(s) }
func (w words) hex(key string) []byte     { return unhex(w.t, string(w.text(key))) }
func (w words) code(key string) wire.Code { return wire.Code(w.hex(key)[0]) }

func (w words) life(key string) wire.Life { return parseLife(w.t, string(w.text(key))) }

// optional is nil if the key is absent, so that the flag in the type stays clear.
func (w words) optional(key string, read func(string) []byte) []byte {
	if !w.has(key) {
		return nil
	}
	return read(key)
}

func parseLife(t testing.TB, s string) wire.Life {
	v, err := strconv.ParseUint(s, 16, 64)
	require.NoError(t, err)
	return wire.Life(v)
}

// build is the frame that a meaning describes.
func build(t testing.TB, name string, m map[string]any) frame {
	w := words{t, m}
	switch name {
	case "HELLO":
		return wire.Hello{
			MinVersion: w.u8("min"), MaxVersion: w.u8("max"), Recv: w.u8("recv"), Flags: w.u8("flags"), Names: w.u32("names"),
			Keepalive: w.u32("keepalive"), Incarnation: w.u32("incarnation"), Hops: w.u8("hops"), Table: w.u32("table"),
			Method: wire.AuthMethod(w.u8("method")), Auth: w.text("auth"),
		}
	case "WELCOME":
		return wire.Welcome{
			Version: w.u8("version"), Recv: w.u8("recv"), Flags: w.u8("flags"), Keepalive: w.u32("keepalive"),
			Credit: w.num("credit"), MaxSubs: w.u32("max_subs"), Table: w.u32("table"), Life: w.life("life"),
		}
	case "SUBSCRIBE":
		s := wire.Subscribe{
			Sub: w.u32("sub"), Policy: wire.Policy(w.u8("policy")), Track: w.flag("track"), Start: wire.Start(w.u8("start")),
			NoEcho: w.flag("no_echo"), PublishOnly: w.flag("publish_only"), Topic: w.id(), Filter: w.text("filter"),
		}
		list, _ := m["cursor"].([]any)
		for _, p := range list {
			p := words{t, p.(map[string]any)}
			s.Cursor = s.Cursor.AppendPosition(wire.Position{Life: p.life("life"), Offset: p.num("offset")})
		}
		return s
	case "SUBSCRIBED":
		return wire.Subscribed{Sub: w.u32("sub"), Code: w.code("code"), Topic: w.id(), Retry: w.u32("retry"), Text: w.optional("text", w.text)}
	case "UNSUBSCRIBE":
		return wire.Unsubscribe{Sub: w.u32("sub")}
	case "UNSUBSCRIBED":
		return wire.Unsubscribed{Sub: w.u32("sub"), Code: w.code("code")}
	case "TOPIC":
		return wire.Topic{Topic: w.id(), Name: w.text("name")}
	case "PING":
		return probe{wire.TypePing, w.hex("data")}
	case "PONG":
		return probe{wire.TypePong, w.hex("data")}
	case "GOAWAY":
		return wire.Goaway{Code: w.code("code"), Within: w.u32("within"), Spread: w.u32("spread"), Target: w.text("target")}
	case "ERROR":
		return wire.Refusal{Code: w.code("code"), Type: wire.Type(w.code("type")), Number: w.num("number"), Text: w.text("text")}
	case "AUTH":
		return wire.Auth{Method: wire.AuthMethod(w.u8("method")), Data: w.hex("data")}
	case "ACK":
		return wire.Ack{Seq: w.num("seq"), Code: w.code("code"), Retry: w.u32("retry"), Text: w.optional("text", w.text)}
	case "CREDIT":
		return wire.Credit{Handle: w.u32("handle"), Bytes: w.num("bytes")}
	case "CLOSE":
		return wire.Close{Handle: w.u32("handle"), Code: w.code("code"), Text: w.text("text"), Retry: w.u32("retry")}
	case "PUBLISH":
		return wire.Publish{
			Topic: w.id(), Name: w.optional("name", w.text), Ack: w.has("seq"), Seq: w.num("seq"),
			Confirmed: w.flag("confirmed"), TLVs: w.optional("tlvs", w.hex), Payload: w.hex("payload"),
		}
	case "MESSAGE":
		form := wire.OffsetNone
		for i, s := range offsetForms {
			if s == string(w.text("offset_form")) {
				form = wire.OffsetForm(i)
			}
		}
		return wire.Message{
			Topic: w.id(), Name: w.optional("name", w.text), Origin: w.u32("origin"), Form: form,
			Offset: w.num("offset"), TLVs: w.hex("tlvs"), Payload: w.hex("payload"),
		}
	case "GAP":
		return wire.Gap{Topic: w.id(), Origin: w.u32("origin"), Reason: wire.Reason(w.u8("reason")), Count: w.num("count")}
	case "STREAM":
		return wire.Stream{Topic: w.id(), Origin: w.u32("origin"), Flags: w.u8("flags"), Life: w.life("life"), Next: w.num("next")}
	case "END":
		return wire.End{Topic: w.id(), Origin: w.u32("origin"), How: wire.How(w.u8("how"))}
	case "LIVE":
		return wire.Live{Sub: w.u32("sub")}
	}
	require.Fail(t, "no frame "+name)
	return nil
}
