package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const fleetAnswer = `{
  "cluster": "north", "central": "shared",
  "gateways": [
    {"name": "gw-3", "state": "lost", "since": "2030-01-02T03:00:00Z", "life": "0000000000000003", "devices": null},
    {"name": "gw-1", "self": true, "state": "ready", "since": "2030-01-01T03:04:05Z", "life": "0000000000000001", "address": "10.0.0.1:7313", "version": "v1", "devices": 1234},
    {"name": "gw-2", "state": "linked", "since": "2030-01-02T03:04:03Z", "life": "0000000000000002", "address": "10.0.0.2:7313", "version": "v1", "devices": 0, "filters_differ": true},
    {"name": "gw-4", "state": "listed", "since": null}
  ],
  "links": [
    {"name": "gw-2", "state": "linked", "error": "of the link before", "since": "2030-01-02T03:04:03Z", "delay_us": 412,
     "batches_sent": 100, "messages_sent": 250, "bytes_sent": 3072, "mean_batch": 2.5, "messages_received": 1000000, "batches_retained": 64,
     "batches_skipped": 1, "batches_skipped_received": 2, "fetched": 4, "missed": 5, "forged": 6, "refused": 7},
    {"name": "gw-3", "address": "10.0.0.3:7313", "state": "lost", "error": "nothing heard", "since": "2030-01-02T03:04:03Z"}
  ],
  "streams": [
    {"gateway": "gw-1", "life": "0000000000000001", "state": "own", "streams": 3},
    {"gateway": "gw-2", "life": "0000000000000002", "state": "open", "streams": 1000}
  ],
  "batches": {"batches": 100, "messages": 250, "bytes": 3072, "bytes_saved": 1024, "compression_us": 1500, "bytes_retained": 999, "batches_dropped": 8}
}`

func TestFleetTables(t *testing.T) {
	fleet, err := readFleet([]byte(fleetAnswer))
	require.NoError(t, err)
	require.Equal(t, 1, linkedTo(fleet))
	var out strings.Builder
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	require.NoError(t, writeFleet(&out, fleet, now))
	require.Equal(t, `fleet north, as gw-1 sees it; central service: shared

GATEWAY  STATE                            SINCE     ADDRESS        DEVICES  LIFE              VERSION
gw-1     ready (this one)                 24h ago   10.0.0.1:7313  1,234    0000000000000001  v1
gw-2     linked, broadcasts other topics  2s ago    10.0.0.2:7313  0        0000000000000002  v1
gw-3     lost                             4m5s ago  -              -        0000000000000003  -
gw-4     listed                           -         -              -        -                 -

LINK TO  STATE                SINCE   DELAY  SENT  BATCH  BYTES    WAITING  SKIPPED  RECEIVED   FETCHED  MISSED  REFUSED
gw-2     linked               2s ago  412µs  250   2.5    3.0 KiB  64       3        1,000,000  4        5       13
gw-3     lost: nothing heard  2s ago  -      0     -      0 B      0        0        0          0        0       0

batches made for all of them: 100 with 250 messages, 3.0 KiB for each gateway, 1.0 KiB saved by compression (25 %) in 1.5ms; 999 B kept until all have them; 8 given up before that

STREAMS OF  LIFE              STATE  STREAMS
gw-1        0000000000000001  own    3
gw-2        0000000000000002  open   1,000
`, out.String())

	out.Reset()
	alone, err := readFleet([]byte(`{"central":"off","gateways":[{"name":"gw","self":true,"state":"ready"}],"links":[],"streams":[{"gateway":"gw","state":"own"}]}`))
	require.NoError(t, err)
	require.NoError(t, writeFleet(&out, alone, now))
	require.Contains(t, out.String(), "fleet of one gateway, which has no links, as gw sees it; central service: off (topics")
	require.NotContains(t, out.String(), "LINK TO")
	require.NotContains(t, out.String(), "batches")
}

func TestBytesText(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 999: "999 B", 1000: "1.0 KiB", 1536: "1.5 KiB", 10 << 20: "10.0 MiB", 1 << 50: "1024.0 TiB"} {
		require.Equal(t, want, bytesText(n))
	}
}

func TestFleetCommand(t *testing.T) {
	address, asked := answers(t, http.StatusOK, fleetAnswer)
	code, stdout, stderr := ran(nil, "fleet", "--admin="+address)
	require.Equal(t, exitDone, code, stderr)
	require.Equal(t, "/v1/fleet", *asked)
	require.Contains(t, stdout, "gw-2     linked, broadcasts other topics")
	code, stdout, _ = ran(nil, "fleet", "--admin="+address, "--json")
	require.Equal(t, exitDone, code)
	require.Equal(t, fleetAnswer, stdout)

	for answer, want := range map[string]string{
		"<html>": "not that of a gateway", "[]": "not that of a gateway", "{}": "does not name itself", `{"gateways":[{"devices":"x"}]}`: "not that of a gateway",
	} {
		address, _ := answers(t, http.StatusOK, answer)
		code, stdout, stderr := ran(nil, "fleet", "--admin="+address)
		require.Equal(t, exitFailed, code, answer)
		require.Contains(t, stderr, want)
		require.Empty(t, stdout)
	}
	address, _ = answers(t, http.StatusNotFound, "404 page not found\n")
	code, _, stderr = ran(nil, "fleet", "--admin="+address)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "404 Not Found")
	code, _, stderr = ran(nil, "fleet", "--admin=off")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "off is no address")
}

// TestFleetOfStrangers: what other gateways call themselves cannot move the cursor of a terminal.
func TestFleetOfStrangers(t *testing.T) {
	address, _ := answers(t, http.StatusOK, fmt.Sprintf(`{"cluster":"%[1]s","central":"%[1]s","gateways":[{"self":true,"name":"%[1]s","state":"%[1]s","version":"%[1]s"}],"links":[{"name":"%[1]s","error":"%[1]s"}]}`, `\u001b[2J`))
	code, stdout, _ := ran(nil, "fleet", "--admin="+address)
	require.Equal(t, exitDone, code)
	require.NotContains(t, stdout, "\x1b")
	require.Contains(t, stdout, "[2J", "shown all the same")
}

func TestCentralInWords(t *testing.T) {
	for state, want := range map[string]string{
		"embedded": "embedded", "shared": "shared", "private": "each gateway has its own", "away": "until it is back", "off": "are refused", "": "unknown",
	} {
		require.Contains(t, centralText(state), want)
	}
}
