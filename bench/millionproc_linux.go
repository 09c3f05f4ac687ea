package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// loader is a generator process, as the harness sees it. It is used by one
// goroutine.
type loader struct {
	*process
	commands   *os.File
	lines      chan string // closed when the process has said all
	subscribed int         // devices, as it last said
	late       time.Duration
}

func startLoader(args []string) (*loader, error) {
	l := &loader{process: &process{cmd: command(args)}, lines: make(chan string, 64)}
	commandsRead, commandsWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	linesRead, linesWrite, err := os.Pipe()
	if err != nil {
		commandsRead.Close()
		commandsWrite.Close()
		return nil, err
	}
	l.cmd.Stdin, l.cmd.Stdout, l.commands = commandsRead, linesWrite, commandsWrite
	err = l.start(-1)
	commandsRead.Close()
	linesWrite.Close()
	if err != nil {
		commandsWrite.Close()
		linesRead.Close()
		return nil, err
	}
	go l.listen(linesRead)
	return l, nil
}

// listen passes on what the process says, until it ends. It may wait for someone
// to take a line: kill takes what is left.
func (l *loader) listen(from *os.File) {
	defer from.Close()
	defer close(l.lines)
	for r := bufio.NewReader(from); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		l.lines <- strings.TrimSpace(line)
	}
}

func (l *loader) order(format string, args ...any) error {
	if _, err := fmt.Fprintf(l.commands, format+"\n", args...); err != nil {
		return l.failed()
	}
	return nil
}

// hear takes in what has been said, without waiting.
func (l *loader) hear() error {
	for {
		select {
		case line, open := <-l.lines:
			if !open {
				return l.failed()
			}
			if _, _, err := l.understand(line); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// await waits for a line that begins with word and returns the rest of it. late
// becomes the lateness of this generator's publication if that is more.
func (l *loader) await(ctx context.Context, word string, late *time.Duration) (string, error) {
	for {
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case line, open := <-l.lines:
			if !open {
				return "", l.failed()
			}
			said, rest, err := l.understand(line)
			if err != nil {
				return "", err
			}
			if late != nil {
				*late = max(*late, l.late)
			}
			if said == word {
				return rest, nil
			}
		}
	}
}

// understand takes in one line.
func (l *loader) understand(line string) (word, rest string, err error) {
	word, rest, _ = strings.Cut(line, " ")
	if word == "subscribed" || word == "published" {
		n, err := strconv.Atoi(rest)
		if err != nil {
			return word, rest, fmt.Errorf("a generator said %q", line)
		}
		if word == "subscribed" {
			l.subscribed = n
		} else {
			l.late = time.Duration(n)
		}
	}
	return word, rest, nil
}

// failed is why the process is no more.
func (l *loader) failed() error {
	<-l.ended
	if said := l.errors.String(); said != "" {
		return errors.New("a generator failed: " + said)
	}
	return errors.New("a generator ended: " + l.cmd.ProcessState.String())
}

func (l *loader) kill() {
	l.cmd.Process.Kill() //nolint:errcheck // it may be gone already
	<-l.ended
	l.commands.Close()
	for range l.lines { // until listen has ended
	}
}

// freeAt are two addresses of a loopback address that nobody listens on now.
func freeAt(ctx context.Context, at netip.Addr) (device, admin netip.AddrPort, err error) {
	var free [2]netip.AddrPort
	for i := range free {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp4", netip.AddrPortFrom(at, 0).String())
		if err != nil {
			return device, admin, err
		}
		defer io.Closer(l).Close()
		free[i] = l.Addr().(*net.TCPAddr).AddrPort()
	}
	return free[0], free[1], nil
}
