package wire

// Limits of the protocol itself. What a gateway or device chooses within them
// is said in HELLO and WELCOME.
const (
	// Version is the one protocol version that this package speaks.
	Version = 1

	// MinFrameLog and MaxFrameLog bound what a device may state as the largest
	// frame that it takes: 128 B holds every control frame, 1 MiB is what a
	// gateway is ready to queue for one device.
	MinFrameLog = 7
	MaxFrameLog = 20
	// MinGatewayFrameLog: a HELLO with a token fits 1 KiB, and so does a SUBSCRIBE
	// of the longest filter with a cursor of 40 positions.
	MinGatewayFrameLog = 10

	// MaxControl is the largest control frame to a device, header included, so
	// that the smallest device takes them all.
	MaxControl = 1 << MinFrameLog

	// MaxRefusalText is the longest text of an ACK or SUBSCRIBED: with a header of
	// two bytes, 16 of the largest numbers and two before the text, the frame is
	// within MaxControl.
	MaxRefusalText = MaxControl - 2 - 16 - 2

	// MaxHello is the largest HELLO frame: a stranger is not given more memory.
	MaxHello = 1024
	// MaxAuth leaves room in HELLO for everything else.
	MaxAuth = 900

	// MaxName bounds topics and filters: one length byte on the wire in most
	// cases, and a name always fits a HELLO-sized frame.
	MaxName = 255
	// MaxLevels bounds the work of matching one name.
	MaxLevels = 16
	// MaxTenant and MaxDevice bound the two halves of an identity.
	MaxTenant = 64
	MaxDevice = 128

	// MaxPing is how many bytes a PING may carry: a timestamp fits.
	MaxPing = 8

	// MaxCursor is the number of positions in one SUBSCRIBE.
	MaxCursor = 64

	// MaxVarint is the largest number: nine bytes of seven bits.
	MaxVarint = 1<<63 - 1

	// MaxHeader is the longest frame header: type and length of the largest frame.
	MaxHeader = 1 + 3
)
