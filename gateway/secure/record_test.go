package secure

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Types of records and messages that a device can send and a tls.Client never
// does.
const (
	recordData = 23

	keyUpdate   = 24
	certificate = 11
	finished    = 20
)

// recordSide is one direction of a connection below crypto/tls, by RFC 8446, for
// TLS_AES_128_GCM_SHA256.
type recordSide struct {
	t      testing.TB
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

func (s *recordSide) label(label string, n int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(len("tls13 "+label)))
	info = append(append(info, "tls13 "+label...), 0)
	out, err := hkdf.Expand(sha256.New, s.secret, string(info), n)
	require.NoError(s.t, err)
	return out
}

func (s *recordSide) use(secret []byte) {
	s.secret, s.seq = secret, 0
	block, err := aes.NewCipher(s.label("key", 16))
	require.NoError(s.t, err)
	s.aead, err = cipher.NewGCM(block)
	require.NoError(s.t, err)
	s.iv = s.label("iv", 12)
}

// update goes on to the next key.
func (s *recordSide) update() { s.use(s.label("traffic upd", 32)) }

func (s *recordSide) nonce() []byte {
	nonce := bytes.Clone(s.iv)
	for i := range 8 {
		nonce[4+i] ^= byte(s.seq >> (56 - 8*i))
	}
	s.seq++
	return nonce
}

// seal is a record of a type, with so many bytes of padding.
func (s *recordSide) seal(kind byte, plain []byte, padding int) []byte {
	inner := append(append(bytes.Clone(plain), kind), make([]byte, padding)...)
	head := binary.BigEndian.AppendUint16([]byte{recordData, 3, 3}, uint16(len(inner)+16))
	return s.aead.Seal(bytes.Clone(head), s.nonce(), inner, head)
}

// open opens the first record of b.
func (s *recordSide) open(b []byte) (kind byte, plain, rest []byte) {
	s.t.Helper()
	n := recordSize(b)
	require.LessOrEqual(s.t, n, len(b))
	inner, err := s.aead.Open(nil, s.nonce(), b[recordHeader:n], b[:recordHeader])
	require.NoError(s.t, err)
	inner = bytes.TrimRight(inner, "\x00")
	return inner[len(inner)-1], inner[:len(inner)-1], b[n:]
}

// message is a handshake message with its header.
func message(kind byte, body ...byte) []byte {
	return append([]byte{kind, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
}

// raw is a device that says whatever a test wants.
type raw struct {
	in, out recordSide // what the device opens, and seals
	conn    *Conn
}

func connectRaw(t testing.TB, conn *Conn) *raw {
	var log strings.Builder
	cfg := x25519()
	cfg.KeyLogWriter = &log
	d := connect(t, conn, cfg)
	require.Equal(t, tls.TLS_AES_128_GCM_SHA256, d.client.ConnectionState().CipherSuite)
	secrets := map[string][]byte{}
	for line := range strings.Lines(log.String()) {
		f := strings.Fields(line)
		secret, err := hex.DecodeString(f[2])
		require.NoError(t, err)
		secrets[f[0]] = secret
	}
	r := &raw{in: recordSide{t: t}, out: recordSide{t: t}, conn: conn}
	r.in.use(secrets["SERVER_TRAFFIC_SECRET_0"])
	r.out.use(secrets["CLIENT_TRAFFIC_SECRET_0"])
	// Tickets of the handshake are not read: their records are counted.
	for rest := d.end.inbox; len(rest) > 0; rest = rest[recordSize(rest):] {
		r.in.seq++
	}
	plain, err := conn.Open(nil, nil)
	require.NoError(t, err)
	require.Empty(t, plain)
	return r
}

// sealMany are n records of so many bytes.
func (r *raw) sealMany(size, n int) (records [][]byte) {
	for range n {
		records = append(records, r.out.seal(recordData, make([]byte, size), 0))
	}
	return records
}

// open hands the gateway records and requires that nothing is wrong.
func (r *raw) open(records ...[]byte) string {
	r.in.t.Helper()
	plain, err := r.conn.Open(nil, bytes.Join(records, nil))
	require.NoError(r.in.t, err)
	return string(plain)
}

// fails hands the gateway records that end the connection, and returns what it
// opened of them and the alert that it has for the device, 0: none.
func (r *raw) fails(records ...[]byte) (plain string, alert byte, err error) {
	t := r.in.t
	t.Helper()
	opened, err := r.conn.Open(nil, bytes.Join(records, nil))
	require.Error(t, err)
	more, again := r.conn.Open([]byte("x"), r.out.seal(recordData, []byte("late"), 0))
	require.Equal(t, "x", string(more))
	require.Equal(t, err, again)
	if answer := r.conn.Answer(nil); len(answer) > 0 {
		kind, told, rest := r.in.open(answer)
		require.EqualValues(t, recordAlert, kind)
		require.EqualValues(t, 2, told[0])
		require.Empty(t, rest)
		require.Empty(t, r.conn.Seal(nil, []byte("late")))
		require.Empty(t, r.conn.CloseNotify(nil))
		alert = told[1]
	}
	return string(opened), alert, err
}

func TestPeerUpdatesItsKey(t *testing.T) {
	for _, asks := range []bool{false, true} {
		r := connectRaw(t, newSite(t).conn())
		require.Equal(t, "before", r.open(r.out.seal(recordData, []byte("before"), 0)))
		for range 3 {
			update := r.out.seal(recordHandshake, message(keyUpdate, map[bool]byte{true: 1}[asks]), 0)
			r.out.update()
			require.Equal(t, "after", r.open(update, r.out.seal(recordData, []byte("after"), 0)))
			if asks {
				kind, told, rest := r.in.open(r.conn.Answer(nil))
				require.EqualValues(t, recordHandshake, kind)
				require.Equal(t, message(keyUpdate, 0), told)
				require.Empty(t, rest)
				r.in.update()
			}
			require.Empty(t, r.conn.Answer(nil))
			_, told, rest := r.in.open(r.conn.Seal(nil, []byte("down")))
			require.Equal(t, "down", string(told))
			require.Empty(t, rest)
		}
	}
}

// Whatever is said first after an update, the answer to it goes before.
func TestAnswerGoesBeforeWhatIsSealedWithTheNewKey(t *testing.T) {
	for _, say := range []func(c *Conn, dst []byte) []byte{
		func(c *Conn, dst []byte) []byte { return c.Seal(dst, []byte("down")) },
		(*Conn).CloseNotify,
	} {
		r := connectRaw(t, newSite(t).conn())
		update := r.out.seal(recordHandshake, message(keyUpdate, 1), 0)
		r.out.update()
		r.open(update)
		out := say(r.conn, []byte("already"))
		require.Equal(t, "already", string(out[:7]))
		kind, _, rest := r.in.open(out[7:])
		require.EqualValues(t, recordHandshake, kind)
		r.in.update()
		kind, _, rest = r.in.open(rest)
		require.Contains(t, []byte{recordData, recordAlert}, kind)
		require.Empty(t, rest)
	}
}

func TestFloodsAndJunkEndTheConnection(t *testing.T) {
	const (
		unexpected  = 10
		badMAC      = 20
		overflow    = 22
		decodeError = 50
	)
	update := func(r *raw) []byte {
		record := r.out.seal(recordHandshake, message(keyUpdate, 1), 0)
		r.out.update()
		return record
	}
	for name, test := range map[string]struct {
		alert byte
		send  func(r *raw) [][]byte
	}{
		"key updates": {unexpected, func(r *raw) (sent [][]byte) {
			for range 17 {
				sent = append(sent, update(r))
			}
			return sent
		}},
		"empty records": {unexpected, func(r *raw) (sent [][]byte) {
			for range 17 {
				sent = append(sent, r.out.seal(recordData, nil, 0))
			}
			return sent
		}},
		"another handshake": {unexpected, func(r *raw) [][]byte {
			return [][]byte{r.out.seal(recordHandshake, message(finished, make([]byte, 32)...), 0)}
		}},
		"cut message":          {decodeError, func(r *raw) [][]byte { return [][]byte{r.out.seal(recordHandshake, message(clientHello), 0)} }},
		"unknown message":      {unexpected, func(r *raw) [][]byte { return [][]byte{r.out.seal(recordHandshake, message(99), 0)} }},
		"unknown record":       {unexpected, func(r *raw) [][]byte { return [][]byte{r.out.seal(99, []byte("x"), 0)} }},
		"only padding":         {unexpected, func(r *raw) [][]byte { return [][]byte{r.out.seal(0, nil, 5)} }},
		"key update with more": {decodeError, func(r *raw) [][]byte { return [][]byte{r.out.seal(recordHandshake, message(keyUpdate, 1, 1), 0)} }},
		"key update of kind 2": {decodeError, func(r *raw) [][]byte { return [][]byte{r.out.seal(recordHandshake, message(keyUpdate, 2), 0)} }},
		"data inside a message": {unexpected, func(r *raw) [][]byte {
			return [][]byte{r.out.seal(recordHandshake, []byte{keyUpdate}, 0), r.out.seal(recordData, []byte("x"), 0)}
		}},
		"plain record": {badMAC, func(*raw) [][]byte {
			return [][]byte{append([]byte{recordHandshake, 3, 3, 0, 40}, make([]byte, 40)...)}
		}},
		"nonsense":             {badMAC, func(*raw) [][]byte { return [][]byte{append([]byte{recordData, 3, 3, 0, 40}, make([]byte, 40)...)} }},
		"too long a record":    {overflow, func(*raw) [][]byte { return [][]byte{{recordData, 3, 3, 0xFF, 0xFF}} }},
		"too much in a record": {overflow, func(r *raw) [][]byte { return [][]byte{r.out.seal(recordData, make([]byte, 1<<14+1), 0)} }},
	} {
		t.Run(name, func(t *testing.T) {
			r := connectRaw(t, newSite(t).conn())
			before := r.out.seal(recordData, []byte("before"), 0)
			if name == "key updates" {
				// The alert is sealed with the last of many keys.
				plain, err := r.conn.Open(nil, bytes.Join(append([][]byte{before}, test.send(r)...), nil))
				require.ErrorContains(t, err, "too many")
				require.Equal(t, "before", string(plain))
				return
			}
			plain, alert, err := r.fails(append([][]byte{before}, test.send(r)...)...)
			require.Equal(t, "before", plain)
			require.Equal(t, test.alert, alert, "%v", err)
		})
	}
}

// Key updates and empty records between data are nobody's flood.
func TestUpdatesBetweenData(t *testing.T) {
	r := connectRaw(t, newSite(t).conn())
	for range 40 {
		update := r.out.seal(recordHandshake, message(keyUpdate, 0), 100)
		r.out.update()
		require.Equal(t, "x", r.open(update, r.out.seal(recordData, nil, 2000), r.out.seal(recordData, []byte("x"), 20)))
	}
}

// crypto/tls would collect 256 KiB of a message that is never whole.
func TestUnfinishedMessageIsBounded(t *testing.T) {
	send := func(r *raw) (sent int, err error) {
		head := []byte{certificate, 0x03, 0xF0, 0x00}
		_, err = r.conn.Open(nil, r.out.seal(recordHandshake, head, 0))
		for ; err == nil && sent < 200<<10; sent += 1000 {
			_, err = r.conn.Open(nil, r.out.seal(recordHandshake, make([]byte, 1000), 0))
		}
		return sent, err
	}
	r := connectRaw(t, newSite(t).conn())
	sent, err := send(r)
	require.ErrorIs(t, err, errSilent)
	require.Less(t, sent, 20<<10)
	// TLS is whole still: the device can be told.
	_, told, _ := r.in.open(r.conn.Seal(nil, []byte("go away")))
	require.Equal(t, "go away", string(told))

	t.Run("without the bound", func(t *testing.T) {
		r := connectRaw(t, newSite(t).conn())
		r.conn.pipe.silent = -1 << 30
		sent, err := send(r)
		require.NoError(t, err)
		require.GreaterOrEqual(t, sent, 200<<10)
	})
}

func TestAnyFlippedBitEndsTheConnection(t *testing.T) {
	s := newSite(t)
	r := connectRaw(t, s.conn())
	size := len(r.out.seal(recordData, []byte("payload"), 3))
	for i := range size {
		r := connectRaw(t, s.conn())
		first, record := r.out.seal(recordData, []byte("first"), 0), r.out.seal(recordData, []byte("payload"), 3)
		record[i] ^= 1 << (i % 8)
		plain, err := r.conn.Open(nil, append(first, record...))
		require.Equal(t, "first", string(plain))
		if i == 3 || i == 4 && record[4] > byte(size-recordHeader) {
			require.NoError(t, err) // it seems to be longer: nothing yet
			continue
		}
		require.Error(t, err, "byte %d", i)
	}
}

// FuzzOpen sends records of any type with anything in them, and breaks one: no
// panic, and what is opened is what the good data records before the end said.
func FuzzOpen(f *testing.F) {
	s := newSite(f)
	f.Fuzz(func(t *testing.T, script, body []byte, broken uint16) {
		r := connectRaw(t, s.conn())
		var cipher, want []byte
		for len(script) >= 2 && len(cipher) < 1<<15 {
			kind, plain := script[0], body[:min(int(script[1]), len(body))]
			script = script[2:]
			cipher = append(cipher, r.out.seal(kind, plain, int(kind)%7)...)
			// Behind the type is padding: one of type 0 has the type that its plain bytes end with.
			said := bytes.TrimRight(append(bytes.Clone(plain), kind), "\x00")
			if len(said) == 0 {
				continue
			}
			switch kind, said := said[len(said)-1], said[:len(said)-1]; {
			case kind == recordData:
				want = append(want, said...)
			case kind == recordHandshake && len(said) == 5 && bytes.HasPrefix(said, message(keyUpdate, 0)[:4]):
				r.out.update()
			}
		}
		if int(broken) < len(cipher) {
			cipher[broken] ^= 0xFF
		}
		var got []byte
		var err error
		for len(cipher) > 0 && err == nil {
			n := min(1+len(body), len(cipher))
			got, err = r.conn.Open(got, cipher[:n])
			cipher = cipher[n:]
		}
		require.True(t, bytes.HasPrefix(want, got), "%x is no beginning of %x", got, want)
		again, sameErr := r.conn.Open(nil, nil)
		require.Empty(t, again)
		require.Equal(t, err, sameErr)
		r.conn.CloseNotify(r.conn.Seal(r.conn.Answer(nil), body))
	})
}
