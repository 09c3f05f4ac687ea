//go:build e2e && linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long a script waits for what must come; polling is how often it looks.
const (
	patience = 20 * time.Second
	polling  = 10 * time.Millisecond
)

type jobsKey struct{}

// job is a process that a script started; what it writes is in the files NAME.out and NAME.err.
type job struct {
	command *exec.Cmd
	ended   chan struct{}
}

// kill ends the job and all that it started.
func (j *job) kill() {
	_ = j.signal(syscall.SIGKILL) // it may have ended
	<-j.ended
}

// signal is for the whole process group: a shell that is killed alone leaves its pipeline behind.
func (j *job) signal(s syscall.Signal) error { return syscall.Kill(-j.command.Process.Pid, s) }

func jobNamed(ts *testscript.TestScript, name string) *job {
	j := ts.Value(jobsKey{}).(map[string]*job)[name]
	if j == nil {
		ts.Fatalf("nothing was started as %s", name)
	}
	return j
}

// start NAME PROGRAM ARGUMENT… starts a process. With -tty before NAME its outputs are a terminal, shown in NAME.out.
func start(ts *testscript.TestScript, neg bool, args []string) {
	terminal := len(args) > 0 && args[0] == "-tty"
	if terminal {
		args = args[1:]
	}
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start [-tty] NAME PROGRAM ARGUMENT…")
	}
	name := args[0]
	program, err := exec.LookPath(filepathIn(ts, args[1]))
	ts.Check(err)
	command := exec.Command(program, args[2:]...)
	command.Dir = ts.MkAbs(".")
	command.Env = environmentOf(ts)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that signals reach all of it
	out, err := os.Create(ts.MkAbs(name + ".out"))
	ts.Check(err)
	j := &job{command: command, ended: make(chan struct{})}
	wait := func() {
		_ = command.Wait() // how it ended is in ProcessState
	}
	if terminal {
		copied, err := onTerminal(command, out)
		ts.Check(err)
		wait = func() {
			_ = command.Wait()
			copied()
		}
	} else {
		command.Stdout = out
		command.Stderr, err = os.Create(ts.MkAbs(name + ".err"))
		ts.Check(err)
		ts.Check(command.Start())
	}
	ts.Value(jobsKey{}).(map[string]*job)[name] = j
	go func() {
		wait()
		close(j.ended)
	}()
}

// filepathIn finds a program as the script would: by its PATH.
func filepathIn(ts *testscript.TestScript, program string) string {
	if strings.Contains(program, "/") {
		return ts.MkAbs(program)
	}
	for _, dir := range strings.Split(ts.Getenv("PATH"), string(os.PathListSeparator)) {
		if info, err := os.Stat(dir + "/" + program); err == nil && info.Mode()&0o111 != 0 {
			return dir + "/" + program
		}
	}
	return program
}

// environmentOf is what a script's processes may see: its own variables of Bellwire, and a few of the system.
func environmentOf(ts *testscript.TestScript) []string {
	var all []string
	for _, name := range []string{
		"PATH", "HOME", "TMPDIR", "NO_COLOR", "NOTIFY_SOCKET", "BELLWIRE_SERVER", "BELLWIRE_ADMIN", "BELLWIRE_LOG_LEVEL", "BELLWIRE_LISTEN", "BELLWIRE_FORMAT",
	} {
		if value := ts.Getenv(name); value != "" {
			all = append(all, name+"="+value)
		}
	}
	return all
}

// await FILE PATTERN [N] waits until N lines of a file match, 1 unless said.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: await FILE PATTERN [N]")
	}
	want := 1
	if len(args) == 3 {
		var err error
		want, err = strconv.Atoi(args[2])
		ts.Check(err)
	}
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	var text []byte
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(polling) {
		text, err = os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && len(pattern.FindAll(text, -1)) >= want {
			return
		}
	}
	ts.Fatalf("%s has no %d times %q after %s:\n%s", args[0], want, args[1], patience, text)
}

var served = regexp.MustCompile(`"msg":"serving".*"listen":"([^"]*)",.*"admin":"([^"]*)"`)

// address NAME waits until the gateway that was started as NAME serves, and sets $NAME and $NAME_admin to its addresses.
func address(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: address NAME")
	}
	await(ts, false, []string{args[0] + ".err", served.String()})
	found := served.FindStringSubmatch(ts.ReadFile(args[0] + ".err"))
	ts.Setenv(args[0], found[1])
	ts.Setenv(args[0]+"_admin", found[2])
}

var servedTLS = regexp.MustCompile(`"msg":"serving".*"listen_tls":"([^"]*)"`)

// secure NAME sets $NAME_tls, and $NAME_admin, of a gateway that was started as NAME and speaks TLS.
func secureAddress(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: secure NAME")
	}
	await(ts, false, []string{args[0] + ".err", servedTLS.String()})
	log := ts.ReadFile(args[0] + ".err")
	ts.Setenv(args[0]+"_tls", servedTLS.FindStringSubmatch(log)[1])
	if found := regexp.MustCompile(`"msg":"serving".*"admin":"([^"]*)"`).FindStringSubmatch(log); found != nil {
		ts.Setenv(args[0]+"_admin", found[1])
	}
}

var signals = map[string]syscall.Signal{
	"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL, "STOP": syscall.SIGSTOP,
}

// signal NAME SIGNAL sends one, to the process and all that it started.
func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 || signals[args[1]] == 0 {
		ts.Fatalf("usage: signal NAME INT|TERM|HUP|KILL|STOP")
	}
	ts.Check(jobNamed(ts, args[0]).signal(signals[args[1]]))
}

// ended NAME CODE waits until a process has ended and checks its exit code; -1 is a process that a signal ended.
func ended(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: ended NAME CODE")
	}
	j := jobNamed(ts, args[0])
	select {
	case <-j.ended:
	case <-time.After(patience):
		ts.Fatalf("%s has not ended after %s", args[0], patience)
	}
	if code := strconv.Itoa(j.command.ProcessState.ExitCode()); code != args[1] {
		ts.Fatalf("%s ended with %s, not %s", args[0], code, args[1])
	}
}

// exits CODE PROGRAM ARGUMENT… is exec with an exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGUMENT…")
	}
	code := 0
	var failed *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &failed):
		code = failed.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("%s ended with %d, not %s", args[1], code, args[0])
	}
}

// until NAME FIELD VALUE waits until the gateway that was started as NAME says so in GET /v1/gateway.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: until NAME FIELD VALUE")
	}
	var last any
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(polling) {
		var all map[string]any
		response, err := http.Get("http://" + ts.Getenv(args[0]+"_admin") + "/v1/gateway")
		ts.Check(err)
		err = json.NewDecoder(response.Body).Decode(&all)
		response.Body.Close()
		ts.Check(err)
		if last = all[args[1]]; fmt.Sprint(last) == args[2] {
			return
		}
	}
	ts.Fatalf("%s of %s is %v, not %s", args[1], args[0], last, args[2])
}
