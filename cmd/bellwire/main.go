// Command bellwire runs a gateway and talks to one.
package main

import "os"

// cli is the whole command line.
type cli struct {
	Config     configCmd     `cmd:"" help:"Write, check and show settings."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
	Completion completionCmd `cmd:"" help:"Print completion for a shell."`
}

func main() {
	os.Exit(int(run(os.Args[1:], processEnv())))
}

// run is main without the process.
func run(args []string, e *env) exitCode {
	command, err := parse(args, e.getenv, e.stdout, e.stderr)
	if err == nil {
		err = command.Run(e)
	}
	return report(e.stderr, err)
}
