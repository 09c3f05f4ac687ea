package gateway

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway/access"
	"github.com/bellwire/bellwire/wire"
)

// A device that asks for wildcards again and again is given fewer frames at once,
// because each is weighed against all rules (MS-17).
func TestSubscribeWeighsMore(t *testing.T) {
	policy, err := access.New([]access.Rule{{Topics: []string{"broadcast/a"}}})
	require.NoError(t, err)
	for _, without := range []bool{false, true} {
		cfg := Config{Policy: policy}
		cfg.without.weighedSubscribe = without
		m := newSim(t, cfg)
		c := m.join(0, hello("a"))
		var b []byte
		const asked = 200
		for i := range uint32(asked) {
			b = wire.Subscribe{Sub: i + 1, Filter: []byte("elsewhere/#")}.Append(b)
		}
		c.write(b)
		at := len(c.frames())
		require.Equal(t, without, at == asked)
		require.GreaterOrEqual(t, at, readFrames/(subscribeFrames+1))
		m.drain()
		require.Len(t, c.frames(), asked-at, "all are answered")
	}
}
