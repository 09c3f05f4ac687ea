// Package client is the Bellwire device SDK: it keeps one device connected to a
// fleet of gateways, subscribes, publishes, and loses nothing silently.
//
//	c, err := client.Dial(ctx, "127.0.0.1:7311", client.WithDevice("kitchen"))
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//
//	sub, err := c.Subscribe(ctx, "broadcast/eu/+")
//	if err != nil {
//		return err
//	}
//	for {
//		event, err := sub.Next(ctx)
//		if err != nil {
//			return err
//		}
//		switch e := event.(type) {
//		case client.Message: // one delivery
//			fmt.Printf("%s %s\n", e.Topic, e.Payload)
//		case client.Gap: // e.Count messages will not come; 0: unknown how many
//		case client.End: // a life of the topic is over, another one follows
//		}
//	}
//
// # What the application sees
//
// Of every topic, each message once and in the order of its stream, or a Gap in
// its place. When the connection is lost the client connects again, to the same
// gateway first, and resumes: what was sent meanwhile and is still held arrives as
// replayed messages, what is not held any more as a Gap. A gateway that lost its
// streams shows as a Gap of unknown size (the end of the old life that nobody saw),
// an End, and messages of another Life.
//
// A wildcard resumes the topics that it has seen, the last 1,024 of them and as
// many as the gateway grants subscriptions. Of all others, those that it has never
// seen and those that do not fit, nobody can say what was published while it was
// away. So each time that a wildcard begins anew, after a reconnect or with a cursor,
// there is one Gap of unknown size without a topic, before what comes next.
//
// # After a crash
//
// Subscription.Cursor is the place up to which Next has returned. Store it after an
// event was dealt with and give it to WithCursor at the next start: some events may
// come again, none is lost.
//
// # Secure
//
// WithTLS encrypts, and proves the gateway to the device:
//
//	pool := x509.NewCertPool()
//	pool.AppendCertsFromPEM(ca)
//	c, err := client.Dial(ctx, "gw.example:7315", client.WithTLS(&tls.Config{RootCAs: pool}), client.WithTokenSource(fetch))
//
// The device proves itself by a certificate, in the Certificates of that configuration,
// or by a token: WithToken, or WithTokenSource, which renews it while the connection
// lives [W-3.3]. A gateway that does not believe it says why and ends the client with a
// *StoppedError.
//
// # Inside
//
// The client meets level 1 of the protocol, and of level 3 the wildcards [W-9.1].
//
// A session turns frames into deliveries and bytes and does no I/O; an intake knows
// what one subscription has had; reconnect decides where to go next. Around them
// are two goroutines per connection: one reads and delivers, one writes and keeps
// the time. Nothing is queued without bound: a full subscription stops the reader.
package client
