package gateway_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"time"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/access"
	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/wire"
)

// A gateway that speaks TLS only, believes the certificates of one CA, and lets each
// device speak for itself. Where the parts come from files, `bellwire cert` makes
// them.
func Example_secure() {
	ca, gw, kitchen, err := certificates()
	if err != nil {
		fmt.Println(err)
		return
	}
	trust, err := secure.NewTrust(secure.Config{
		Certificates: []tls.Certificate{gw},
		DeviceCAs:    []secure.CA{{Roots: []*x509.Certificate{ca}, Tenant: "acme"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	policy, err := access.New([]access.Rule{
		{Actions: []access.Action{access.Subscribe}, Topics: []string{"broadcast/#"}},
		{Actions: []access.Action{access.Publish}, Topics: []string{"broadcast/{device}/#"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	g, err := gateway.New(gateway.Config{
		Listen: gateway.ListenOff, ListenTLS: "127.0.0.1:0", // a free port
		Trust: trust, Policy: policy, Logger: slog.New(slog.DiscardHandler),
		Quotas: map[string]gateway.Quota{gateway.AnyTenant: {Connections: 1000}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve(context.Background()) }()
	<-g.Ready()

	roots := x509.NewCertPool()
	roots.AddCert(ca)
	device, err := tls.Dial("tcp", g.TLSAddr().String(), &tls.Config{
		RootCAs: roots, Certificates: []tls.Certificate{kitchen}, MinVersion: tls.VersionTLS13,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer device.Close()
	hello := wire.Hello{MinVersion: 1, MaxVersion: 1, Recv: 10, Method: wire.AuthCertificate}
	subscribe := wire.Subscribe{Sub: 1, Filter: []byte("broadcast/news")}
	if _, err := device.Write(subscribe.Append(hello.Append(nil))); err != nil {
		fmt.Println(err)
		return
	}
	next := frames(device)
	fmt.Println(next())
	fmt.Println(next())

	// From now on it is not believed; what else is believed stays as it is.
	trust, err = secure.NewTrust(secure.Config{
		Certificates: []tls.Certificate{gw},
		DeviceCAs:    []secure.CA{{Roots: []*x509.Certificate{ca}, Tenant: "acme"}},
		Revoked:      secure.Revoked{Devices: []wire.Identity{{Tenant: "acme", Device: "kitchen"}}},
	})
	if err == nil {
		err = g.Reload(gateway.Config{Trust: trust, Policy: policy})
	}
	fmt.Println(err)
	fmt.Println(next())

	if err := g.Close(); err != nil {
		fmt.Println(err)
	}
	fmt.Println(<-served)
	// Output:
	// WELCOME
	// SUBSCRIBED
	// <nil>
	// CLOSE
	// <nil>
}

// certificates makes a CA, and certificates of a gateway and a device.
func certificates() (ca *x509.Certificate, gw, device tls.Certificate, err error) {
	day := secure.Period{From: time.Now(), For: 24 * time.Hour}
	authority, _, err := secure.NewAuthority("Acme devices", day)
	if err != nil {
		return nil, gw, device, err
	}
	own, err := authority.Gateway([]string{"127.0.0.1"}, day)
	if err != nil {
		return nil, gw, device, err
	}
	kitchen, err := authority.Device(wire.Identity{Tenant: "acme", Device: "kitchen"}, day)
	if err != nil {
		return nil, gw, device, err
	}
	if gw, err = tls.X509KeyPair(own.Certificate, own.Key); err != nil {
		return nil, gw, device, err
	}
	device, err = tls.X509KeyPair(kitchen.Certificate, kitchen.Key)
	return authority.Certificate(), gw, device, err
}
