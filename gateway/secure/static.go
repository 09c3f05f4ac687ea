package secure

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bellwire/bellwire/wire"
)

// StaticKey is a key that proves a device until it is taken away. Only the hash
// of it is known: the key has 256 random bits, so a plain SHA-256 cannot be turned
// back and needs no salt. A password is no such key.
type StaticKey struct {
	Identity wire.Identity
	Hash     [sha256.Size]byte // SHA-256 of the key as the device sends it
	// Limited, Publish and Subscribe are as in Proof; the filters may hold
	// {tenant} and {device}.
	Publish, Subscribe []string
	Limited            bool
}

// staticPrefix lets people and scanners of code see what a text is.
const staticPrefix = "bwk_"

// NewStaticKey draws a key for a device. The text is the secret, to be given to
// the device and forgotten; its hash is set in the result.
func NewStaticKey(k StaticKey) (secret string, known StaticKey, err error) {
	if err := k.check(); err != nil {
		return "", StaticKey{}, err
	}
	var random [32]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", StaticKey{}, err
	}
	secret = staticPrefix + base64.RawURLEncoding.EncodeToString(random[:])
	k.Hash = sha256.Sum256([]byte(secret))
	return secret, k, nil
}

const (
	hashWord      = "sha256:"
	publishWord   = "publish="
	subscribeWord = "subscribe="
)

// String is the line that ParseStaticKeys reads.
func (k StaticKey) String() string {
	words := []string{k.Identity.String(), hashWord + hex.EncodeToString(k.Hash[:])}
	for _, filter := range k.Publish {
		words = append(words, publishWord+filter)
	}
	for _, filter := range k.Subscribe {
		words = append(words, subscribeWord+filter)
	}
	if k.Limited && len(k.Publish)+len(k.Subscribe) == 0 {
		words = append(words, publishWord)
	}
	return strings.Join(words, " ")
}

// ParseStaticKeys reads a file with a line for each key: tenant/device, sha256:
// and 64 hexadecimal digits, and then as often as wanted publish=FILTER and
// subscribe=FILTER; publish= alone allows nothing. Empty lines and what follows a
// # at the beginning of a word are for people. Errors name the line and quote
// nothing of it that could be a secret.
func ParseStaticKeys(text []byte) ([]StaticKey, error) {
	var all []StaticKey
	for number, line := range lines(text) {
		words := wordsOf(line)
		if len(words) == 0 {
			continue
		}
		k, err := parseStaticKey(words)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		all = append(all, k)
	}
	return all, nil
}

func parseStaticKey(words []string) (StaticKey, error) {
	var k StaticKey
	var err error
	if k.Identity, err = wire.ParseIdentity(words[0]); err != nil {
		return k, errors.New("the first word is not tenant/device")
	}
	if len(words) < 2 {
		return k, errors.New("the hash of the key is missing")
	}
	digits, found := strings.CutPrefix(words[1], hashWord)
	hash, err := hex.DecodeString(digits)
	if !found || err != nil || len(hash) != len(k.Hash) {
		return k, fmt.Errorf("the second word is not %s and 64 hexadecimal digits; a key itself has no place here", hashWord)
	}
	copy(k.Hash[:], hash)
	for _, word := range words[2:] {
		k.Limited = true
		if filter, found := strings.CutPrefix(word, publishWord); found {
			if filter != "" {
				k.Publish = append(k.Publish, filter)
			}
		} else if filter, found := strings.CutPrefix(word, subscribeWord); found {
			if filter != "" {
				k.Subscribe = append(k.Subscribe, filter)
			}
		} else {
			return k, fmt.Errorf("want only %sFILTER and %sFILTER after the hash; a filter with a space cannot stand here", publishWord, subscribeWord)
		}
	}
	return k, k.check()
}

// check looks at all but the hash.
func (k *StaticKey) check() error {
	if err := k.Identity.Check(); err != nil {
		return err
	}
	if !k.Limited && len(k.Publish)+len(k.Subscribe) > 0 {
		return errors.New("has filters and is not limited to them")
	}
	for _, filter := range slices.Concat(k.Publish, k.Subscribe) {
		if strings.ContainsFunc(filter, func(r rune) bool { return !visible(r) || r == ' ' }) {
			return fmt.Errorf("filter %q: spaces and what does not show cannot stand in a file of keys", filter)
		}
	}
	for _, filters := range [][]string{k.Publish, k.Subscribe} {
		if _, err := fill(filters, k.Identity); err != nil {
			return err
		}
	}
	return nil
}

// halfHash finds a key. What the time of a look-up tells is about half a hash, of
// which nobody can choose more than a few bits; the other half is compared in
// constant time.
type halfHash [sha256.Size / 2]byte

type staticKeys map[halfHash]StaticKey

func (s staticKeys) find(hash [sha256.Size]byte) (StaticKey, bool) {
	k := s[halfHash(hash[:len(halfHash{})])]
	if subtle.ConstantTimeCompare(k.Hash[:], hash[:]) != 1 {
		return StaticKey{}, false
	}
	return k, true
}

func (t *Trust) takeStaticKeys(cfg *Config) error {
	t.static = make(staticKeys, len(cfg.StaticKeys))
	for i, k := range cfg.StaticKeys {
		if k.Hash == [sha256.Size]byte{} {
			return badField("is missing: want the SHA-256 of the key", "StaticKeys[%d].Hash", i)
		}
		if err := k.check(); err != nil {
			return badField(err.Error(), "StaticKeys[%d]", i)
		}
		half := halfHash(k.Hash[:len(halfHash{})])
		if other, twice := t.static[half]; twice {
			return badField("is the key of "+other.Identity.String()+" too: a key proves one device", "StaticKeys[%d].Hash", i)
		}
		k.Publish, k.Subscribe = slices.Clone(k.Publish), slices.Clone(k.Subscribe)
		t.static[half] = k
	}
	return nil
}

// staticKey proves a device by such a key.
func (t *Trust) staticKey(key []byte) (*Proof, error) {
	k, known := t.static.find(sha256.Sum256(key))
	if !known {
		return nil, refuse(wire.CodeNotAuthenticated, "neither a token nor a key that is known here")
	}
	if t.revoked.device(k.Identity) {
		return nil, refuse(wire.CodeRevoked, "device revoked: "+k.Identity.String())
	}
	p := &Proof{Identity: k.Identity, Limited: k.Limited, by: &byStaticKey{k}}
	var err error
	if p.Publish, err = fill(k.Publish, k.Identity); err == nil {
		p.Subscribe, err = fill(k.Subscribe, k.Identity)
	}
	return p, err
}

// byStaticKey is a proof by static key.
type byStaticKey struct{ key StaticKey }

func (b *byStaticKey) holds(t *Trust, p *Proof) error {
	now, known := t.static.find(b.key.Hash)
	if !known || now.Identity != p.Identity {
		return refuse(wire.CodeNotAuthenticated, "key withdrawn")
	}
	if now.Limited != b.key.Limited || !slices.Equal(now.Publish, b.key.Publish) || !slices.Equal(now.Subscribe, b.key.Subscribe) {
		return refuse(wire.CodeTokenExpired, "the permissions of the key have changed: connect again")
	}
	return nil
}

// String says no more than what it is.
func (b *byStaticKey) String() string { return "static key" }
