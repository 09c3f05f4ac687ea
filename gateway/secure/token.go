package secure

import (
	"bytes"
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bellwire/bellwire/wire"
)

// algorithm is the only one that is taken: with one algorithm the header of a
// token has nothing to choose.
const algorithm = "EdDSA"

// leeway is how far ahead of this clock the issuer's may be. An expiry has none:
// who issues can add it.
const leeway = 60 * time.Second

// Admin is a person who has proven who they are.
type Admin struct {
	Tenant  string    // the only one that they may see; empty: all
	Name    string    // for logs
	Expires time.Time // never zero
}

// Token proves a device by what it sent in HELLO or AUTH, a JWT or a static key.
// The error is a *wire.Error: CodeNotAuthenticated, CodeOtherTenant,
// CodeTokenExpired or CodeRevoked.
func (t *Trust) Token(token []byte) (*Proof, error) {
	if err := checkLength(token); err != nil {
		return nil, err
	}
	if !isJWT(token) {
		return t.staticKey(token)
	}
	key, c, err := t.verified(token)
	if err != nil {
		return nil, err
	}
	return t.device(key, c)
}

// Admin proves a person by a token with the claim "admin". Its errors are those of
// Token.
func (t *Trust) Admin(token []byte) (Admin, error) {
	if err := checkLength(token); err != nil {
		return Admin{}, err
	}
	if !isJWT(token) {
		return Admin{}, refuse(wire.CodeNotAuthenticated, "not a token")
	}
	key, c, err := t.verified(token)
	if err != nil {
		return Admin{}, err
	}
	return t.admin(key, c)
}

func checkLength(token []byte) error {
	switch {
	case len(token) == 0:
		return refuse(wire.CodeNotAuthenticated, "no token")
	case len(token) > wire.MaxAuth:
		return refuse(wire.CodeNotAuthenticated, "token of more than 900 bytes")
	}
	return nil
}

// isJWT tells a JWT, which has three parts, from a static key.
func isJWT(token []byte) bool { return bytes.Count(token, []byte{'.'}) == 2 }

// verified is a token's claims, once its signature has been found good. What they
// say is for the caller to check.
func (t *Trust) verified(token []byte) (TokenKey, claims, error) {
	no := func(text string) (TokenKey, claims, error) {
		return TokenKey{}, claims{}, refuse(wire.CodeNotAuthenticated, "token: "+text)
	}
	head, payload, err := split(token)
	if err != nil {
		return no(err.Error())
	}
	key, known := t.keys[head.keyID]
	if !known {
		return no("signed with a key that is not known here")
	}
	if !signedBy(token, key.Key) {
		return no("bad signature")
	}
	c, err := parseClaims(payload)
	if err != nil {
		return no(err.Error())
	}
	if t.revoked.token(c.id) {
		return TokenKey{}, claims{}, refuse(wire.CodeRevoked, "token revoked")
	}
	now := t.now()
	switch latest := now.Add(leeway); {
	case !now.Before(c.expires):
		return TokenKey{}, claims{}, refuse(wire.CodeTokenExpired, "token expired on "+c.expires.UTC().Format(time.RFC3339))
	case c.notBefore.After(latest):
		return no("not valid before " + c.notBefore.UTC().Format(time.RFC3339))
	case c.issued.After(latest):
		return no("issued in the future, says this gateway's clock")
	}
	return key, c, nil
}

// signedBy asks the library for its verdict on the signature. It gets no say in
// anything else: the header has been read by then, and claims are read after it.
func signedBy(token []byte, key ed25519.PublicKey) bool {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{algorithm}), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())
	_, err := parser.ParseWithClaims(string(token), &unread{}, func(*jwt.Token) (any, error) { return key, nil })
	return err == nil
}

// unread are claims that nobody has looked at.
type unread struct{ jwt.RegisteredClaims }

// UnmarshalJSON takes nothing.
func (*unread) UnmarshalJSON([]byte) error { return nil }

// device makes the proof of a device's token.
func (t *Trust) device(key TokenKey, c claims) (*Proof, error) {
	if c.admin != "" {
		return nil, refuse(wire.CodeNotAuthenticated, "token: is for a person (admin), not for a device")
	}
	id, err := wire.ParseIdentity(c.subject)
	if err != nil {
		return nil, refuse(wire.CodeNotAuthenticated, "token: sub is not tenant/device")
	}
	if key.Tenant != "" && key.Tenant != id.Tenant {
		return nil, refuse(wire.CodeOtherTenant, "token: its key does not speak for tenant "+id.Tenant)
	}
	if t.revoked.device(id) {
		return nil, refuse(wire.CodeRevoked, "device revoked: "+id.String())
	}
	p := &Proof{Identity: id, Expires: c.expires, Limited: c.limited, by: &byToken{key: key, jti: c.id}}
	if p.Publish, err = fill(c.publish, id); err != nil {
		return nil, refuse(wire.CodeNotAuthenticated, "token: pub: not a list of filters")
	}
	if p.Subscribe, err = fill(c.subscribe, id); err != nil {
		return nil, refuse(wire.CodeNotAuthenticated, "token: sbs: not a list of filters")
	}
	return p, nil
}

// fill puts an identity into filters and checks what comes out. The letters of an
// identity mean nothing in a filter.
func fill(filters []string, id wire.Identity) ([]string, error) {
	if len(filters) == 0 {
		return nil, nil
	}
	filled := make([]string, len(filters))
	variables := strings.NewReplacer(tenantVariable, id.Tenant, deviceVariable, id.Device)
	for i, filter := range filters {
		filled[i] = variables.Replace(filter)
		if err := wire.CheckFilter([]byte(filled[i])); err != nil {
			return nil, err
		}
	}
	return filled, nil
}

// allTenants is the claim "admin" of who may see everything.
const allTenants = "*"

// maxAdminName bounds what stands in logs.
const maxAdminName = 128

func (t *Trust) admin(key TokenKey, c claims) (Admin, error) {
	switch {
	case c.admin == "":
		return Admin{}, refuse(wire.CodeNotAuthenticated, "token: is not for a person: the claim admin is missing")
	case c.limited:
		return Admin{}, refuse(wire.CodeNotAuthenticated, "token: pub and sbs are for devices, not for a person (admin)")
	case !isAdminName(c.subject):
		return Admin{}, refuse(wire.CodeNotAuthenticated, "token: sub is not the name of a person")
	}
	a := Admin{Name: c.subject, Expires: c.expires}
	if c.admin != allTenants {
		if checkTenant(c.admin) != nil {
			return Admin{}, refuse(wire.CodeNotAuthenticated, "token: admin is neither * nor a tenant")
		}
		a.Tenant = c.admin
	}
	if key.Tenant != "" && key.Tenant != a.Tenant {
		return Admin{}, refuse(wire.CodeOtherTenant, "token: its key does not speak for all that admin names")
	}
	return a, nil
}

// isAdminName: it stands in logs, so it is one line that hides nothing.
func isAdminName(name string) bool {
	return name != "" && len(name) <= maxAdminName && strings.IndexFunc(name, func(r rune) bool { return !visible(r) }) < 0
}

// byToken is a proof by JWT.
type byToken struct {
	key TokenKey
	jti string
}

func (b *byToken) holds(t *Trust, p *Proof) error {
	key, known := t.keys[b.key.ID]
	switch {
	case !known || subtle.ConstantTimeCompare(key.Key, b.key.Key) != 1:
		return refuse(wire.CodeNotAuthenticated, "token: signed with a key that is not known here any more")
	case key.Tenant != "" && key.Tenant != p.Identity.Tenant:
		return refuse(wire.CodeOtherTenant, "token: its key does not speak for tenant "+p.Identity.Tenant)
	case t.revoked.token(b.jti):
		return refuse(wire.CodeRevoked, "token revoked")
	}
	return nil
}

// String names the token. A jti may be any text, so it is shown only if it is an
// ordinary word.
func (b *byToken) String() string {
	if checkTenant(b.jti) != nil || b.jti == "" {
		return "token"
	}
	return "token " + b.jti
}

// split parts a JWT and reads its header.
func split(token []byte) (head header, payload []byte, err error) {
	parts := bytes.Split(token, []byte{'.'})
	if len(parts) != 3 {
		return header{}, nil, errNotJWT
	}
	var text [2][]byte
	for i := range text {
		if text[i], err = decodeSegment(parts[i]); err != nil {
			return header{}, nil, errNotJWT
		}
	}
	if _, err = decodeSegment(parts[2]); err != nil || !json.Valid(text[1]) {
		return header{}, nil, errNotJWT
	}
	head, err = parseHeader(text[0])
	return head, text[1], err
}

// decodeSegment reads base64url without padding in its one right form; the
// standard library skips line ends inside.
func decodeSegment(segment []byte) ([]byte, error) {
	if bytes.ContainsAny(segment, "\r\n") {
		return nil, errNotJWT
	}
	return base64.RawURLEncoding.Strict().AppendDecode(nil, segment)
}
