//go:build linux

package main

import (
	"context"
	"fmt"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/gateway"
)

// Example_embed is what the README shows: a program that is a gateway itself, and a device of it.
func Example_embed() {
	if err := embed(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: broadcast/hello world
}

func embed(ctx context.Context) error {
	g, err := gateway.New(gateway.Config{Listen: "127.0.0.1:0"}) // port 0: a free one
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve(ctx) }()
	defer g.Close()
	select {
	case <-g.Ready():
	case err := <-served:
		return err
	}

	device, err := client.Dial(ctx, g.Addr().String(), client.WithDevice("kitchen"))
	if err != nil {
		return err
	}
	defer device.Close()
	news, err := device.Subscribe(ctx, "broadcast/#")
	if err != nil {
		return err
	}

	if _, err := g.Publish(ctx, gateway.DefaultTenant, "broadcast/hello", []byte("world")); err != nil {
		return err
	}
	event, err := news.Next(ctx)
	if err != nil {
		return err
	}
	if message, ok := event.(client.Message); ok {
		fmt.Printf("%s %s\n", message.Topic, message.Payload)
	}
	return nil
}
