package secure

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bellwire/bellwire/wire"
)

// NewTokenKey makes a key to sign tokens with, and the one that verifies them,
// each as the content of a PEM file. The first is a secret.
func NewTokenKey() (private, public []byte, err error) {
	key, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if private, err = encodePrivateKey(secret); err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, nil, err
	}
	return private, encodePEM(pemPublicKey, der), nil
}

// Claims are what a token says; the package comment has their meaning. Times are
// whole seconds, zero: none.
type Claims struct {
	Subject   string
	Expires   time.Time // required
	NotBefore time.Time
	Issued    time.Time
	ID        string // jti
	// Limited: Publish and Subscribe are all that is allowed.
	Limited            bool
	Publish, Subscribe []string
	Admin              string // "*", a tenant, or "" for a device
}

// tokenJSON is the payload; the order is that of the bytes.
type tokenJSON struct {
	Subject   string   `json:"sub"`
	Admin     string   `json:"admin,omitempty"`
	Expires   int64    `json:"exp"`
	NotBefore int64    `json:"nbf,omitempty"`
	Issued    int64    `json:"iat,omitempty"`
	ID        string   `json:"jti,omitempty"`
	Publish   []string `json:"pub,omitzero"`
	Subscribe []string `json:"sbs,omitzero"`
}

func (c Claims) payload() *tokenJSON {
	p := &tokenJSON{
		Subject: c.Subject, Admin: c.Admin, Expires: unix(c.Expires), NotBefore: unix(c.NotBefore), Issued: unix(c.Issued), ID: c.ID,
		Publish: c.Publish, Subscribe: c.Subscribe,
	}
	if c.Limited && p.Publish == nil && p.Subscribe == nil {
		p.Publish = []string{}
	}
	return p
}

func unix(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.Unix()
}

// IssueToken signs a token. It makes none that a gateway with this key would
// refuse, but for the times in it and what was revoked.
func IssueToken(key ed25519.PrivateKey, c Claims) (string, error) {
	switch {
	case len(key) != ed25519.PrivateKeySize:
		return "", errors.New("no key to sign with")
	case c.Expires.IsZero():
		return "", errors.New("a token has to end: say when it expires")
	}
	public := ed25519.PublicKey(key[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
	text, err := json.Marshal(c.payload())
	if err != nil {
		return "", err
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, &written{text: text})
	token.Header["kid"] = TokenKeyID(public)
	signed, err := token.SignedString(key)
	if err != nil {
		return "", err
	}
	if err := c.acceptedAs(signed, public); err != nil {
		return "", err
	}
	return signed, nil
}

// written are claims whose bytes stand already.
type written struct {
	jwt.RegisteredClaims
	text []byte
}

// MarshalJSON gives the bytes.
func (w *written) MarshalJSON() ([]byte, error) { return w.text, nil }

// acceptedAs asks a gateway of the time for which the token is meant.
func (c Claims) acceptedAs(token string, key ed25519.PublicKey) error {
	if len(token) > wire.MaxAuth {
		return fmt.Errorf("the token would have %d bytes, and %d is what HELLO takes: give it fewer or shorter filters", len(token), wire.MaxAuth)
	}
	during := c.Expires.Add(-time.Second)
	t, err := NewTrust(Config{TokenKeys: []TokenKey{{ID: TokenKeyID(key), Key: key}}, Now: func() time.Time { return during }})
	if err != nil {
		return err
	}
	if c.Admin != "" {
		_, err = t.Admin([]byte(token))
	} else {
		_, err = t.Token([]byte(token))
	}
	var refused *wire.Error
	if errors.As(err, &refused) {
		err = errors.New(refused.Field)
	}
	return err
}

// ReadToken shows what a token says, without a word about whether it is true: see
// SignedBy. The second result is the kid, empty if there is none.
func ReadToken(token []byte) (Claims, string, error) {
	if !isJWT(token) {
		return Claims{}, "", errNotJWT
	}
	head, payload, err := split(token)
	if err != nil {
		return Claims{}, "", err
	}
	c, err := parseClaims(payload)
	if err != nil {
		return Claims{}, "", err
	}
	return Claims{
		Subject: c.subject, Expires: c.expires, NotBefore: c.notBefore, Issued: c.issued, ID: c.id,
		Limited: c.limited, Publish: c.publish, Subscribe: c.subscribe, Admin: c.admin,
	}, head.keyID, nil
}

// SignedBy reports whether the signature of a token is that of key.
func SignedBy(token []byte, key ed25519.PublicKey) bool {
	_, _, err := split(token)
	return err == nil && len(key) == ed25519.PublicKeySize && signedBy(token, key)
}
