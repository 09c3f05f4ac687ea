package wire_test

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/wire"
)

func equal(a, b any) bool { return reflect.DeepEqual(a, b) }

// The classes are the ranges of 32 codes in order [W-7.1].
func TestCodeClass(t *testing.T) {
	names := []string{
		"fine", "at once", "later", "elsewhere", "never with this identity", "never with this software", "not this request",
		"the customer's own",
	}
	for i := range 256 {
		require.Equal(t, wire.Class(i/32), wire.Code(i).Class())
	}
	for _, v := range load(t).Codes {
		require.Equal(t, v.Range, names[wire.Code(unhex(t, v.Code)[0]).Class()], v.Code)
	}
	require.Equal(t, wire.ClassCustomer, wire.CodeCustomerSmallest.Class())
}

// The table of codes is append-only: a number keeps its text, and every number
// that has a text stands in the list.
func TestCodesAreAppendOnly(t *testing.T) {
	want := map[string]string{}
	for _, v := range load(t).Codes {
		want[v.Code] = v.Text
	}
	for i := range 256 {
		c := wire.Code(i)
		n := hex.EncodeToString([]byte{byte(i)})
		if text, ok := want[n]; ok {
			require.Equal(t, text, c.String())
			require.Equal(t, strings.ToLower(text), text)
		} else {
			require.Equal(t, fmt.Sprintf("code 0x%x", i), c.String())
		}
	}
}

func TestTypeNames(t *testing.T) {
	for _, c := range []struct {
		t    wire.Type
		base wire.Type
		name string
		skip bool
	}{
		{0x01, wire.TypeHello, "HELLO", false},
		{0x00, 0x00, "TYPE_0x0", false},
		{0x03, 0x03, "TYPE_0x3", false},
		{0x15, wire.TypeClose, "CLOSE", false},
		{0x3F, 0x3F, "TYPE_0x3f", false},
		{0x40, wire.TypePublish, "PUBLISH", false},
		{0x4F, wire.TypePublish, "PUBLISH", false},
		{0x50, wire.TypeMessage, "MESSAGE", false},
		{0x5F, wire.TypeMessage, "MESSAGE", false},
		{0x60, wire.TypeData, "DATA", false},
		{0x61, wire.TypeData, "DATA", false},
		{0x62, 0x62, "TYPE_0x62", false},
		{0x7F, 0x7F, "TYPE_0x7f", false},
		{0x80, wire.TypeGap, "GAP", true},
		{0x83, wire.TypeLive, "LIVE", true},
		{0xFF, 0xFF, "TYPE_0xff", true},
	} {
		require.Equal(t, c.base, c.t.Base(), c.name)
		require.Equal(t, c.name, c.t.String())
		require.Equal(t, c.skip, c.t.Skippable(), c.name)
	}
}

func TestSmallNames(t *testing.T) {
	for i, want := range []string{"oldest", "latest", "lossless", "policy 3"} {
		require.Equal(t, want, wire.Policy(i).String())
	}
	for i, want := range []string{"complete", "lost", "restarted", "how 3"} {
		require.Equal(t, want, wire.How(i).String())
	}
	for i, want := range []string{
		"reason 0", "slow", "superseded", "own", "too big", "lost between gateways", "no longer kept", "central link", "reason 8",
	} {
		require.Equal(t, want, wire.Reason(i).String())
	}
	require.Equal(t, "00000000000000ff", wire.Life(255).String())
}

func TestIdentity(t *testing.T) {
	for _, c := range []struct {
		in string
		ok bool
	}{
		{"default/kitchen-1", true},
		{"a/b", true},
		{"A9/z", true},
		{"t.x_y:z@w-v/d.x_y:z@w-v", true},
		{strings.Repeat("t", 64) + "/" + strings.Repeat("d", 128), true},
		{"", false},
		{"kitchen", false},
		{"/kitchen", false},
		{"default/", false},
		{"a/b/c", false},
		{strings.Repeat("t", 65) + "/d", false},
		{"t/" + strings.Repeat("d", 129), false},
		{".t/d", false},
		{"t/-d", false},
		{"t/_d", false},
		{"t/d e", false},
		{"t/d\n", false},
		{"t/dü", false},
		{"t/d#", false},
		{"t/d+", false},
		{"t/d*", false},
		{"t/d\x00", false},
		{"t/d$", false},
		{"t/d\xff", false},
	} {
		id, err := wire.ParseIdentity(c.in)
		if !c.ok {
			require.Error(t, err, "%q", c.in)
			continue
		}
		require.NoError(t, err, "%q", c.in)
		require.Equal(t, c.in, id.String())
	}
}

func TestCursor(t *testing.T) {
	var c wire.Cursor
	require.Zero(t, c.Len())
	want := []wire.Position{{Life: 1, Offset: 0}, {Life: 1<<64 - 1, Offset: wire.MaxVarint}, {Life: 2, Offset: 128}}
	for _, p := range want {
		c = c.AppendPosition(p)
	}
	require.Equal(t, 3, c.Len())
	var got []wire.Position
	for p := range c.Positions() {
		got = append(got, p)
	}
	require.Equal(t, want, got)
	for range c.Positions() {
		break // stopping early is fine
	}
	p, ok := c.Find(2)
	require.True(t, ok)
	require.Equal(t, want[2], p)
	_, ok = c.Find(3)
	require.False(t, ok)
	for n := range len(c) {
		require.LessOrEqual(t, c[:n].Len(), 2, "a cut cursor ends early")
	}

	// A cursor of 64 positions is one frame, one more is refused [W-4.4].
	most := wire.Subscribe{Sub: 1, Start: wire.StartCursor, Filter: []byte("a")}
	for i := range wire.MaxCursor {
		most.Cursor = most.Cursor.AppendPosition(wire.Position{Life: wire.Life(i), Offset: uint64(i)})
	}
	f, err := parseFrame(most.Append(nil))
	require.NoError(t, err)
	require.Equal(t, wire.MaxCursor, f.(wire.Subscribe).Cursor.Len())
	most.Cursor = most.Cursor.AppendPosition(wire.Position{Life: 65, Offset: 1})
	_, err = parseFrame(most.Append(nil))
	require.ErrorContains(t, err, "more than 64 positions")
}
