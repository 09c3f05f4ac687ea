// Command bellwire runs a gateway and talks to one.
package main

import "os"

// cli is the whole command line.
type cli struct {
	Serve      serveCmd      `cmd:"" help:"Run a gateway."`
	Sub        subCmd        `cmd:"" help:"Subscribe to topics and print what arrives."`
	Pub        pubCmd        `cmd:"" help:"Publish a message, or each line of the standard input."`
	Demo       demoCmd       `cmd:"" help:"Start a fleet and many devices, kill gateways, and watch broadcasts arrive."`
	Status     statusCmd     `cmd:"" help:"Ask a gateway how it is."`
	Fleet      fleetCmd      `cmd:"" help:"Ask a gateway how its fleet is: gateways, links, streams, devices."`
	Config     configCmd     `cmd:"" help:"Write, check and show settings."`
	Cert       certCmd       `cmd:"" help:"Make a CA, certificates for gateways and devices, and revoke them."`
	Token      tokenCmd      `cmd:"" help:"Make and read the tokens that devices and people show."`
	Bench      benchCmd      `cmd:"" help:"Measure a gateway."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
	Completion completionCmd `cmd:"" help:"Print completion for a shell."`
}

func main() {
	os.Exit(int(run(os.Args[1:], processEnv())))
}

// run is main without the process.
func run(args []string, e *env) exitCode {
	if err := checkText(args); err != nil {
		return report(e.stderr, exitWith(exitUsage, err))
	}
	command, err := parse(args, e.getenv, e.stdout, e.stderr)
	if err == nil {
		err = command.Run(e)
	}
	return report(e.stderr, err)
}
