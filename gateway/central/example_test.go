package central_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/bellwire/bellwire/gateway/central"
	"github.com/bellwire/bellwire/wire"
)

// A service in this process, a topic that it brings, and a record.
func Example() {
	heard := make(chan string, 1)
	c, err := central.New(central.Config{
		Deliver: func(tenant, topic string, _ wire.Position, payload []byte) {
			select {
			case heard <- fmt.Sprintf("%s %s: %s", tenant, topic, payload):
			default:
			}
		},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	go func() { _ = c.Run(ctx) }()
	defer func() { _ = c.Close() }()
	<-c.Ready()

	cancel, err := c.Subscribe("acme", "orders/+")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cancel()
	for done := false; !done; { // the server is told of a subscription in its own time
		if err := c.Publish("acme", "orders/7", []byte("tea")); err != nil {
			fmt.Println(err)
			return
		}
		select {
		case line := <-heard:
			fmt.Println(line)
			done = true
		default:
		}
	}

	revision, err := c.Records().Create(ctx, "filters", []byte("broadcast/#"))
	if err == nil {
		_, err = c.Records().Update(ctx, "filters", []byte("broadcast/#, news/#"), revision)
	}
	value, _, _ := c.Records().Get(ctx, "filters")
	fmt.Println(string(value), err)
	// Output:
	// acme orders/7: tea
	// broadcast/#, news/# <nil>
}
