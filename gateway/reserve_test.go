//go:build linux

package gateway_test

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway/gatewaytest"
)

// What loops and the process itself hold is no room for devices: with many loops
// and files of an embedder's own, a flood of strangers is refused and the gateway
// lives. Without the part of the reserve that counts them, one failed accept ends it.
func TestLoopsAndFilesAreReserved(t *testing.T) {
	for _, guard := range []string{"", "heldDescriptors"} {
		t.Run("without "+guard, func(t *testing.T) {
			g := startChild(t, "loops "+guard)
			defer g.stop()
			first := gatewaytest.Join(t, g.addr, "first")
			for range childDescriptors + 100 {
				c, err := net.DialTimeout("tcp", g.addr.String(), time.Second)
				if err != nil {
					break // the control has no gateway any more
				}
				defer c.Close()
			}
			if guard != "" {
				g.stoppedByItself(t)
				return
			}
			first.Ping()
			g.stop()
			require.NoError(t, <-g.ended, "%s", g.output)
		})
	}
}
