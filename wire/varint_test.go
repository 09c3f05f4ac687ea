package wire_test

import (
	"bytes"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

func TestVarint(t *testing.T) {
	for _, v := range load(t).Varints {
		b := unhex(t, v.Hex)
		require.Equal(t, b, wire.AppendVarint(nil, v.Value))
		require.Equal(t, len(b), wire.VarintLen(v.Value), "%d", v.Value)
		got, n := wire.ConsumeVarint(append(bytes.Clone(b), 0x55))
		require.Equal(t, len(b), n)
		require.Equal(t, v.Value, got)
		for cut := range b {
			_, n := wire.ConsumeVarint(b[:cut])
			require.Zero(t, n, "%d bytes of %s", cut, v.Hex)
		}
	}
	for _, s := range load(t).InvalidVarints {
		_, n := wire.ConsumeVarint(unhex(t, s))
		require.Equal(t, -1, n, s)
	}
}

// Around every boundary of seven bits the length changes, and nowhere else.
func TestVarintLengths(t *testing.T) {
	for bits := range 63 {
		for _, v := range []uint64{1<<bits - 1, 1 << bits, 1<<bits + 1} {
			b := wire.AppendVarint(nil, v)
			require.Equal(t, slowVarint(v), b, "%d", v)
			require.Len(t, b, wire.VarintLen(v))
			require.LessOrEqual(t, len(b), 9)
		}
	}
}

// slowVarint is the rule [W-2.1] in big numbers: base 128, digits from the lowest.
func slowVarint(v uint64) []byte {
	n, base := new(big.Int).SetUint64(v), big.NewInt(128)
	var out []byte
	for {
		digit := new(big.Int)
		n.DivMod(n, base, digit)
		if n.Sign() == 0 {
			return append(out, byte(digit.Int64()))
		}
		out = append(out, byte(digit.Int64())|0x80)
	}
}
