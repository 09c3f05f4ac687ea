package secure

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// proxyHeader is a header with a command, a family and what follows.
func proxyHeader(command, family byte, parts ...string) []byte {
	var body []byte
	for _, part := range parts {
		body = append(body, part...)
	}
	b := append([]byte(proxySignature), command, family)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(body))), body...)
}

const (
	v4      = "\xc0\x00\x02\x07\xc6\x33\x64\x01\xd9\x03\x1c\x93" // 192.0.2.7:55555 to 198.51.100.1:7315
	v6      = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\xd9\x03\x1c\x93"
	v6of4   = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x07" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc6\x33\x64\x01" + "\xd9\x03\x1c\x93"
	aTLV    = "\x02\x00\x0bgw1.example" // the authority
	someTLS = "\x16\x03\x01\x02\x00"
)

var proxyHeaders = map[string]struct {
	b    []byte
	want string // an address, or "": invalid
}{
	"IPv4":                  {proxyHeader(0x21, 0x11, v4), "192.0.2.7:55555"},
	"IPv4 and a TLV":        {proxyHeader(0x21, 0x11, v4, aTLV), "192.0.2.7:55555"},
	"IPv6":                  {proxyHeader(0x21, 0x21, v6), "[2001:db8::7]:55555"},
	"IPv4 mapped into IPv6": {proxyHeader(0x21, 0x21, v6of4), "192.0.2.7:55555"},
	"longest":               {proxyHeader(0x21, 0x11, v4, string(make([]byte, maxProxy-16-12))), "192.0.2.7:55555"},
	"LOCAL":                 {proxyHeader(0x20, 0x00), ""},
	"LOCAL with a TLV":      {proxyHeader(0x20, 0x00, aTLV), ""},
	"LOCAL with an address": {proxyHeader(0x20, 0x11, v4), ""},
	"unspecified":           {proxyHeader(0x21, 0x00), ""},
	"unspecified, a TLV":    {proxyHeader(0x21, 0x00, aTLV), ""},
	"Unix":                  {proxyHeader(0x21, 0x31, string(make([]byte, 216))), ""},
}

func TestProxy(t *testing.T) {
	for name, test := range proxyHeaders {
		t.Run(name, func(t *testing.T) {
			for n := range test.b {
				from, used, err := Proxy(test.b[:n])
				require.Equal(t, wire.ErrShort, err, "%d bytes", n)
				require.Zero(t, used)
				require.Zero(t, from)
			}
			for _, more := range []string{"", someTLS, proxySignature} {
				from, used, err := Proxy(append(bytes.Clone(test.b), more...))
				require.NoError(t, err)
				require.Equal(t, len(test.b), used)
				require.Equal(t, test.want != "", from.IsValid())
				if test.want != "" {
					require.Equal(t, netip.MustParseAddrPort(test.want), from)
				}
			}
		})
	}
}

func TestNoProxy(t *testing.T) {
	for name, test := range map[string]struct {
		b    []byte
		none bool // it is no header at all
		want string
	}{
		"TLS":                  {[]byte(someTLS), true, "no PROXY protocol version 2"},
		"version 1":            {[]byte("PROXY TCP4 192.0.2.7 198.51.100.1 55555 7315\r\n"), true, "it is version 1: set the proxy to version 2"},
		"signature, cut short": {[]byte(proxySignature[:11] + "x"), true, "no PROXY protocol version 2"},
		"version 3":            {proxyHeader(0x31, 0x11, v4), false, "command"},
		"command 2":            {proxyHeader(0x22, 0x11, v4), false, "command"},
		"family 4":             {proxyHeader(0x21, 0x41, v4), false, "family"},
		"transport 3":          {proxyHeader(0x21, 0x13, v4), false, "family"},
		"UDP":                  {proxyHeader(0x21, 0x12, v4), false, "datagram"},
		"address cut short":    {proxyHeader(0x21, 0x11, v4[:11]), false, "length"},
		"IPv6 of IPv4 length":  {proxyHeader(0x21, 0x21, v4), false, "length"},
		"too long":             {proxyHeader(0x21, 0x11, v4, string(make([]byte, maxProxy-16-11))), false, "1025 bytes: at most 1024"},
		"far too long":         {[]byte(proxySignature + "\x21\x11\xff\xff"), false, "65551 bytes: at most 1024"},
	} {
		t.Run(name, func(t *testing.T) {
			from, used, err := Proxy(test.b)
			require.ErrorContains(t, err, test.want)
			require.Equal(t, test.none, errors.Is(err, ErrNoProxy))
			require.Zero(t, used)
			require.Zero(t, from)
		})
	}
}

// FuzzProxy holds Proxy against the few lines that most headers need. It never
// changes its mind about bytes that it has seen.
func FuzzProxy(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		from, used, err := Proxy(b)
		require.Equal(t, before, b)
		if err != nil {
			require.Zero(t, used)
			require.Zero(t, from)
			require.True(t, !errors.Is(err, wire.ErrShort) || len(b) < maxProxy)
		} else {
			require.LessOrEqual(t, used, min(len(b), maxProxy))
			require.Equal(t, 16+int(b[14])<<8+int(b[15]), used)
			switch {
			case b[12] == 0x21 && b[13] == 0x11:
				require.Equal(t, netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[16:])), binary.BigEndian.Uint16(b[24:])), from)
			case b[12] == 0x21 && b[13] == 0x21:
				require.Equal(t, netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[16:])).Unmap(), binary.BigEndian.Uint16(b[48:])), from)
			default:
				require.Zero(t, from)
			}
		}
		for n := range min(len(b), 300) {
			early, earlyUsed, earlyErr := Proxy(b[:n])
			if earlyErr == nil {
				require.Equal(t, from, early)
				require.Equal(t, used, earlyUsed)
			} else if !errors.Is(earlyErr, wire.ErrShort) {
				require.Error(t, err)
			}
		}
	})
}
