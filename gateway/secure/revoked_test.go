package secure

import (
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

func TestRevokedLines(t *testing.T) {
	r, err := ParseRevoked([]byte("\n# stolen\ndevice acme/kitchen # since May\ntoken t-1\r\n certificate\t0A:1b\ncertificate 0xff"))
	require.NoError(t, err)
	require.Equal(t, Revoked{Devices: []wire.Identity{kitchen}, Tokens: []string{"t-1"}, Serials: []string{"0A:1b", "0xff"}}, r)
	r, err = ParseRevoked(nil)
	require.NoError(t, err)
	require.Zero(t, r)
}

func TestRevokedLinesThatAreNone(t *testing.T) {
	for line, text := range map[string]string{
		"device":                "two words",
		"device acme/kitchen x": "two words",
		"device kitchen":        "tenant/device",
		"device acme/kit+chen":  "letters, digits",
		"token":                 "two words",
		"certificate xyz":       "hexadecimal",
		"certificate 0x":        "hexadecimal",
		"certificate -1":        "hexadecimal",
		"certificates 1":        "cannot be revoked",
		"acme/kitchen x":        "cannot be revoked",
	} {
		_, err := ParseRevoked([]byte("# one\n" + line))
		require.ErrorContains(t, err, text, line)
		require.ErrorContains(t, err, "line 2: ")
	}
}

func TestSerials(t *testing.T) {
	for text, want := range map[string]int64{"1": 1, "01": 1, "0x1f": 31, "0A:1B": 0xa1b, "abc": 0xabc, "0": 0, "00:00:01": 1} {
		got, err := ParseSerial(text)
		require.NoError(t, err, text)
		require.Zero(t, got.Cmp(big.NewInt(want)), text)
	}
}
