package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/bellwire/bellwire/gateway/secure"
)

type tokenInspectCmd struct {
	Token string `arg:"" optional:"" default:"-" help:"The token; - or left out: read it from the standard input."`
	Key   string `noenv:"" placeholder:"FILE" help:"Public key, such as token.pub.pem, to check the signature with."`
	JSON  bool   `name:"json" help:"Print a JSON object."`
}

// Help says what is needed and what is not.
func (c *tokenInspectCmd) Help() string {
	return "Everyone can read a token, so this needs no private key and refuses one. What it shows is true only if the signature is " +
		"good: with --key and a bad one this ends with 1."
}

// What is known of a signature.
const (
	signatureGood    = "good"
	signatureBad     = "bad"
	signatureUnknown = "unchecked"
)

// maxTokenInput is far beyond what a gateway takes, for what is pasted with space around it.
const maxTokenInput = 64 << 10

// Run shows the token.
func (c *tokenInspectCmd) Run(e *env) error {
	token, err := c.token(e.stdin)
	if err != nil {
		return err
	}
	claims, id, err := secure.ReadToken(token)
	if err != nil {
		return fmt.Errorf("this token says nothing to a gateway: %w", err)
	}
	signature, err := c.signature(token)
	if err != nil {
		return err
	}
	shown := tokenView{claims, id, signature, time.Now()}
	if c.JSON {
		err = printJSON(e, shown.json())
	} else {
		err = shown.table(e.stdout, c.Key)
	}
	if err == nil && signature == signatureBad {
		err = fmt.Errorf("the signature is not that of %s: do not believe what the token says", c.Key)
	}
	return err
}

func (c *tokenInspectCmd) token(stdin io.Reader) ([]byte, error) {
	if c.Token != standardInput {
		return bytes.TrimSpace([]byte(c.Token)), nil
	}
	token, err := io.ReadAll(io.LimitReader(stdin, maxTokenInput))
	if err != nil {
		return nil, fmt.Errorf("reading the standard input: %w", err)
	}
	if token = bytes.TrimSpace(token); len(token) == 0 {
		return nil, exitWith(exitUsage, errors.New("there is no token on the standard input"))
	}
	return token, nil
}

func (c *tokenInspectCmd) signature(token []byte) (string, error) {
	if c.Key == "" {
		return signatureUnknown, nil
	}
	content, err := readCredential(c.Key)
	if err != nil {
		return "", fmt.Errorf("--key: %s %w", c.Key, err)
	}
	key, err := secure.ParseTokenKey(content)
	if err != nil {
		return "", fmt.Errorf("--key: %s %w", c.Key, err)
	}
	if secure.SignedBy(token, key) {
		return signatureGood, nil
	}
	return signatureBad, nil
}

// tokenView is a token for a person or a script.
type tokenView struct {
	secure.Claims
	key       string // kid
	signature string
	now       time.Time
}

func (v tokenView) expired() bool { return !v.now.Before(v.Expires) }

// tokenViewJSON is what --json prints.
type tokenViewJSON struct {
	Subject   string    `json:"subject"`
	Admin     string    `json:"admin,omitempty"`
	Expires   time.Time `json:"expires"`
	Expired   bool      `json:"expired"`
	NotBefore time.Time `json:"not_before,omitzero"`
	Issued    time.Time `json:"issued,omitzero"`
	ID        string    `json:"id,omitempty"`
	Limited   bool      `json:"limited"`
	Publish   []string  `json:"publish,omitempty"`
	Subscribe []string  `json:"subscribe,omitempty"`
	Key       string    `json:"key,omitempty"`
	Signature string    `json:"signature"`
}

func (v tokenView) json() tokenViewJSON {
	return tokenViewJSON{
		Subject: v.Subject, Admin: v.Admin, Expires: v.Expires.UTC(), Expired: v.expired(), NotBefore: v.NotBefore.UTC(), Issued: v.Issued.UTC(),
		ID: v.ID, Limited: v.Limited, Publish: v.Publish, Subscribe: v.Subscribe, Key: v.key, Signature: v.signature,
	}
}

// table writes a line for each thing. Anyone may have written the token, so nothing of it reaches a terminal as it is.
func (v tokenView) table(w io.Writer, keyFile string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) { fmt.Fprintf(table, "%s\t%s\n", name, value) }
	if v.Admin == "" {
		row("device", visibleName(v.Subject))
	} else {
		row("person", visibleName(v.Subject))
		row("may see", map[bool]string{true: "all tenants", false: "tenant " + visibleName(v.Admin)}[v.Admin == "*"])
	}
	if v.Limited {
		row("publish", filtersText(v.Publish))
		row("subscribe", filtersText(v.Subscribe))
	} else if v.Admin == "" {
		row("permissions", "those of the gateway's policy")
	}
	if v.expired() {
		row("expired", v.when(v.Expires))
	} else {
		row("expires", v.when(v.Expires))
	}
	if v.NotBefore.After(v.now) {
		row("not valid before", v.when(v.NotBefore))
	}
	if !v.Issued.IsZero() {
		row("issued", v.when(v.Issued))
	}
	if v.ID != "" {
		row("id", visibleName(v.ID))
	}
	if v.key != "" {
		row("key", visibleName(v.key))
	}
	row("signature", map[string]string{
		signatureGood: "good, by " + keyFile, signatureBad: "BAD: not by " + keyFile,
		signatureUnknown: "not checked: name the public key with --key",
	}[v.signature])
	return table.Flush()
}

func (v tokenView) when(at time.Time) string {
	return at.UTC().Format(time.RFC3339) + " (" + fromNow(at, v.now) + ")"
}

func filtersText(filters []string) string {
	if len(filters) == 0 {
		return "nothing"
	}
	texts := make([]string, len(filters))
	for i, filter := range filters {
		texts[i] = visibleName(filter)
	}
	return strings.Join(texts, "  ")
}
