package peer

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return b
}

func goldenBatch(n int) []byte {
	g := newGather()
	for i := range n {
		m := Message{
			Key: 7, Tenant: "acme", Topic: "broadcast/eu/kitchen", Offset: 4711 + uint64(i), Payload: []byte("temp=21.5;hum=40"),
		}
		g.add(&m, 1)
	}
	return appendBatch(nil, 77, 0, g.entries)
}

func goldenFetched(more bool) []byte {
	var a answer
	a.begin(nil, fetch{life: 0x1122334455000002, tenant: []byte("acme"), topic: []byte("b/x"), from: 3, to: 9})
	a.add(Kept{Offset: 3, Age: 130, Payload: []byte("hi")})
	a.add(Kept{Offset: 5, Payload: nil})
	a.more = more
	return a.finish()
}

func goldenTops() []byte {
	var w topsWriter
	w.add("acme", "b/x", 300)
	w.add("acme", "b/y", 1)
	w.close()
	return w.frames[0]
}

// golden has every frame in bytes.
var golden = []struct {
	name  string
	frame []byte
	want  string
}{
	{"HELLO", hello{
		kind: 0, min: 1, max: 1, cluster: "eu", name: "g1", life: 0x1122334455000000, filters: 0xa1a2a3a4a5a6a7a8,
		lastOf: 0x99aabbccdd000000, last: 300,
	}.frame(), "20 26 42 57 50 00 01 01 02 65 75 02 67 31 11 22 33 44 55 00 00 00 a1 a2 a3 a4 a5 a6 a7 a8 99 aa bb cc dd 00 00 00 ac 02"},
	{"BATCH, a lone message", goldenBatch(1), "21 32 4d 00 00 04 61 63 6d 65 14 62 72 6f 61 64 63 61 73 74 2f 65 75 2f 6b 69 74 63 68 65 6e 00 01 e7 24 10 74 65 6d 70 3d 32 31 2e 35 3b 68 75 6d 3d 34 30"},
	{"BATCH, two of them", goldenBatch(2), "21 44 4d 00 00 04 61 63 6d 65 14 62 72 6f 61 64 63 61 73 74 2f 65 75 2f 6b 69 74 63 68 65 6e 00 01 e7 24 10 74 65 6d 70 3d 32 31 2e 35 3b 68 75 6d 3d 34 30 00 10 74 65 6d 70 3d 32 31 2e 35 3b 68 75 6d 3d 34 30"},
	{"ACK", appendSeq(nil, typeAck, 77), "22 01 4d"},
	{"HEARTBEAT", appendSeq(nil, typeHeartbeat, 77), "23 01 4d"},
	{"FETCH", fetch{life: 0x1122334455000002, tenant: []byte("acme"), topic: []byte("b/x"), from: 3, to: 9}.append(nil), "24 13 11 22 33 44 55 00 00 02 04 61 63 6d 65 03 62 2f 78 03 09"},
	{"FETCHED", goldenFetched(false), "25 20 11 22 33 44 55 00 00 02 04 61 63 6d 65 03 62 2f 78 03 09 01 03 82 01 02 68 69 01 05 00 00 00 00"},
	{"FETCHED, more", goldenFetched(true), "25 20 11 22 33 44 55 00 00 02 04 61 63 6d 65 03 62 2f 78 03 09 01 03 82 01 02 68 69 01 05 00 00 00 01"},
	{"SKIP", appendSkip(nil, 5, 300), "26 03 05 ac 02"},
	{"END of a stream", ended{tenant: []byte("acme"), topic: []byte("b/x"), run: 2, last: 300}.frame(), "27 0c 04 61 63 6d 65 03 62 2f 78 02 ac 02"},
	{"END, leaving", ended{}.frame(), "27 00"},
	{"TOPS", goldenTops(), "28 17 04 61 63 6d 65 03 62 2f 78 00 ac 02 04 61 63 6d 65 03 62 2f 79 00 01"},
	{"CLOSE", appendClose(nil, NameInUse, "no"), "2f 04 04 02 6e 6f"},
}

func TestGolden(t *testing.T) {
	for _, g := range golden {
		require.Equal(t, hex.EncodeToString(unhex(t, g.want)), hex.EncodeToString(g.frame), g.name)
		t.Run(g.name, func(t *testing.T) {
			ty, body, rest, err := nextFrame(g.frame, maxFrame)
			require.NoError(t, err)
			require.Empty(t, rest)
			again, err := recode(ty, body)
			require.NoError(t, err)
			require.Equal(t, g.frame, again)
			// Whatever it ends with, a part of a frame is no frame; of lists it may be a shorter one.
			for n := range body {
				if again, err := recode(ty, body[:n:n]); err == nil {
					require.Contains(t, []frameType{typeBatch, typeTops, typeEnd}, ty, "%d bytes", n)
					_, short, _, err := nextFrame(again, maxFrame)
					require.NoError(t, err)
					require.Equal(t, body[:n:n], short)
				}
			}
			// And nothing may follow, but in HELLO what may be ignored.
			if ty != typeBatch {
				_, err = recode(ty, append(body[:len(body):len(body)], 2))
				require.Error(t, err)
			}
		})
	}
}

// recode parses a body and writes it again.
func recode(ty frameType, body []byte) ([]byte, error) {
	switch ty {
	case typeHello:
		h, err := parseHello(body)
		return h.frame(), err
	case typeBatch:
		return recodeBatch(body)
	case typeAck, typeHeartbeat:
		seq, err := parseSeq(ty, body)
		return appendSeq(nil, ty, seq), err
	case typeFetch:
		q, err := parseFetch(body)
		return q.append(nil), err
	case typeFetched:
		q, kept, more, err := parseFetched(body, nil)
		var a answer
		a.begin(nil, q)
		for _, k := range kept {
			a.frame = wire.AppendVarint(wire.AppendVarint(append(a.frame, 1), k.Offset), uint64(k.Age))
			a.frame = appendStr(a.frame, k.Payload)
		}
		a.more = more
		return a.finish(), err
	case typeSkip:
		from, to, err := parseSkip(body)
		return appendSkip(nil, from, to), err
	case typeEnd:
		e, _, err := parseEnded(body)
		return e.frame(), err
	case typeTops:
		f := fields{t: typeTops, b: body}
		out := begin(nil)
		for {
			top, ok := f.nextTop()
			if !ok {
				return finish(out, 0, typeTops), f.end()
			}
			out = appendStr(appendStr(out, top.tenant), top.topic)
			out = wire.AppendVarint(wire.AppendVarint(out, uint64(top.run)), top.next)
		}
	case typeClose:
		e, err := parseClose(body)
		return appendClose(nil, e.Why, e.Text), err
	}
	return nil, nil
}

// recodeBatch writes each entry as it was read: the dictionary may hold a stream twice, which a gather does not do.
func recodeBatch(body []byte) ([]byte, error) {
	seq, flags, raw, err := parseBatch(body)
	if err != nil || flags != 0 {
		return appendBatch(nil, seq, flags, raw), err
	}
	var out []byte
	r := entries{f: fields{t: typeBatch, b: raw}}
	for {
		e, ok := r.take()
		if !ok {
			return appendBatch(nil, seq, flags, out), r.f.err
		}
		out = wire.AppendVarint(out, uint64(e.stream))
		if e.fresh {
			out = appendStr(appendStr(out, e.tenant), e.topic)
			if e.foreign {
				out = lifeBytes(append(out, flagForeign), e.life)
			} else {
				out = append(out, 0)
			}
			out = wire.AppendVarint(wire.AppendVarint(out, uint64(e.run)), e.offset)
		}
		out = appendStr(out, e.payload)
	}
}

// FuzzFrame gives any type and body to every parser: no panic, and what is accepted comes out again as it was.
func FuzzFrame(f *testing.F) {
	for _, g := range golden {
		_, body, _, err := nextFrame(g.frame, maxFrame)
		require.NoError(f, err)
		f.Add(g.frame[0], body)
	}
	f.Fuzz(func(t *testing.T, ty uint8, body []byte) {
		again, err := recode(frameType(ty), body)
		if err != nil || again == nil || len(body) > maxFrame {
			return
		}
		_, out, _, err := nextFrame(again, len(again))
		require.NoError(t, err)
		if frameType(ty) == typeHello {
			require.True(t, strings.HasPrefix(string(body), string(out)), "what follows may be ignored")
			return
		}
		require.Equal(t, body, append([]byte{}, out...))
	})
}

// FuzzLink gives any bytes to a link that is up: no panic, and nothing but the copies of its own origin changes.
func FuzzLink(f *testing.F) {
	var all []byte
	for _, g := range golden {
		all = append(all, g.frame...)
		f.Add(g.frame)
	}
	f.Add(all)
	f.Fuzz(func(t *testing.T, stream []byte) {
		w, _, b, c := pair(t, nil)
		l := c.ends[1].link
		for {
			ty, body, rest, err := nextFrame(stream, maxFrame)
			if err != nil {
				break
			}
			stream = rest
			if err := l.handle(w.now, ty, body); err != nil {
				l.fail(err)
				break
			}
			w.settle()
		}
		w.pass(2 * fetchWithin)
		for key := range b.host.copies {
			require.True(t, strings.HasPrefix(key, "0000000001"), key)
		}
		if o := l.origin; o != nil {
			require.Zero(t, o.holes.bytes)
			require.Empty(t, o.holes.asked)
		}
	})
}

// FuzzExpand gives any bytes as a compressed batch: what comes out is bounded.
func FuzzExpand(f *testing.F) {
	frame, _, _ := (&compressor{}).frame(1, []byte(strings.Repeat("bellwire ", 200)))
	_, body, _, err := nextFrame(frame, maxFrame)
	require.NoError(f, err)
	f.Add(body[2:])
	f.Add(wire.AppendVarint(nil, 1<<31))
	f.Fuzz(func(t *testing.T, small []byte) {
		if out, err := expand(nil, small, false); err == nil {
			require.LessOrEqual(t, len(out), maxBody)
		}
	})
}

func TestCompression(t *testing.T) {
	c := &compressor{}
	text := []byte(strings.Repeat("broadcast ", 100))
	frame, saved, _ := c.frame(3, text)
	_, body, _, err := nextFrame(frame, maxFrame)
	require.NoError(t, err)
	seq, flags, small, err := parseBatch(body)
	require.NoError(t, err)
	require.EqualValues(t, 3, seq)
	require.EqualValues(t, flagS2, flags)
	require.Equal(t, len(text)-len(small), saved)
	out, err := expand(nil, small, false)
	require.NoError(t, err)
	require.Equal(t, text, out)

	_, saved, _ = c.frame(4, text[:leastS2-1])
	require.Zero(t, saved, "too short")
	_, saved, _ = (&compressor{off: true}).frame(4, text)
	require.Zero(t, saved, "off")
}

// TestCompressionRests tries less and less often what does not shrink, and at once again when one has.
func TestCompressionRests(t *testing.T) {
	c := &compressor{}
	noise := make([]byte, 4096)
	x := uint64(1)
	for i := range noise {
		x = x*6364136223846793005 + 1442695040888963407
		noise[i] = byte(x >> 56)
	}
	tried := 0
	for range 1000 {
		if c.rest == 0 {
			tried++
		}
		_, saved, _ := c.frame(1, noise)
		require.Zero(t, saved)
	}
	require.Less(t, tried, 25)
	for c.rest > 0 {
		c.frame(1, noise)
	}
	text := []byte(strings.Repeat("broadcast ", 100))
	for range 10 {
		_, saved, _ := c.frame(1, text)
		require.NotZero(t, saved)
	}
}

func TestCertificateName(t *testing.T) {
	u, err := CertificateName("eu-1", "gateway-a.example:7311")
	require.NoError(t, err)
	require.Equal(t, "bellwire://eu-1/gateway/gateway-a.example:7311", u.String())
	for _, bad := range [][2]string{{"", "a"}, {"a", ""}, {"a/b", "a"}, {"A", "a"}, {"a:1", "a"}, {"a", "a/b"}, {"a", "-a"}, {"a", "a b"}, {"a", strings.Repeat("a", 65)}, {"a", "ä"}} {
		_, err := CertificateName(bad[0], bad[1])
		require.Error(t, err, "%q", bad)
	}
}
