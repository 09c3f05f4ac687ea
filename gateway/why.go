package gateway

import (
	"strconv"

	"github.com/bellwire/bellwire/wire"
)

// why is the text that goes with a refusal [W-2.5]: for a topic that is not broadcast, the filters of those that are. Only
// the gateway knows them, and a person at a device needs them. Most refusals need none: nil.
func (g *Gateway) why(code wire.Code) []byte {
	if code == wire.CodeNoCentral {
		return g.classes().text
	}
	return nil
}

// broadcastText names as many filters as fit a refusal, and how many do not.
func broadcastText(filters []string) []byte {
	const room = wire.MaxRefusalText - len(" and 65535 more")
	text := []byte("broadcast topics:")
	for i, filter := range filters {
		if len(text)+1+len(filter) > room {
			if i == 0 {
				return nil // half a filter would mislead
			}
			return append(strconv.AppendInt(append(text, " and "...), int64(len(filters)-i), 10), " more"...)
		}
		text = append(append(text, ' '), filter...)
	}
	return text
}
