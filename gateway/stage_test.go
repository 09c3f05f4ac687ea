package gateway

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

// What each of the 256 types means at each stage [W-3.0].
func TestStages(t *testing.T) {
	open := map[wire.Type]verb{
		wire.TypeSubscribe: verbSubscribe, wire.TypeUnsubscribe: verbUnsubscribe, wire.TypePing: verbPing,
		wire.TypePong: verbPong, wire.TypeClose: verbClose, wire.TypeError: verbIgnore, wire.TypePublish: verbPublish,
		wire.TypeAuth: verbAuth, wire.TypeOpen: verbRefuse, wire.TypeCredit: verbRefuse, wire.TypeEOF: verbRefuse,
		wire.TypeData: verbRefuse,
	}
	gatewayOnly := map[wire.Type]bool{
		wire.TypeHello: true, wire.TypeWelcome: true, wire.TypeSubscribed: true, wire.TypeUnsubscribed: true,
		wire.TypeTopic: true, wire.TypeGoaway: true, wire.TypeAck: true, wire.TypeOpened: true, wire.TypeLinked: true,
		wire.TypeMessage: true,
	}
	for n := range 256 {
		typ := wire.Type(n)
		v, err := stageNew.next(typ)
		if typ == wire.TypeHello {
			require.NoError(t, err)
			require.Equal(t, verbHello, v)
		} else {
			require.Equal(t, wire.CodeOutOfOrder, wire.CodeOf(err), "%s before HELLO", typ)
		}
		v, err = stageOpen.next(typ)
		switch {
		case open[typ.Base()] != 0:
			require.NoError(t, err)
			require.Equal(t, open[typ.Base()], v, "%s", typ)
		case gatewayOnly[typ.Base()]:
			require.Equal(t, wire.CodeOutOfOrder, wire.CodeOf(err), "%s", typ)
		case typ.Skippable():
			require.NoError(t, err)
			require.Equal(t, verbIgnore, v)
		default:
			require.Error(t, err)
			require.Equal(t, wire.CodeUnknownType, wire.CodeOf(err), "%s", typ)
		}
	}
}
