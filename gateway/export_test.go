package gateway

import "github.com/bellwire/bellwire/wire"

// Guards that a fault test can take out, by name.
var takeOut = map[string]func(*guards){
	"connectionCap":   func(g *guards) { g.connectionCap = true },
	"heldDescriptors": func(g *guards) { g.heldDescriptors = true },
	"authDeadline":    func(g *guards) { g.authDeadline = true },
	"helloLimit":      func(g *guards) { g.helloLimit = true },
	"slowPolicy":      func(g *guards) { g.slowPolicy = true },
	"stuckClose":      func(g *guards) { g.stuckClose = true },
	"recover":         func(g *guards) { g.recover = true },
	"bindProbe":       func(g *guards) { g.bindProbe = true },
	"keepalive":       func(g *guards) { g.keepalive = true },
	"wholeFrames":     func(g *guards) { g.wholeFrames = true },
	"heldLimit":       func(g *guards) { g.heldLimit = true },
	"adminConns":      func(g *guards) { g.adminConns = true },
	"tooBig":          func(g *guards) { g.gapOf = wire.ReasonTooBig },
}

// Without takes a guard out.
func (c Config) Without(guard string) Config {
	if guard != "" {
		takeOut[guard](&c.without)
	}
	return c
}

// MostHeld is what may follow HELLO before the device is proven.
const MostHeld = mostHeld
