package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/wire"
)

// A gateway inside another program: one device connects, subscribes and gets a
// broadcast that the program publishes.
func Example() {
	g, err := gateway.New(gateway.Config{
		Listen: "127.0.0.1:0", // a free port
		Logger: slog.New(slog.DiscardHandler),
		Authorize: func(id wire.Identity, a gateway.Action, topic string) error {
			if a == gateway.ActionPublish {
				return errors.New("devices only listen here")
			}
			return nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve(context.Background()) }()
	<-g.Ready()

	device, err := net.Dial("tcp", g.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer device.Close()
	hello := wire.Hello{MinVersion: 1, MaxVersion: 1, Recv: 10, Method: wire.AuthToken, Auth: []byte("lamp-7")}
	subscribe := wire.Subscribe{Sub: 1, Filter: []byte("broadcast/lights")}
	if _, err := device.Write(subscribe.Append(hello.Append(nil))); err != nil {
		fmt.Println(err)
		return
	}
	next := frames(device)
	fmt.Println(next())
	fmt.Println(next())

	if _, err := g.Publish(context.Background(), gateway.DefaultTenant, "broadcast/lights", []byte("off")); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(next())

	if err := g.Close(); err != nil {
		fmt.Println(err)
	}
	fmt.Println(<-served)
	// Output:
	// WELCOME
	// SUBSCRIBED
	// MESSAGE off
	// <nil>
}

// frames reads one frame after the other.
func frames(r io.Reader) func() string {
	var buf []byte
	return func() string {
		for {
			t, body, rest, err := wire.Next(buf, 1<<10)
			if err == nil {
				buf = rest
				if m, err := wire.ParseMessage(t, body); t.Base() == wire.TypeMessage && err == nil {
					return t.String() + " " + string(m.Payload)
				}
				return t.String()
			}
			chunk := make([]byte, 1<<10)
			n, err := r.Read(chunk)
			if err != nil {
				return err.Error()
			}
			buf = append(buf, chunk[:n]...)
		}
	}
}
