//go:build linux

package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/bellwire/bellwire/gateway"
	"github.com/bellwire/bellwire/gateway/gatewaytest"
	"github.com/bellwire/bellwire/wire"
)

// childRole says what this binary does instead of its tests: some controls stop
// the engine or the process, so they run in a child.
const childRole = "BELLWIRE_TEST_CHILD"

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		if err := child(role); err != nil {
			fmt.Fprintln(os.Stderr, "serve:", err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child serves a gateway until its standard input ends.
func child(role string) error {
	name, guard, _ := strings.Cut(role, " ")
	cfg := gateway.Config{Listen: "127.0.0.1:0", Loops: 2}.Without(guard)
	switch name {
	case "descriptors":
		cfg.Admin = "127.0.0.1:0"
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: childDescriptors, Max: childDescriptors}); err != nil {
			return err
		}
	case "loops":
		cfg.Admin, cfg.Loops = "127.0.0.1:0", 32
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: childDescriptors, Max: childDescriptors}); err != nil {
			return err
		}
		for range 100 { // files of whoever embeds the gateway
			f, err := os.Open(os.DevNull)
			if err != nil {
				return err
			}
			defer f.Close()
		}
	case "memory", "memory-group":
		memoryLimits(&cfg, name == "memory-group")
	default:
		hook, ok := strings.CutPrefix(name, "panic-")
		if !ok {
			return fmt.Errorf("no role %q", name)
		}
		panicIn(&cfg, hook)
	}
	g, err := gateway.New(cfg)
	if err != nil {
		return err
	}
	go func() {
		<-g.Ready()
		fmt.Println("listening", g.Addr(), g.AdminAddr())
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		_ = g.Close()
	}()
	return g.Serve(context.Background())
}

const childDescriptors = 1000

// running is a child: its addresses and, once stop was called or it ended by
// itself, its output and error.
type running struct {
	addr   net.Addr
	admin  string
	pid    int
	ended  <-chan error
	output *bytes.Buffer
	stop   func()
}

// startChild runs a role.
func startChild(t *testing.T, role string) running {
	t.Helper()
	return startCommand(t, role, os.Args[0])
}

// startCommand is startChild by way of a command.
func startCommand(t *testing.T, role string, command ...string) running {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Env = append(os.Environ(), childRole+"="+role)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	output := &bytes.Buffer{}
	cmd.Stderr = output
	require.NoError(t, cmd.Start())
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	require.NoError(t, err, "%s", output)
	words := strings.Fields(line)
	require.Len(t, words, 3, line)
	tcp, err := net.ResolveTCPAddr("tcp", words[1])
	require.NoError(t, err, line)
	done := make(chan error, 1)
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		done <- cmd.Wait()
	}()
	return running{tcp, words[2], cmd.Process.Pid, done, output, func() { _ = in.Close() }}
}

// flood connects many strangers. A gateway that survives still serves a device that
// was there before, and ends well; another one has stopped by itself.
func (r running) flood(t *testing.T, strangers int, first *gatewaytest.Device, survives bool) {
	t.Helper()
	for range strangers {
		c, err := net.DialTimeout("tcp", r.addr.String(), time.Second)
		if err != nil {
			break // the control has no gateway any more
		}
		defer c.Close()
	}
	if !survives {
		r.stoppedByItself(t)
		return
	}
	first.Ping()
	r.stop()
	require.NoError(t, <-r.ended, "%s", r.output)
}

// stoppedByItself awaits the end of a gateway that could not accept.
func (r running) stoppedByItself(t *testing.T) {
	t.Helper()
	select {
	case err := <-r.ended:
		require.ErrorContains(t, err, "exit status 3")
		require.Contains(t, r.output.String(), "the event engine stopped by itself")
	case <-time.After(gatewaytest.Patience):
		require.Fail(t, "it survived without its guard")
	}
}

// 5,000 connects against a limit of 1,000 descriptors: those who are proven stay
// and are answered, of the rest the oldest go with "later", and when all have gone the
// gateway takes devices again. Without the cap one failed accept ends it all.
func TestDescriptorsRunOut(t *testing.T) {
	const proven, flood = 100, 5000
	for _, guard := range []string{"", "connectionCap"} {
		t.Run("without "+guard, func(t *testing.T) {
			g := startChild(t, "descriptors "+guard)
			defer g.stop()
			var devices []*gatewaytest.Device
			for i := range proven {
				devices = append(devices, gatewaytest.Join(t, g.addr, fmt.Sprintf("d%d", i)))
			}
			refused := 0
			var conns []net.Conn
			for range flood {
				c, err := net.DialTimeout("tcp", g.addr.String(), time.Second)
				if err != nil {
					break // the control has no gateway any more
				}
				conns = append(conns, c)
			}
			if guard == "" {
				for _, c := range conns[:1000] {
					b := make([]byte, 64)
					require.NoError(t, c.SetReadDeadline(time.Now().Add(gatewaytest.Patience)))
					n, err := c.Read(b)
					require.NoError(t, err)
					typ, body, _, err := wire.Next(b[:n], wire.MaxControl)
					require.NoError(t, err)
					require.Equal(t, wire.TypeClose, typ)
					said, err := wire.ParseClose(body)
					require.NoError(t, err)
					require.Equal(t, wire.CodeOverload, said.Code)
					require.Positive(t, said.Retry)
					refused++
				}
				require.Equal(t, 1000, refused)
				for _, d := range devices {
					d.Ping()
				}
			}
			for _, c := range conns {
				_ = c.Close()
			}
			if guard != "" {
				g.stoppedByItself(t)
				return
			}
			require.EventuallyWithT(t, func(c *assert.CollectT) {
				conn, err := net.Dial("tcp", g.addr.String())
				if err != nil {
					c.Errorf("%v", err)
					return
				}
				defer conn.Close()
				_, _ = conn.Write(gatewaytest.Hello("after").Append(nil))
				_ = conn.SetReadDeadline(time.Now().Add(time.Second))
				b := make([]byte, 1)
				if _, err := conn.Read(b); err != nil || wire.Type(b[0]) != wire.TypeWelcome {
					c.Errorf("%v %x", err, b)
				}
			}, gatewaytest.Patience, 50*time.Millisecond)
			for _, d := range devices {
				d.Ping()
			}
			g.stop()
			require.NoError(t, <-g.ended, "%s", g.output)
		})
	}
}

// Admin connections that do nothing come out of the reserve, and it holds: devices
// are taken up to the limit and served. Without a limit of their own they would take
// the descriptors that accepting needs.
func TestIdleAdminsLeaveDescriptors(t *testing.T) {
	const admins, flood = 140, 950
	for _, guard := range []string{"", "adminConns"} {
		t.Run("without "+guard, func(t *testing.T) {
			g := startChild(t, "descriptors "+guard)
			defer g.stop()
			first := gatewaytest.Join(t, g.addr, "first")
			for range admins {
				c, err := net.Dial("tcp", g.admin)
				require.NoError(t, err)
				defer c.Close()
				_, err = c.Write([]byte("GET /healthz HTTP/1.1\r\nHost: admin\r\n\r\n"))
				require.NoError(t, err)
			}
			g.flood(t, flood, first, guard == "")
		})
	}
}

// A panic in a hook costs the connection that it was asked for; without the guard it
// costs the process.
func TestPanicCostsOneConnection(t *testing.T) {
	for _, hook := range hooksThatPanic {
		for _, guard := range []string{"", "recover"} {
			t.Run(hook+" without "+guard, func(t *testing.T) {
				t.Parallel()
				g := startChild(t, "panic-"+hook+" "+guard)
				defer g.stop()
				d := askHook(t, g.addr, hook)
				if guard != "" {
					require.Error(t, <-g.ended)
					require.Contains(t, g.output.String(), "panic: "+hook)
					return
				}
				d.ExpectClosed(wire.CodeOverload)
				askHook(t, g.addr, hook).ExpectClosed(wire.CodeOverload)
				gatewaytest.Join(t, g.addr, "good").Ping()
				g.stop()
				require.NoError(t, <-g.ended, "%s", g.output)
			})
		}
	}
}
