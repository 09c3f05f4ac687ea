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
    {"name": "gw-2", "state": "linked", "since": "2030-01-02T03:04:03Z", "life": "0000000000000002", "address": "10.0.0.2:7313", "version": "v1", "devices": 0, "filters_differ": true}
  ],
  "links": [
    {"name": "gw-2", "state": "linked", "since": "2030-01-02T03:04:03Z", "delay_us": 412, "batches_sent": 100, "messages_sent": 250, "bytes_sent": 3072,
     "bytes_saved": 1024, "messages_received": 1000000, "bytes_retained": 64, "messages_skipped": 0, "messages_refused": 2},
    {"address": "10.0.0.3:7313", "state": "connecting", "error": "connection refused"}
  ],
  "streams": [
    {"gateway": "gw-1", "life": "0000000000000001", "state": "own", "streams": 3, "messages": 250},
    {"gateway": "gw-2", "life": "0000000000000002", "state": "open", "streams": 1, "messages": 1000000, "duplicates": 1, "fetched": 2, "missed": 3}
  ]
}`

func TestFleetTables(t *testing.T) {
	view, err := readFleet([]byte(fleetAnswer))
	require.NoError(t, err)
	require.Equal(t, 1, view.linked())
	var out strings.Builder
	require.NoError(t, writeFleet(&out, view, time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)))
	require.Equal(t, `fleet north, seen by gw-1; central: shared

GATEWAY  STATE                            ADDRESS        DEVICES  SINCE     LIFE              VERSION
gw-1     ready (this one)                 10.0.0.1:7313  1,234    24h ago   0000000000000001  v1
gw-2     linked, broadcasts other topics  10.0.0.2:7313  0        2s ago    0000000000000002  v1
gw-3     lost                             -              -        4m5s ago  0000000000000003  -

LINK TO        STATE                           SINCE   DELAY  SENT  BATCH  BYTES  SAVED  RECEIVED   RETAINED  SKIPPED  REFUSED
gw-2           linked                          2s ago  412µs  250   2.5    3KiB   25%    1,000,000  64        0        2
10.0.0.3:7313  connecting: connection refused  -       -      0     -      0      -      0          0         0        0

STREAMS OF  LIFE              STATE  STREAMS  MESSAGES   DUPLICATES  FETCHED  MISSED
gw-1        0000000000000001  own    3        250        0           0        0
gw-2        0000000000000002  open   1        1,000,000  1           2        3
`, out.String())
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
		"<html>": "not that of a gateway", "[]": "not that of a gateway", "{}": "not even that one", `{"gateways":[{"devices":"x"}]}`: "not that of a gateway",
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
	address, _ := answers(t, http.StatusOK, fmt.Sprintf(`{"cluster":"%[1]s","central":"%[1]s","gateways":[{"name":"%[1]s","state":"%[1]s","version":"%[1]s"}],"links":[{"name":"%[1]s","error":"%[1]s"}]}`, `\u001b[2J`))
	code, stdout, _ := ran(nil, "fleet", "--admin="+address)
	require.Equal(t, exitDone, code)
	require.NotContains(t, stdout, "\x1b")
	require.Contains(t, stdout, "[2J", "shown all the same")
}

func TestCentralInWords(t *testing.T) {
	for state, want := range map[string]string{
		"embedded": "embedded", "shared": "shared", "private": "the others have their own", "away": "until it is back", "off": "are refused", "": "unknown",
	} {
		require.Contains(t, centralText(state), want)
	}
}
