package gateway_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// refusal is one entry of wire/testdata/vectors.json.
type refusal struct {
	Name, After string
	Send        []string
	Expect      []struct {
		Type    string
		Meaning map[string]any
	}
	Closed bool
}

func refusals(t *testing.T) []refusal {
	t.Helper()
	b, err := os.ReadFile("../wire/testdata/vectors.json")
	require.NoError(t, err)
	var v struct{ Refusals []refusal }
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber() // a number is compared as it is written
	require.NoError(t, d.Decode(&v))
	require.NotEmpty(t, v.Refusals)
	return v.Refusals
}

// code is the code of the last answer.
func (r refusal) code() string {
	c, _ := r.Expect[len(r.Expect)-1].Meaning["code"].(string)
	return c
}

// play sends the frames in pieces; the error says what came instead of a refusal.
// Behind a frame that ends the connection stands what any device may send: it is
// not looked at.
func (r refusal) play(t *testing.T, g *gateway.Gateway, piece func(int) int, wait time.Duration) error {
	d := gatewaytest.Connect(t, g.Addr())
	b, err := hex.DecodeString(strings.Join(r.Send, ""))
	require.NoError(t, err)
	switch {
	case r.After == "welcome":
		d.Send(gatewaytest.Hello("").Append(nil))
		d.Expect(wire.TypeWelcome)
	case r.Closed:
		b = gatewaytest.Hello("").Append(b)
	}
	if r.Closed {
		b = wire.AppendPing(b, nil)
	}
	sendPieces(d, b, piece)
	for _, want := range r.Expect {
		f, err := d.Next(wait)
		if err != nil {
			return fmt.Errorf("not refused: waiting for %s: %w", want.Type, err)
		}
		if f.Type.String() != want.Type {
			return fmt.Errorf("not refused: %s came, want %s", f.Type, want.Type)
		}
		got := meaning(t, f)
		for key, value := range want.Meaning {
			require.Contains(t, got, key, "a field of %s that this test does not decode", want.Type)
			if fmt.Sprint(got[key]) != fmt.Sprint(value) {
				return fmt.Errorf("not refused: %s of %s is %v, want %v", key, want.Type, got[key], value)
			}
		}
	}
	if !r.Closed {
		d.Ping()
		return nil
	}
	if f, err := d.Next(wait); !errors.Is(err, io.EOF) {
		return fmt.Errorf("not closed: %s came, %w", f.Type, err)
	}
	return nil
}

func whole(n int) int { return n }

// Everything that the vectors say is refused, in any pieces: the offender gets
// the code, and is closed or not [W-7.2] [W-10.1]; the device beside it notices
// nothing.
func TestRefusals(t *testing.T) {
	g := gatewaytest.Start(t, gateway.Config{Loops: 2})
	check := witness(t, g)
	rng := rand.New(rand.NewPCG(1, 1))
	pieces := map[string]func(n int) int{
		"whole": whole,
		"bytes": func(int) int { return 1 },
		"any":   func(n int) int { return 1 + rng.IntN(n) },
	}
	for _, r := range refusals(t) {
		for name, piece := range pieces {
			t.Run(r.Name+" in "+name, func(t *testing.T) {
				require.NoError(t, r.play(t, g, piece, gatewaytest.Patience))
			})
		}
	}
	require.NoError(t, check())
}

// The control of TestRefusals: with the line that acts on a code taken out, what
// has that code passes. Frames whose length is refused are in TestFrameLimit; the
// other refusals are answers to requests that are not done, and guard nothing.
func TestRefusalsWithoutTheirGuard(t *testing.T) {
	byGuard := map[string][]refusal{}
	for _, r := range refusals(t) {
		switch {
		case r.code() == "a3":
		case r.Closed:
			byGuard["refusal "+r.code()] = append(byGuard["refusal "+r.code()], r)
		case r.code() == "c0" && !strings.HasPrefix(r.Name, "publish only"):
			byGuard["topicCheck"] = append(byGuard["topicCheck"], r)
		}
	}
	require.Len(t, byGuard, 5, "malformed, version, unknown type, out of order, and names")
	for guard, all := range byGuard {
		t.Run("without "+guard, func(t *testing.T) {
			g := gatewaytest.Start(t, gateway.Config{}.Without(guard))
			for _, r := range all {
				t.Run(r.Name, func(t *testing.T) {
					require.ErrorContains(t, r.play(t, g, whole, 300*time.Millisecond), "not refused")
				})
			}
		})
	}
}

// Frames may come in any pieces [W-1.1]: what is not whole stays until the rest
// has come. Without the guard the engine throws it away.
func TestAnyPieces(t *testing.T) {
	bothWays(t, "keepPart", "no WELCOME", func(t *testing.T, guard string) error {
		g := gatewaytest.Start(t, gateway.Config{}.Without(guard))
		check := witness(t, g)
		d := gatewaytest.Connect(t, g.Addr())
		// A pause: pieces that come together are one to the gateway.
		hello := gatewaytest.Hello("pieces").Append(nil)
		d.Send(hello[:1])
		if f, err := d.Next(50 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("%s came after one byte: %w", f.Type, err)
		}
		d.Send(hello[1:])
		if f, err := d.Next(2 * time.Second); err != nil || f.Type != wire.TypeWelcome {
			return errors.Join(fmt.Errorf("no WELCOME, %s came: %w", f.Type, err), check())
		}
		d.Ping()
		return check()
	})
}

// sendPieces ignores errors: the gateway may have hung up before the last piece.
func sendPieces(d *gatewaytest.Device, b []byte, piece func(int) int) {
	for len(b) > 0 {
		n := piece(len(b))
		if _, err := d.Conn.Write(b[:n]); err != nil {
			return
		}
		b = b[n:]
	}
}

// meaning is what the vectors say of the frames with which a gateway refuses.
func meaning(t *testing.T, f gatewaytest.Frame) map[string]any {
	t.Helper()
	h := func(b ...byte) string { return hex.EncodeToString(b) }
	switch f.Type {
	case wire.TypeError:
		e, err := wire.ParseRefusal(f.Body)
		require.NoError(t, err)
		return map[string]any{"code": h(byte(e.Code)), "type": h(byte(e.Type)), "number": e.Number}
	case wire.TypeClose:
		c, err := wire.ParseClose(f.Body)
		require.NoError(t, err)
		return map[string]any{"handle": c.Handle, "code": h(byte(c.Code))}
	case wire.TypeAck:
		a, err := wire.ParseAck(f.Body)
		require.NoError(t, err)
		return map[string]any{"seq": a.Seq, "code": h(byte(a.Code))}
	case wire.TypeSubscribed:
		s, err := wire.ParseSubscribed(f.Body)
		require.NoError(t, err)
		return map[string]any{"sub": s.Sub, "code": h(byte(s.Code)), "id": s.Topic}
	case wire.TypeUnsubscribed:
		u, err := wire.ParseUnsubscribed(f.Body)
		require.NoError(t, err)
		return map[string]any{"sub": u.Sub, "code": h(byte(u.Code))}
	case wire.TypePong:
		return map[string]any{"data": h(f.Body...)}
	}
	require.Fail(t, "no meaning", "%s", f.Type)
	return nil
}
