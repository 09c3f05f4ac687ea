package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/bellwire/bellwire/gateway"
)

// statusCmd is `bellwire status`.
type statusCmd struct {
	View   string `arg:"" optional:"" enum:"gateway,sessions,topics" default:"gateway" help:"gateway, sessions or topics."`
	Topic  string `placeholder:"TOPIC" help:"Of the sessions, those that this topic would reach."`
	Tenant string `placeholder:"TENANT" help:"Of the sessions or topics, those of this tenant."`
	Limit  int    `placeholder:"N" help:"At most so many sessions or topics, 1 to 10000; without it the gateway lists 1000."`
	JSON   bool   `name:"json" help:"Print the answer of the gateway as it is."`
	adminFlags
}

// views are the parts of the admin API that can be shown, how, and what makes a long list shorter.
var views = map[string]struct {
	path   string
	show   func(answer []byte, w io.Writer) error
	narrow string
}{
	"gateway":  {"/v1/gateway", tabled(writeGateway), ""},
	"sessions": {"/v1/sessions", tabled(writeSessions), "--topic or --tenant"},
	"topics":   {"/v1/topics", tabled(writeTopics), "--tenant"},
}

// Run asks and prints.
func (c *statusCmd) Run(e *env) error {
	ctx, stop := e.interruptible()
	defer stop()
	view := views[c.View]
	answer, err := c.ask(ctx, view.path)
	if err != nil {
		return err
	}
	if c.JSON {
		_, err = e.stdout.Write(answer)
	} else {
		err = view.show(answer, e.stdout)
	}
	if missing := c.missing(answer, view.narrow); err == nil && missing != "" {
		fmt.Fprintf(e.stderr, "bellwire: %s\n", missing)
	}
	return err
}

// missing says that rows are missing from a list, and how to see them; empty if none are.
func (c *statusCmd) missing(answer []byte, narrow string) string {
	var list struct {
		Sessions, Topics []json.RawMessage
		Total            int64
		Truncated        bool
	}
	// With --json an answer is printed as it came; one that is no list lacks no rows.
	if err := json.Unmarshal(answer, &list); c.View == "gateway" || err != nil || !list.Truncated {
		return ""
	}
	rows := int64(len(list.Sessions) + len(list.Topics))
	return fmt.Sprintf("%s of %s %s are shown: narrow them down with %s, or ask for more with --limit, at most %s",
		grouped(rows), grouped(list.Total), c.View, narrow, grouped(gateway.MostRows))
}

func (c *statusCmd) ask(ctx context.Context, path string) ([]byte, error) {
	query := url.Values{}
	if c.Topic != "" {
		query.Set("topic", c.Topic)
	}
	if c.Tenant != "" {
		query.Set("tenant", c.Tenant)
	}
	if c.Limit != 0 {
		query.Set("limit", strconv.Itoa(c.Limit))
	}
	return c.get(ctx, path, query)
}

// tabled decodes an answer for the function that writes it as a table.
func tabled[T any](write func(w io.Writer, answer T)) func([]byte, io.Writer) error {
	return func(text []byte, w io.Writer) error {
		var answer T
		if err := json.Unmarshal(text, &answer); err != nil {
			return fmt.Errorf("the answer is not that of a gateway: %w", err)
		}
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		write(table, answer)
		return table.Flush()
	}
}

func writeGateway(w io.Writer, s gateway.Status) {
	state := "starting"
	switch {
	case s.Draining:
		state = "draining"
	case s.Ready:
		state = "ready"
	}
	for _, row := range []struct {
		name  string
		value any
	}{
		{"name", s.Name},
		{"state", state},
		{"listen", listenText(s)},
		{"started", s.Started.UTC().Format(time.RFC3339)},
		{"life", s.LifeText},
		{"loops", s.Loops},
		{"broadcast", strings.Join(s.Broadcast, " ")},
		{"connections", fmt.Sprintf("%s of %s", grouped(s.Connections), grouped(int64(s.MaxConns)))},
		{"sessions", grouped(s.Sessions)},
		{"subscriptions", grouped(s.Subscriptions)},
		{"topics", grouped(s.Topics)},
		{"published", grouped(int64(s.Published))},
		{"deliveries", grouped(int64(s.Deliveries))},
		{"replayed", grouped(int64(s.Replayed))},
		{"dropped", grouped(int64(s.Dropped))},
		{"mailbox entries", grouped(int64(s.Mailbox))},
		{"publish credit used", Size(s.CreditUsed)},
		{"replay rings", Size(s.RingBytes)},
		{"memory", memoryText(s)},
	} {
		fmt.Fprintf(w, "%s\t%v\n", row.name, row.value)
	}
}

// listenText are the addresses for devices.
func listenText(s gateway.Status) string {
	switch {
	case s.ListenTLS == "":
		return s.Listen
	case s.Listen == "":
		return s.ListenTLS + " (TLS)"
	}
	return s.Listen + ", " + s.ListenTLS + " (TLS)"
}

// memoryText is the memory in use, of how much, and what is given up for want of it.
func memoryText(s gateway.Status) string {
	text := Size(s.Memory >> 20 << 20).String()
	if s.MemoryBudget > 0 {
		text += " of " + Size(s.MemoryBudget).String()
	}
	if s.PressureStep > 0 {
		text += fmt.Sprintf(", step %d of 3 against the want of it", s.PressureStep)
	}
	return text
}

func writeSessions(w io.Writer, list gateway.SessionList) {
	fmt.Fprintln(w, "DEVICE\tREMOTE\tLOOP\tPENDING\tSUBSCRIPTIONS")
	for _, s := range list.Sessions {
		fmt.Fprintf(w, "%s/%s\t%s\t%d\t%s\t%s\n", s.Tenant, s.Device, s.Remote, s.Loop, Size(s.PendingBytes), strings.Join(s.Subscriptions, " "))
	}
}

func writeTopics(w io.Writer, list gateway.TopicList) {
	fmt.Fprintln(w, "TOPIC\tTENANT\tID\tLIFE\tNEXT\tKEPT\tSUBSCRIBERS")
	for _, t := range list.Topics {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d\t%d\t%d\n", t.Topic, t.Tenant, t.ID, t.Life, t.Next, t.Kept, t.Subscribers)
	}
}
