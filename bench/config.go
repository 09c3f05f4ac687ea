package bench

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// Config says what Run measures and with what. Zero values mean the scenario's
// defaults, which Scenarios tells.
type Config struct {
	// Server is the command line of the gateway, with ListenPlaceholder and
	// AdminPlaceholder in it. Empty: none of ours.
	Server []string
	// Address is that of a server that runs already, instead of Server. Its CPU
	// time and memory are part of the result if PID says its process.
	Address string
	// PID is the process of the server at Address, on this machine.
	PID int
	// Protocol is what the server at Address speaks. Default bellwire.
	Protocol string
	// Peers are other servers to measure in the same run, of PeerNames. One that is
	// not installed is named in the result and left out.
	Peers []string
	// Tools is a directory where their programs are looked for, besides the PATH.
	Tools string
	// Floors are the modes of the floor to measure beside them: single, joined.
	// None: [NoFloor].
	Floors []string
	// CC compiles the floor. Default cc.
	CC string
	// FloorOptions set the floor's socket options, as floor/floor.c says. Default
	// those that the gateway sets unless told otherwise: sndbuf=65536,
	// usertimeout=30000 and keepalive=600.
	FloorOptions []string
	// Generator is a command that runs Generate; each server gets one of its own.
	// Empty: the load comes from this process.
	Generator []string
	// Command is what the result says to have produced it.
	Command string
	// Pin puts the servers on CPU 0 and the load on CPU 1, where it never sleeps
	// while a delivery is due; else all run where the system puts them.
	Pin bool

	Subscribers int           // devices that are subscribed
	Sizes       []int         // numbers of subscribers to compare, for growth
	Topics      int           // that they are spread over
	Topic       string        // its name, of many topics the start; the gateway must broadcast it
	Payload     int           // bytes of each message, at least 8
	Windows     []int         // messages published in one write; the next follows when every subscriber has them all
	Rate        float64       // messages per second of an open loop
	Pairs       int           // how often each server is measured, in turns
	Slice       time.Duration // of one measurement, at least
	Settle      time.Duration // from the last connection until memory is read
	AtOnce      int           // handshakes under way
	Share       float64       // of the subscribers that stop reading
	Churn       float64       // subscribers that leave and come, per second
}

// NoFloor stands for no floor at all.
const NoFloor = "none"

const defaultTopic = "broadcast/bench/telemetry" // 25 bytes

// over is the configuration with the defaults of a scenario for what is not set.
func (c Config) over(d Config) Config {
	c.Protocol = cmp.Or(c.Protocol, "bellwire")
	c.CC = cmp.Or(c.CC, "cc")
	c.Topic = cmp.Or(c.Topic, defaultTopic)
	c.Subscribers = cmp.Or(c.Subscribers, d.Subscribers)
	c.Topics = cmp.Or(c.Topics, d.Topics, 1)
	c.Payload = cmp.Or(c.Payload, d.Payload)
	c.Rate = cmp.Or(c.Rate, d.Rate)
	c.Pairs = cmp.Or(c.Pairs, d.Pairs)
	c.Slice = cmp.Or(c.Slice, d.Slice)
	c.Settle = cmp.Or(c.Settle, d.Settle)
	c.AtOnce = cmp.Or(c.AtOnce, d.AtOnce, handshakes)
	c.Share = cmp.Or(c.Share, d.Share)
	c.Churn = cmp.Or(c.Churn, d.Churn)
	for _, list := range []struct{ have, instead *[]int }{{&c.Sizes, &d.Sizes}, {&c.Windows, &d.Windows}} {
		if len(*list.have) == 0 {
			*list.have = *list.instead
		}
	}
	if len(c.Floors) == 0 {
		c.Floors = d.Floors
	}
	if slices.Contains(c.Floors, NoFloor) {
		c.Floors = nil
	}
	if c.FloorOptions == nil {
		c.FloorOptions = []string{"sndbuf=65536", "usertimeout=30000", "keepalive=600"}
	}
	return c
}

func (c Config) check() error {
	sizes := append([]int{c.Subscribers}, c.Sizes...)
	switch {
	case slices.Min(sizes) < 1 || c.Pairs < 1 || c.Topics < 1:
		return fmt.Errorf("%d subscribers, %d topics and %d pairs: take at least one of each", slices.Min(sizes), c.Topics, c.Pairs)
	case c.Payload < sequenceLen:
		return fmt.Errorf("a payload of %d bytes has no room for the message's number: take at least %d", c.Payload, sequenceLen)
	case len(c.Windows) > 0 && slices.Min(c.Windows) < 1:
		return errors.New("a window holds at least one message")
	case c.Rate < 0 || c.Churn < 0 || c.Share < 0 || c.Share >= 1:
		return fmt.Errorf("a rate of %g, a churn of %g, a share of %g: take none below 0, and a share below 1", c.Rate, c.Churn, c.Share)
	case c.Pin && runtime.NumCPU() < 2:
		return errors.New("pinning needs two CPUs: measure unpinned")
	case len(c.Server) > 0 && c.Address != "":
		return errors.New("a server to start and one that runs already: choose one")
	}
	systems := len(c.Floors) + len(c.Peers) + min(1, len(c.Server)+len(c.Address))
	if systems == 0 {
		return errors.New("nothing to measure: name a server, a peer or a floor")
	}
	need, advice := slices.Max(sizes)+64, "take fewer subscribers"
	if len(c.Generator) == 0 { // all devices are of this process
		need, advice = systems*(slices.Max(sizes)+1)+64, "take fewer subscribers or servers"
	}
	if uint64(need) > descriptorLimit() && runtime.GOOS == "linux" {
		return fmt.Errorf("%d servers with %d subscribers each need more descriptors than the %d a process may have: %s, or raise the limit (ulimit -n)",
			systems, slices.Max(sizes), descriptorLimit(), advice)
	}
	return nil
}

// cpus are those of the servers and of the load; -1 is any.
func (c Config) cpus() (server, load int) {
	if c.Pin {
		return 0, 1
	}
	return -1, -1
}

// topicNames are the topics' names; of several each ends with its number.
func (c Config) topicNames() []string {
	if c.Topics == 1 {
		return []string{c.Topic}
	}
	names := make([]string, c.Topics)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%05d", c.Topic, i)
	}
	return names
}
