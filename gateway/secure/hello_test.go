package secure

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// helloOf is the first flight of crypto/tls.
func helloOf(t testing.TB, cfg *tls.Config) []byte {
	t.Helper()
	var hello []byte
	end := newWireEnd(func(b []byte) { hello = append(hello, b...) })
	end.noWait = true
	require.Error(t, tls.Client(end, cfg).Handshake())
	return hello
}

// hellos are first flights of crypto/tls and of OpenSSL.
func hellos(t testing.TB) map[string]struct {
	b    []byte
	want Hello
} {
	old, resuming := clientConfig(), x25519()
	old.MaxVersion = tls.VersionTLS12
	resuming.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	d := connect(t, newSite(t).conn(), resuming)
	_, err := d.read(nil)
	require.NoError(t, err)
	return map[string]struct {
		b    []byte
		want Hello
	}{
		"X25519":                {helloOf(t, x25519()), Hello{TLS13: true}},
		"ML-KEM":                {helloOf(t, clientConfig()), Hello{TLS13: true}},
		"TLS 1.2 only":          {helloOf(t, old), Hello{}},
		"resuming":              {helloOf(t, resuming), Hello{TLS13: true, Resumes: true}},
		"OpenSSL":               {captured(t, "openssl"), Hello{TLS13: true}},
		"OpenSSL, resuming":     {captured(t, "openssl-resuming"), Hello{TLS13: true, Resumes: true}},
		"OpenSSL, TLS 1.2 only": {captured(t, "openssl-tls12"), Hello{}},
	}
}

// captured is what a tool sent, in testdata/hello in hexadecimal digits.
func captured(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "hello", name+".hex"))
	require.NoError(t, err)
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	require.NoError(t, err)
	return b
}

func TestClientHello(t *testing.T) {
	for name, test := range hellos(t) {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1 << 14, 600, 100, 7, 3, 1} {
				b := cutInto(test.b, size)
				before := bytes.Clone(b)
				for n := range b {
					_, err := ClientHello(b[:n])
					require.Equal(t, wire.ErrShort, err, "%d of %d bytes", n, len(b))
				}
				for _, more := range []string{"", "\x14\x03\x03\x00\x01\x01", "anything"} {
					got, err := ClientHello(append(slices.Clip(b), more...))
					require.NoError(t, err)
					require.Equal(t, test.want, got)
				}
				require.Equal(t, before, b)
			}
		})
	}
}

// cutInto cuts a hello into records with so many bytes each.
func cutInto(hello []byte, size int) []byte {
	var b []byte
	for message := hello[recordHeader:]; len(message) > 0; {
		n := min(size, len(message))
		b = append(append(b, recordHandshake, 3, 1, byte(n>>8), byte(n)), message[:n]...)
		message = message[n:]
	}
	return b
}

func TestNoClientHello(t *testing.T) {
	hello := helloOf(t, x25519())
	record := func(payload ...byte) string {
		return string(append([]byte{recordHandshake, 3, 1, byte(len(payload) >> 8), byte(len(payload))}, payload...))
	}
	inside := func(change func(message []byte) []byte) string {
		message := change(bytes.Clone(hello[recordHeader:]))
		return record(message...)
	}
	for name, test := range map[string]struct{ b, want string }{
		"plain Bellwire":      {"\x01\x11BW", "record of type 1 "},
		"HTTP":                {"GET / HTTP/1.1\r\n", "record of type 71 "},
		"PROXY":               {proxySignature, "record of type 13 "},
		"SSL 2":               {"\x80\x2e\x01", "record of type 128 "},
		"alert":               {"\x15\x03\x01\x00\x02\x02\x46", "record of type 21 "},
		"version":             {"\x16\x04", "record of version 4"},
		"empty record":        {"\x16\x03\x01\x00\x00", "empty record"},
		"empty second record": {record(clientHello, 0) + record(), "empty record"},
		"server hello":        {"\x16\x03\x01\x00\x10\x02", "message 2 "},
		"other second record": {record(clientHello, 0) + "\x17", "record of type 23 "},
		"long record":         {"\x16\x03\x01\x40\x00", "more than 16384 bytes"},
		"long message":        {record(clientHello, 0, 0x41), wire.ErrShort.Error()},
		"long message, whole": {record(clientHello, 0, 0x40, 0x01), "more than 16384 bytes"},
		"16 MiB":              {record(clientHello, 0xFF, 0xFF, 0xFF), "more than 16384 bytes"},
		"many records":        {strings.Repeat(record(clientHello), 4000), "more than 16384 bytes"},
		"no body":             {record(message(clientHello)...), "wrong inside"},
		"long session":        {inside(func(m []byte) []byte { m[4+34] = 255; return m }), "wrong inside"},
		"more in its record":  {inside(func(m []byte) []byte { return append(m, 0) }), "wrong inside"},
		"more in its message": {inside(func(m []byte) []byte { m = append(m, 0); m[3]++; return m }), "wrong inside"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ClientHello([]byte(test.b))
			require.Zero(t, got)
			if test.want == wire.ErrShort.Error() {
				require.Equal(t, wire.ErrShort, err)
				return
			}
			require.ErrorIs(t, err, ErrNoTLS)
			require.ErrorContains(t, err, test.want)
		})
	}
}

// FuzzClientHello holds ClientHello against crypto/tls: what both take says the
// same to both. It never changes its mind about bytes that it has seen.
func FuzzClientHello(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		got, err := ClientHello(b)
		require.Equal(t, before, b)
		if err != nil {
			require.Zero(t, got)
			require.True(t, errors.Is(err, wire.ErrShort) || errors.Is(err, ErrNoTLS))
		}
		if errors.Is(err, wire.ErrShort) {
			require.Less(t, len(b), maxHello)
		}
		for n := range min(len(b), 300) {
			early, earlyErr := ClientHello(b[:n])
			if !errors.Is(earlyErr, wire.ErrShort) {
				require.Equal(t, got, early)
				require.Equal(t, err, earlyErr)
			}
		}
		if seen, ok := seenByTLS(b); ok && err == nil {
			require.Equal(t, seen, got)
		}
	})
}

// seenByTLS is the dumb oracle: what crypto/tls reads in a hello.
func seenByTLS(b []byte) (hello Hello, ok bool) {
	stop := errors.New("seen")
	conn := newConn(&tls.Config{GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
		ok = true
		hello.TLS13 = slices.Contains(info.Extensions, extensionSupportedVersions) && slices.Contains(info.SupportedVersions, versionTLS13)
		hello.Resumes = slices.Contains(info.Extensions, extensionPreSharedKey)
		return nil, stop
	}}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	conn.Feed(b)
	conn.pipe.handshake.gate = nil
	_, _ = conn.Handshake(waitless{ctx, cancel}, nil, func([]byte) {})
	return hello, ok
}

// waitless ends when it is first waited for, so that a handshake does with what
// it was fed.
type waitless struct {
	context.Context
	cancel func()
}

func (w waitless) Done() <-chan struct{} {
	w.cancel()
	return w.Context.Done()
}
