package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/wire"
)

// tokenCmd is `bellwire token`.
type tokenCmd struct {
	Key     tokenKeyCmd     `cmd:"" help:"Make the keys: token.pub.pem verifies, token-key.pem, secret, signs."`
	Issue   tokenIssueCmd   `cmd:"" help:"Print a token for a device or a person, or a static key."`
	Inspect tokenInspectCmd `cmd:"" help:"Show what a token says and whether its signature is good."`
}

// The files, in the current directory.
const (
	tokenKeyFile    = "token-key.pem"
	tokenPublicFile = "token.pub.pem"
	staticFile      = "static.keys"
)

type tokenKeyCmd struct {
	credentialFlags
}

// Run makes the keys.
func (c *tokenKeyCmd) Run(e *env) error {
	private, public, err := secure.NewTokenKey()
	if err != nil {
		return err
	}
	key, err := secure.ParseTokenKey(public)
	if err != nil {
		return err
	}
	m := made{For: "token key " + secure.TokenKeyID(key), File: c.path(tokenPublicFile), Secret: c.path(tokenKeyFile)}
	if err := writeNew(newFile{m.Secret, private, secretMode}, newFile{m.File, public, publicMode}); err != nil {
		return err
	}
	return c.told(e, []made{m}, "Give the first to gateways as tokens.keys. The secret file stays where tokens are issued.")
}

type tokenIssueCmd struct {
	Subject   string   `arg:"" name:"tenant/device" help:"The device; with --admin the name of a person."`
	For       Lifetime `placeholder:"TIME" help:"How long the token is valid. Default: 24h."`
	Publish   []string `placeholder:"FILTER" help:"What it may publish to; {tenant} and {device} stand for its own."`
	Subscribe []string `placeholder:"FILTER" help:"What it may subscribe to. With one of these two nothing else is allowed; without both the gateway's policy decides."`
	Admin     string   `noenv:"" placeholder:"TENANT" help:"Make a token for a person who may see this tenant, or '*' for all."`
	Static    bool     `help:"Make a static key instead, which has no end: print it, and append its hash to a file of the gateway."`
	File      string   `default:"static.keys" placeholder:"FILE" help:"That file."`
	Key       string   `default:"token-key.pem" noenv:"" placeholder:"FILE" help:"Private key that signs the token."`
	ID        string   `name:"id" placeholder:"TEXT" help:"Name to revoke the token by (jti). Default: some random digits."`
}

// Help says what comes where.
func (c *tokenIssueCmd) Help() string {
	return "The standard output has the token or key and nothing else. A comma in a filter is written \\, since a comma parts filters."
}

const defaultTokenLife = Lifetime(day)

// Run prints the token or the key.
func (c *tokenIssueCmd) Run(e *env) error {
	if err := c.check(); err != nil {
		return exitWith(exitUsage, err)
	}
	text, note, err := c.issue()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(e.stdout, text); err != nil {
		return err
	}
	if e.terminal(e.stderr) {
		fmt.Fprintf(e.stderr, "bellwire: %s\n", note)
	}
	return nil
}

func (c *tokenIssueCmd) check() error {
	switch {
	case c.Static && c.Admin != "":
		return errors.New("--admin: a person's token has to end, and a static key does not")
	case c.Static && c.For != 0:
		return errors.New("--for: a static key has no end; take it out of the file to withdraw it")
	case c.Static && c.ID != "":
		return errors.New("--id: a static key has no name; take it out of the file to withdraw it")
	case c.Admin != "" && c.limited():
		return errors.New("--publish and --subscribe are for devices, not for a person (--admin)")
	}
	if c.Admin == "" {
		_, err := wire.ParseIdentity(c.Subject)
		return err
	}
	return nil
}

func (c *tokenIssueCmd) limited() bool { return len(c.Publish)+len(c.Subscribe) > 0 }

// issue is the token or key, and what to say about it.
func (c *tokenIssueCmd) issue() (text, note string, err error) {
	if c.Static {
		if text, err = c.static(); err != nil {
			return "", "", err
		}
		return text, "its hash is in " + c.File + ", which goes to gateways as tokens.static; the key itself is nowhere but here", nil
	}
	now := time.Now()
	if c.For == 0 {
		c.For = defaultTokenLife
	}
	claims := secure.Claims{
		Subject: c.Subject, Admin: c.Admin, Issued: now, Expires: now.Add(time.Duration(c.For)), ID: c.ID,
		Limited: c.limited(), Publish: c.Publish, Subscribe: c.Subscribe,
	}
	if claims.ID == "" {
		if claims.ID, err = randomID(); err != nil {
			return "", "", err
		}
	}
	content, err := readSecret(c.Key)
	if err != nil {
		return "", "", fmt.Errorf("the key %s %w: `bellwire token key` makes one, --key names another", c.Key, err)
	}
	key, err := secure.ParseTokenPrivateKey(content)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", c.Key, err)
	}
	if text, err = secure.IssueToken(key, claims); err != nil {
		return "", "", exitWith(exitUsage, err)
	}
	return text, fmt.Sprintf("valid for %s; the line \"token %s\" in the file revoked withdraws it", c.For, claims.ID), nil
}

func randomID() (string, error) {
	var id [8]byte
	_, err := rand.Read(id[:])
	return hex.EncodeToString(id[:]), err
}

// static makes a key and appends its line to the file.
func (c *tokenIssueCmd) static() (string, error) {
	id, err := wire.ParseIdentity(c.Subject)
	if err != nil {
		return "", exitWith(exitUsage, err)
	}
	secret, key, err := secure.NewStaticKey(secure.StaticKey{Identity: id, Limited: c.limited(), Publish: c.Publish, Subscribe: c.Subscribe})
	if err != nil {
		return "", exitWith(exitUsage, err)
	}
	before, err := os.ReadFile(c.File)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if _, err := secure.ParseStaticKeys(before); err != nil {
		return "", fmt.Errorf("%s: %w", c.File, err)
	}
	line := key.String() + "\n"
	if len(before) > 0 && before[len(before)-1] != '\n' {
		line = "\n" + line
	}
	file, err := os.OpenFile(c.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, secretMode)
	if err != nil {
		return "", err
	}
	_, err = file.WriteString(line)
	if closed := file.Close(); err == nil {
		err = closed
	}
	return secret, err
}
