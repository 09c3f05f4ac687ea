package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/bellwire/bellwire/gateway"
)

// fleetPolicyCmd is `bellwire fleet policy`.
type fleetPolicyCmd struct {
	File   string `arg:"" optional:"" placeholder:"FILE" help:"Store this policy file for all gateways; without one, print what is stored."`
	Delete bool   `help:"Have each gateway go by its own policy file again, or by none if it has none."`
	adminFlags
}

// Help says what it takes the place of.
func (c *fleetPolicyCmd) Help() string {
	return "A policy that is stored holds at every gateway of the fleet soon, in the place of the file that its settings name as policy. " +
		"One that makes no sense is refused. A gateway keeps what it knew last below its --data, and starts by that while the central service is away; " +
		"without --data it starts by its own file then. A central service without --data forgets what is stored when it ends: gateways that run keep the policy."
}

// Run stores, deletes or prints.
func (c *fleetPolicyCmd) Run(e *env) error {
	ctx, stop := e.interruptible()
	defer stop()
	const path = "/v1/fleet/policy"
	switch {
	case c.Delete && c.File != "":
		return exitWith(exitUsage, errors.New("--delete: a file to store and --delete do not go together"))
	case c.Delete:
		_, err := c.send(ctx, http.MethodDelete, path, nil)
		return err
	case c.File == "":
		answer, err := c.get(ctx, path, nil)
		if err == nil {
			_, err = e.stdout.Write(answer)
		}
		return err
	}
	text, err := os.ReadFile(c.File)
	if err != nil {
		return exitWith(exitUsage, err)
	}
	if _, _, err := parsePolicy(c.File, text); err != nil { // with the file's name and lines
		return err
	}
	_, err = c.send(ctx, http.MethodPut, path, text)
	return err
}

// fleetBroadcastCmd is `bellwire fleet broadcast`.
type fleetBroadcastCmd struct {
	Filters []string `arg:"" optional:"" placeholder:"FILTER" help:"The filters of all broadcast topics from now on; without any, print those that are."`
	JSON    bool     `name:"json" help:"Print the answer of the gateway as it is."`
	adminFlags
}

// Help says how they change.
func (c *fleetBroadcastCmd) Help() string {
	return "Broadcast topics are the same at all gateways. They change in steps that all gateways take together, while messages flow: " +
		"if one of them does not within some seconds, the change is taken back and the error names it. " +
		"What is stored takes the place of the setting broadcast at every gateway. Quote filters: for a shell # begins a comment."
}

// Run changes or prints.
func (c *fleetBroadcastCmd) Run(e *env) error {
	ctx, stop := e.interruptible()
	defer stop()
	const path = "/v1/fleet/broadcast"
	if len(c.Filters) > 0 {
		body, err := json.Marshal(c.Filters)
		if err == nil {
			_, err = c.send(ctx, http.MethodPut, path, body)
		}
		return err
	}
	answer, err := c.get(ctx, path, nil)
	if err != nil {
		return err
	}
	if c.JSON {
		_, err = e.stdout.Write(answer)
		return err
	}
	var b gateway.StoredBroadcast
	if err := json.Unmarshal(answer, &b); err != nil {
		return fmt.Errorf("the answer is not that of a gateway: %w", err)
	}
	of := "of this gateway; none are stored"
	if b.Stored {
		of = "of the fleet"
	}
	fmt.Fprintf(e.stdout, "broadcast topics: %s (%s)\n", visibleName(strings.Join(b.Filters, " ")), of)
	if b.Also != nil {
		fmt.Fprintf(e.stdout, "taken as well, while they change: %s\n", visibleName(strings.Join(b.Also, " ")))
	}
	return nil
}

// send asks for a change.
func (f *adminFlags) send(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	return f.ask(ctx, changeTimeout, method, path, nil, bytes.NewReader(body))
}
