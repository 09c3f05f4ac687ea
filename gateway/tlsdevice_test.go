package gateway_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/gateway/secure"
	"github.com/bellwire/bellwire/wire"
)

// A device proves itself by a certificate, a token or a static key, and has by each
// what every device has: publish, subscribe, and carrying on where it was (MS-17).
func TestDevicesBehindTLS(t *testing.T) {
	s := gatewaytest.NewSite(t)
	secret, known, err := secure.NewStaticKey(secure.StaticKey{Identity: gatewaytest.Identity(t, "acme/kitchen")})
	require.NoError(t, err)
	g := s.Start(gateway.Config{Loops: 2, Trust: s.Trust(func(c *secure.Config) { c.StaticKeys = []secure.StaticKey{known} })})
	for name, by := range map[string]struct {
		cfg   *tls.Config
		token string
	}{
		"certificate": {s.Config(s.Device("acme/kitchen")), ""},
		"token":       {s.Config(), s.Token("acme/kitchen", nil)},
		"static key":  {s.Config(), secret},
		"both":        {s.Config(s.Device("acme/kitchen")), s.Token("acme/kitchen", nil)},
	} {
		t.Run(name, func(t *testing.T) {
			topic := "broadcast/" + name[:4]
			d := gatewaytest.JoinTLS(t, g.TLSAddr(), by.cfg, by.token)
			id := d.Subscribe(wire.Subscribe{Sub: 1, Track: true, Filter: []byte(topic)})
			stream := d.Stream()
			require.Equal(t, wire.CodeOK, acked(t, d, topic, "one"))
			require.Equal(t, "one", string(d.Message().Payload))
			d.Send(wire.Close{}.Append(nil))
			d.ExpectClosed(wire.CodeOK)
			_, err := g.Publish(context.Background(), "acme", topic, []byte("two"))
			require.NoError(t, err)
			again := gatewaytest.JoinTLS(t, g.TLSAddr(), by.cfg, by.token)
			again.Subscribe(wire.Subscribe{Sub: 1, Track: true, Start: wire.StartCursor, Filter: []byte(topic), Cursor: wire.Cursor{}.AppendPosition(wire.Position{Life: stream.Life, Offset: stream.Next})})
			require.Equal(t, stream.Next+1, again.Stream().Next)
			m := again.Message()
			require.Equal(t, id, m.Topic)
			require.Equal(t, "two", string(m.Payload))
			again.Expect(wire.TypeLive)
			other := gatewaytest.JoinTLS(t, g.TLSAddr(), s.Config(s.Device("other/kitchen")), "")
			other.Subscribe(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/#")})
			require.Equal(t, wire.CodeOK, acked(t, again, topic, "three"))
			other.Ping() // another tenant: the same name is another topic
		})
	}
}

// acked publishes and awaits ACK where the device gets its own message later.
func acked(t *testing.T, d *gatewaytest.Device, topic, payload string) wire.Code {
	t.Helper()
	return d.Publish(uint64(time.Now().UnixNano()), topic, payload)
}

// chunked writes what TLS sends in pieces of any size, with a pause between them.
type chunked struct {
	net.Conn
	piece int
}

func (c chunked) Write(b []byte) (int, error) {
	for at := 0; at < len(b); at += c.piece {
		if _, err := c.Conn.Write(b[at:min(at+c.piece, len(b))]); err != nil {
			return at, err
		}
		if c.piece < 100 {
			time.Sleep(100 * time.Microsecond)
		}
	}
	return len(b), nil
}

// Records in any pieces, frames in any records, and frames over many records.
func TestRecordsInPieces(t *testing.T) {
	s := gatewaytest.NewSite(t)
	g := s.Start(gateway.Config{Loops: 1})
	cfg := s.Config(s.Device("acme/kitchen"))
	for _, piece := range []int{1, 7, 97, 1000, 40000} {
		t.Run(fmt.Sprint(piece), func(t *testing.T) {
			d := gatewaytest.Connect(t, g.TLSAddr())
			d.Conn = tls.Client(chunked{d.Conn, piece}, cfg)
			d.Send(gatewaytest.ByCertificate().Append(nil))
			d.Expect(wire.TypeWelcome)
			d.Subscribe(wire.Subscribe{Sub: 1, Filter: []byte("broadcast/pieces")})
			// A frame of three bytes in three records.
			ping := wire.AppendPing(nil, nil)
			for _, b := range ping {
				d.Send([]byte{b})
			}
			d.Expect(wire.TypePong)
			if piece < 97 {
				return
			}
			// One of 60 KiB takes four.
			payload := bytes.Repeat([]byte("0123456789abcdef"), 60<<6)
			d.Send(wire.Publish{Name: []byte("broadcast/pieces"), Payload: payload}.Append(nil))
			for {
				f, err := d.Next(gatewaytest.Patience)
				require.NoError(t, err)
				if f.Type.Base() != wire.TypeMessage {
					continue
				}
				m, err := wire.ParseMessage(f.Type, f.Body)
				require.NoError(t, err)
				require.Equal(t, payload, m.Payload)
				break
			}
		})
	}
}

// A device that does not read falls behind as a plain one does: the oldest goes, and
// the gap says how many.
func TestSlowBehindTLS(t *testing.T) {
	const published = 3000
	s := gatewaytest.NewSite(t)
	g := s.Start(gateway.Config{Loops: 1, Limits: gateway.Limits{SendBuffer: 16 << 10, StuckAfter: time.Minute, PendingAge: time.Minute}})
	d := gatewaytest.JoinTLS(t, g.TLSAddr(), s.Config(s.Device("acme/slow")), "").Slow()
	d.Subscribe(wire.Subscribe{Sub: 1, Track: true, Filter: []byte("broadcast/x")})
	d.Stream()
	payload := make([]byte, 1000)
	for i := range published {
		binary.BigEndian.PutUint32(payload, uint32(i))
		_, err := g.Publish(t.Context(), "acme", "broadcast/x", payload)
		require.NoError(t, err)
	}
	got, missed, last := 0, 0, -1
	for got+missed < published {
		f, err := d.Next(gatewaytest.Patience)
		require.NoError(t, err, "after %d and %d", got, missed)
		switch f.Type.Base() {
		case wire.TypeMessage:
			m, err := wire.ParseMessage(f.Type, f.Body)
			require.NoError(t, err)
			n := int(binary.BigEndian.Uint32(m.Payload))
			require.Greater(t, n, last)
			require.Equal(t, got+missed, n, "the gap stands where the messages are missing")
			got, last = got+1, n
		case wire.TypeGap:
			gap, err := wire.ParseGap(f.Body)
			require.NoError(t, err)
			require.Equal(t, wire.ReasonSlow, gap.Reason)
			missed += int(gap.Count)
		default:
			require.Fail(t, "unexpected", "%s", f.Type)
		}
	}
	require.Positive(t, missed)
	d.Ping()
}

// What a device has sent before it says that it will send nothing more counts, to
// the last frame, also if that is more than one read has its turn for.
func TestHalfCloseBehindTLS(t *testing.T) {
	bothWays(t, "lastFrames", "missing", func(t *testing.T, guard string) error {
		const published = 800
		s := gatewaytest.NewSite(t)
		g := s.Start(gateway.Config{Loops: 1}.Without(guard))
		seen := gatewaytest.JoinTLS(t, g.TLSAddr(), s.Config(s.Device("acme/seen")), "")
		seen.Subscribe(wire.Subscribe{Sub: 1, Track: true, Filter: []byte("broadcast/x")})
		seen.Stream()
		d := gatewaytest.Connect(t, g.TLSAddr())
		joined := &held{Conn: d.Conn}
		client := tls.Client(joined, s.Config(s.Device("acme/brief")))
		d.Conn = client
		d.Send(gatewaytest.ByCertificate().Append(nil))
		d.Expect(wire.TypeWelcome)
		// All of it, and the end, in one write.
		var b []byte
		for range published {
			b = wire.Publish{Name: []byte("broadcast/x")}.Append(b)
		}
		joined.hold = true
		d.Send(b)
		require.NoError(t, client.CloseWrite())
		require.NoError(t, joined.SetWriteDeadline(time.Time{})) // the alert has set one
		_, err := joined.Conn.Write(joined.b)
		require.NoError(t, err)
		for {
			if _, err := d.Next(gatewaytest.Patience); err != nil {
				require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
				break
			}
		}
		for i := range published {
			f, err := seen.Next(time.Second)
			if err != nil {
				return fmt.Errorf("%d messages are missing", published-i)
			}
			require.Equal(t, wire.TypeMessage, f.Type.Base())
		}
		return nil
	})
}

// held keeps what is written, when it is told to or after so many writes.
type held struct {
	net.Conn
	hold  bool
	after int // 0: any number
	b     []byte
}

func (h *held) Write(b []byte) (int, error) {
	if h.after > 0 {
		h.after--
		defer func() { h.hold = h.hold || h.after == 0 }()
	}
	if h.hold {
		h.b = append(h.b, b...)
		return len(b), nil
	}
	return h.Conn.Write(b)
}

// A drain tells devices behind TLS and lets them go one by one; one that stays is
// told at the end, in an orderly way.
func TestDrainBehindTLS(t *testing.T) {
	s := gatewaytest.NewSite(t)
	g := s.Start(gateway.Config{DrainSpread: 200 * time.Millisecond, DrainWithin: 300 * time.Millisecond})
	cfg := s.Config(s.Device("acme/stays"))
	leaves := gatewaytest.JoinTLS(t, g.TLSAddr(), s.Config(s.Device("acme/leaves")), "")
	stays := gatewaytest.JoinTLS(t, g.TLSAddr(), cfg, "")
	// One between the handshake and HELLO, and one in its hello.
	shaken := gatewaytest.Shake(t, g.TLSAddr(), s.Config(s.Device("acme/shaken")))
	begun := gatewaytest.Connect(t, g.TLSAddr())
	begun.Send([]byte{22, 3, 1, 2, 0, 1, 0})
	done := make(chan error, 1)
	go func() { done <- g.Shutdown(context.Background()) }()
	leaves.Expect(wire.TypeGoaway)
	leaves.Send(wire.Close{}.Append(nil))
	leaves.ExpectClosed(wire.CodeOK)
	stays.Expect(wire.TypeGoaway)
	stays.ExpectClosed(wire.CodeDraining)
	shaken.ExpectClosed(wire.CodeDraining)
	// There are no keys to tell it with; frames would look like a broken server.
	b, err := io.ReadAll(begun.Conn)
	require.Empty(t, b)
	_ = err // the end or a reset
	require.NoError(t, <-done)
}

// What openssl's client is sent and sends: HELLO piped in as bytes, WELCOME out, on a
// first connection and on a resumed one, by a certificate that openssl has made.
func TestOpenSSLClient(t *testing.T) {
	tool, err := exec.LookPath("openssl")
	require.NoError(t, err, "install openssl to run this test")
	dir := t.TempDir()
	run := func(args ...string) {
		c := exec.CommandContext(t.Context(), tool, args...)
		c.Dir = dir
		out, err := c.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", "ca-key.pem", "-out", "ca.pem", "-days", "3", "-subj", "/CN=CA of openssl")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ext"), []byte("subjectAltName=URI:bellwire://acme/tool\nextendedKeyUsage=clientAuth\n"), 0o600))
	run("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", "tool-key.pem", "-out", "tool.csr", "-subj", "/CN=tool")
	run("x509", "-req", "-in", "tool.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "2", "-extfile", "ext", "-out", "tool.pem")
	pem, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	require.NoError(t, err)
	roots, err := secure.ParseCertificates(pem)
	require.NoError(t, err)
	s := gatewaytest.NewSite(t)
	g := s.Start(gateway.Config{Trust: s.Trust(func(c *secure.Config) { c.DeviceCAs = []secure.CA{{Roots: roots}} })})
	for _, resumed := range []bool{false, true} {
		args := []string{"s_client", "-connect", g.TLSAddr().String(), "-tls1_3", "-cert", "tool.pem", "-key", "tool-key.pem", "-sess_out", "session.pem", "-nocommands", "-ign_eof"}
		if resumed {
			args = append(args, "-sess_in", "session.pem")
		}
		c := exec.CommandContext(t.Context(), tool, args...)
		c.Dir = dir
		// CLOSE ends it, so that the tool ends with it.
		hello := gatewaytest.ByCertificate().Append(nil)
		c.Stdin = bytes.NewReader(wire.Close{}.Append(wire.AppendPing(hello, []byte("toolping"))))
		out, err := c.Output()
		require.NoError(t, err, "%s", out)
		if resumed {
			require.Contains(t, string(out), "Reused, TLSv1.3")
		} else {
			require.Contains(t, string(out), "New, TLSv1.3")
		}
		require.Contains(t, string(out), string(wire.AppendPong(nil, []byte("toolping"))))
		require.Contains(t, string(out), string([]byte{byte(wire.TypeWelcome), 0x12, wire.Version}))
		sessionRows(t, g, 0)
	}
}
