//go:build linux

package gateway_test

import (
	"testing"

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
			g.flood(t, childDescriptors+100, first, guard == "")
		})
	}
}
