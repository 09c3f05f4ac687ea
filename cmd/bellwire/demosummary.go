package main

import (
	"fmt"
	"io"
)

// summarize prints the account of all devices; its error is what does not add up. killed says whether gateways were: only
// then may something be lost, and only if that was said.
func (d *demoDevices) summarize(w io.Writer, killed bool) error {
	page, a := d.ledger.page(), d.account(d.all)
	published := page.count(fatePublished)
	expected := published * int64(len(d.all))
	fmt.Fprintf(w, "\n%s broadcasts × %s devices = %s deliveries: %s arrived, %s announced as gaps", grouped(published), grouped(int64(len(d.all))),
		grouped(expected), grouped(a.arrived), grouped(a.gaps))
	if killed {
		fmt.Fprintf(w, ", %s behind the end of a killed gateway's stream", grouped(a.ended))
		if a.vague > 0 {
			fmt.Fprintf(w, ", %s behind a gap of unknown size", grouped(a.vague))
		}
	}
	fmt.Fprintln(w)
	if killed {
		fmt.Fprintf(w, "%s of them were resumed after a reconnect; devices were told %s ends of streams, and %s gaps of unknown size\n",
			grouped(d.resumed.Load()), grouped(d.ends.Load()), grouped(d.unsized.Load()))
	}
	if unknown := page.count(fateUnknown); unknown > 0 {
		fmt.Fprintf(w, "%s more were under way to a gateway when it was killed, and nobody knows whether it took them\n", grouped(unknown))
	}
	fmt.Fprintf(w, "latency: half within %s, 99 %% within %s, slowest %s", latencyText(d.percentile(50)), latencyText(d.percentile(99)), latencyText(d.percentile(100)))
	if killed {
		fmt.Fprint(w, ", of those that were not resumed")
	}
	fmt.Fprintln(w)
	switch {
	case a.wrong != (demoWrongs{}):
		return a.wrong.err()
	case a.missing > 0:
		return fmt.Errorf("%s deliveries are not accounted for", grouped(a.missing))
	case !killed && d.unsized.Load() > 0:
		return fmt.Errorf("%s gaps of unknown size were announced, and no gateway was killed", grouped(d.unsized.Load()))
	case a.arrived+a.gaps+a.ended+a.vague != expected:
		return fmt.Errorf("the sum is %s, not %s", grouped(a.arrived+a.gaps+a.ended+a.vague), grouped(expected))
	case published == 0:
		return fmt.Errorf("no broadcast was published")
	}
	return nil
}
