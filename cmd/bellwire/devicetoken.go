package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

// tokenFlags are how a device shows who it is with a token.
type tokenFlags struct {
	Token     string `placeholder:"TOKEN" help:"Token that names this device and proves it. Others on this machine can read a command line: give it as BELLWIRE_TOKEN, or by --token-file."`
	TokenFile string `placeholder:"FILE" help:"File with the token; read again at each connect, and when the time of the token is running out."`
}

func (f *tokenFlags) given() bool { return f.Token != "" || f.TokenFile != "" }

// options are those of the client, after a check.
func (f *tokenFlags) options() ([]client.Option, error) {
	switch {
	case f.Token != "" && f.TokenFile != "":
		return nil, exitWith(exitUsage, errors.New("--token and --token-file: leave one of the two out (the environment counts, too)"))
	case f.Token != "":
		return []client.Option{client.WithToken(strings.TrimSpace(f.Token))}, nil
	case f.TokenFile != "":
		if _, err := f.read(context.Background()); err != nil {
			return nil, err
		}
		return []client.Option{client.WithTokenSource(f.read)}, nil
	}
	return nil, nil
}

// read is the source of tokens: the file as it is now, without the white space around. One that is being written is
// half a token, which the gateway refuses; the next read has it whole.
func (f *tokenFlags) read(context.Context) (string, error) {
	file, err := os.Open(f.TokenFile)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, 64<<10))
	token := strings.TrimSpace(string(text))
	switch {
	case err != nil:
		return "", fmt.Errorf("--token-file: %w", err)
	case token == "":
		return "", fmt.Errorf("--token-file: %s: no token in it", f.TokenFile)
	case len(token) > wire.MaxAuth || strings.ContainsAny(token, " \t\r\n"):
		return "", fmt.Errorf("--token-file: %s: not a token: want one word of at most %d bytes", f.TokenFile, wire.MaxAuth)
	}
	return token, nil
}
