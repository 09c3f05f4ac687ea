package secure_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/wire"
)

// A CA for gateway and devices, and a Trust that believes it. Where the parts come
// from files, `bellwire cert` makes them.
func Example() {
	day := secure.Period{From: time.Now(), For: 24 * time.Hour}
	ca, _, err := secure.NewAuthority("Acme devices", day)
	if err != nil {
		fmt.Println(err)
		return
	}
	own, err := ca.Gateway([]string{"gw.example", "127.0.0.1"}, day)
	if err != nil {
		fmt.Println(err)
		return
	}
	certificate, err := tls.X509KeyPair(own.Certificate, own.Key)
	if err != nil {
		fmt.Println(err)
		return
	}
	trust, err := secure.NewTrust(secure.Config{
		Certificates: []tls.Certificate{certificate},
		DeviceCAs:    []secure.CA{{Roots: []*x509.Certificate{ca.Certificate()}, Tenant: "acme"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(trust.HasTLS(), trust.ProvesDevices())
	// Output: true true
}

// A device proves itself with a token; another key's signature proves nothing.
func ExampleTrust_Token() {
	private, public, err := secure.NewTokenKey()
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := secure.ParseTokenPrivateKey(private)
	if err != nil {
		fmt.Println(err)
		return
	}
	verify, err := secure.ParseTokenKey(public)
	if err != nil {
		fmt.Println(err)
		return
	}
	trust, err := secure.NewTrust(secure.Config{TokenKeys: []secure.TokenKey{{ID: secure.TokenKeyID(verify), Key: verify}}})
	if err != nil {
		fmt.Println(err)
		return
	}

	token, err := secure.IssueToken(key, secure.Claims{
		Subject: "acme/kitchen", Expires: time.Now().Add(time.Hour),
		Limited: true, Publish: []string{"broadcast/{tenant}/{device}"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	proof, err := trust.Token([]byte(token))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(proof.Identity, proof.Publish)

	_, err = trust.Token([]byte(token[:len(token)-8] + "AAAAAAAA"))
	fmt.Printf("%02X\n", uint8(wire.CodeOf(err)))
	// Output:
	// acme/kitchen [broadcast/acme/kitchen]
	// 80
}
