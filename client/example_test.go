package client_test

import (
	"context"
	"fmt"
	"log"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

// fake is a gateway in memory, so that the examples run anywhere.
func fake() (*gateway, client.Option) {
	g, f := newGateway(0xA1), &fleet{}
	f.put("127.0.0.1:7311", g)
	return g, client.WithDialer(f.dial)
}

func Example() {
	_, dialer := fake()
	ctx := context.Background()
	c, err := client.Dial(ctx, "127.0.0.1:7311", client.WithDevice("kitchen"), dialer)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	sub, err := c.Subscribe(ctx, "broadcast/eu/+")
	if err != nil {
		log.Fatal(err)
	}
	if err := c.Publish(ctx, "broadcast/eu/kitchen", []byte("temp=21.5")); err != nil {
		log.Fatal(err)
	}
	event, err := sub.Next(ctx)
	if err != nil {
		log.Fatal(err)
	}
	switch e := event.(type) {
	case client.Message:
		fmt.Printf("%s: %s\n", e.Topic, e.Payload)
	case client.Gap:
		fmt.Println(e.Count, "messages are missing:", e.Reason)
	case client.End:
		fmt.Println(e.Topic, "begins anew")
	}
	// Output: broadcast/eu/kitchen: temp=21.5
}

// A device that was restarted goes on where it had stored its cursor.
func ExampleWithCursor() {
	gateway, dialer := fake()
	ctx := context.Background()
	c, err := client.Dial(ctx, "127.0.0.1:7311", dialer)
	if err != nil {
		log.Fatal(err)
	}
	sub, err := c.Subscribe(ctx, "broadcast/eu")
	if err != nil {
		log.Fatal(err)
	}
	gateway.Publish("broadcast/eu", "one")
	if _, err := sub.Next(ctx); err != nil {
		log.Fatal(err)
	}
	stored := sub.Cursor() // for example as JSON in a file
	_ = c.Close()

	gateway.Publish("broadcast/eu", "two, while the device was off")

	c, err = client.Dial(ctx, "127.0.0.1:7311", dialer)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	sub, err = c.Subscribe(ctx, "broadcast/eu", client.WithCursor(stored...))
	if err != nil {
		log.Fatal(err)
	}
	event, err := sub.Next(ctx)
	if err != nil {
		log.Fatal(err)
	}
	m := event.(client.Message)
	fmt.Printf("%s (offset %d, replayed: %v)\n", m.Payload, m.Offset, m.Replayed)
	// Output: two, while the device was off (offset 2, replayed: true)
}

// What will not come is told in its place.
func ExampleGap() {
	gateway, dialer := fake()
	ctx := context.Background()
	c, err := client.Dial(ctx, "127.0.0.1:7311", dialer)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	gateway.kept = 1 // its ring keeps one message
	for _, text := range []string{"one", "two", "three"} {
		gateway.Publish("broadcast/eu", text)
	}
	begin := client.TopicPosition{Topic: "broadcast/eu", Position: wire.Position{Life: 0xA1, Offset: 0}}
	sub, err := c.Subscribe(ctx, "broadcast/eu", client.WithCursor(begin))
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		event, err := sub.Next(ctx)
		if err != nil {
			log.Fatal(err)
		}
		switch e := event.(type) {
		case client.Message:
			fmt.Printf("%d %s\n", e.Offset, e.Payload)
		case client.Gap:
			fmt.Printf("%d missing: %v\n", e.Count, e.Reason)
		}
	}
	// Output:
	// 2 missing: no longer kept
	// 3 three
}

// A Publish that nobody answered may or may not have happened; WithRetry repeats
// it, and subscribers may then see it twice.
func ExampleClient_Publish() {
	_, dialer := fake()
	ctx := context.Background()
	c, err := client.Dial(ctx, "127.0.0.1:7311", client.WithServers("127.0.0.1:7411"), dialer)
	if err != nil {
		log.Fatal(err)
	}
	err = c.Publish(ctx, "broadcast/alarm", []byte("smoke"), client.WithRetry())
	fmt.Println("published:", err == nil)

	err = c.Publish(ctx, "broadcast/+", nil)
	fmt.Println(err)
	fmt.Println(c.Shutdown(ctx))
	// Output:
	// published: true
	// client: topic "broadcast/+": + is a wildcard, use it in filters only
	// <nil>
}
