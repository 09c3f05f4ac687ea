package wire_test

import (
	"errors"
	"fmt"

	"github.com/bellwire/bellwire/wire"
)

// A device says hello and subscribes in one segment; the gateway answers with
// three frames, which come in any pieces.
func Example() {
	out := wire.Hello{MinVersion: 1, MaxVersion: 1, Recv: 7, Method: wire.AuthToken, Auth: []byte("kitchen-1")}.Append(nil)
	out = wire.Subscribe{Sub: 1, Filter: []byte("broadcast/eu/kitchen")}.Append(out)
	fmt.Printf("device sends %d bytes\n", len(out))

	in := wire.Welcome{Version: 1, Recv: 12, Keepalive: 600, Credit: 16384, MaxSubs: 32}.Append(nil)
	in = wire.Subscribed{Sub: 1, Topic: 5}.Append(in)
	in = wire.Message{Topic: 5, Payload: []byte("temp=21.5;hum=40")}.Append(in)

	for len(in) > 0 {
		t, body, rest, err := wire.Next(in, 128)
		if err != nil {
			fmt.Println(err) // ErrShort: read more; anything else: close with CodeOf(err)
			return
		}
		switch t.Base() {
		case wire.TypeSubscribed:
			s, _ := wire.ParseSubscribed(body)
			fmt.Printf("%v: sub %d is topic %d, %v\n", t, s.Sub, s.Topic, s.Code)
		case wire.TypeMessage:
			m, _ := wire.ParseMessage(t, body)
			fmt.Printf("%v: topic %d, %s, %d bytes on the wire\n", t, m.Topic, m.Payload, m.Len())
		default:
			fmt.Printf("%v\n", t)
		}
		in = rest
	}
	// Output:
	// device sends 52 bytes
	// WELCOME
	// SUBSCRIBED: sub 1 is topic 5, ok
	// MESSAGE: topic 5, temp=21.5;hum=40, 19 bytes on the wire
}

// Next waits for whole frames and refuses what is larger than the limit before
// the body has come.
func ExampleNext() {
	frame := wire.Message{Topic: 5, Payload: make([]byte, 200)}.Append(nil)
	_, _, _, err := wire.Next(frame[:1], 1024)
	fmt.Println(errors.Is(err, wire.ErrShort))
	_, _, _, err = wire.Next(frame[:3], 128)
	fmt.Println(err, "close with:", wire.CodeOf(err))
	// Output:
	// true
	// wire: MESSAGE: length (frame too large) close with: frame too large
}

// A live message carries no position, or one byte to check the count with; a
// replayed one says where it belongs.
func ExampleMessage() {
	payload := []byte("21.5")
	fmt.Printf("% x\n", wire.Message{Topic: 5, Payload: payload}.Append(nil))
	fmt.Printf("% x\n", wire.Message{Topic: 5, Form: wire.OffsetLow, Offset: 4712, Payload: payload}.Append(nil))
	fmt.Printf("% x\n", wire.Message{Topic: 5, Origin: 1, Form: wire.OffsetFull, Offset: 4712, Payload: payload}.Append(nil))
	// Output:
	// 50 05 05 32 31 2e 35
	// 54 06 05 68 32 31 2e 35
	// 5a 08 05 01 e8 24 32 31 2e 35
}

// A cursor is what a device has taken, in the form that SUBSCRIBE carries.
func ExampleCursor() {
	var c wire.Cursor
	c = c.AppendPosition(wire.Position{Life: 0xa1a2a3a4a5a6a7a8, Offset: 4716})
	c = c.AppendPosition(wire.Position{Life: 0xb1b2b3b4b5b6b7b8, Offset: 90})
	for p := range c.Positions() {
		fmt.Println(p.Life, p.Offset)
	}
	// Output:
	// a1a2a3a4a5a6a7a8 4716
	// b1b2b3b4b5b6b7b8 90
}

// A code that is not known is treated as its class.
func ExampleCode_Class() {
	for _, c := range []wire.Code{wire.CodeSlow, wire.CodeDraining, 0x5F} {
		fmt.Println(c, "|", c.Class() == wire.ClassLater)
	}
	// Output:
	// slow | false
	// draining | false
	// code 0x5f | true
}

// A filter's + stands for one level and its last # for the rest, also for none.
func ExampleMatch() {
	fmt.Println(wire.Match("broadcast/+/kitchen", "broadcast/eu/kitchen"))
	fmt.Println(wire.Match("broadcast/#", "broadcast"))
	fmt.Println(wire.Match("broadcast/+", "broadcast/eu/kitchen"))
	// Output:
	// true
	// true
	// false
}

// The errors of the checks say what is wrong and the way out.
func ExampleCheckTopic() {
	fmt.Println(wire.CheckTopic([]byte("broadcast/+")))
	fmt.Println(wire.CheckTopic([]byte("broadcast/eu")))
	// Output:
	// topic "broadcast/+": + is a wildcard, use it in filters only
	// <nil>
}
