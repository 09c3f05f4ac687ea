// Package history is what was published in a fleet of gateways and what each subscriber saw of it, and judges whether the
// promise was kept.
//
// A test, with simulated gateways or with processes, tells a [Checker] what happens while it happens, one [Event] at a
// time: from the side of those who publish and subscribe, never from what gateways say of themselves. The checker keeps a
// small state for each subscriber and about 32 bytes for each message, so that a run of minutes can be judged. In the end
// it says whether the run [Passed], [Failed], or was [Void]: less happened in it than it was meant to, so it shows nothing.
//
// The rules, each the number of a finding:
//
//   - G0 true: what is delivered was published, at that origin, and is not altered.
//   - G1 unique: a message reaches a subscriber once.
//   - G2 ordered: offsets rise within a life.
//   - G3 honest: a position that is left out lies in a gap that is told before the next message, or behind END. Whoever
//     subscribed before a message was published is owed it, or word of it: also if its connection, or the link between two
//     gateways, was cut meanwhile. END is not told of who is alive. What is announced as missing without a fault that
//     explains it is counted, and more than Rules.Spare of it is a finding.
//   - G7 timely: a message comes, or is announced as missing, soon after it was published, also if it was the last; END
//     comes soon after a gateway died.
//   - G8 bounded: nothing that has a limit grows beyond it. The test has to say what it saw, by [Gauge].
//
// Events are told in the order of time as far as one subscriber or one publisher is concerned; those of others may come a
// little earlier or later. Publish comes before the message is sent, Died before the gateway is killed.
//
// Messages of one origin and topic are numbered 1, 2, 3 … by whoever publishes them, one after the other, so that the
// checker knows which message a position holds even if nobody has seen it. [AppendPayload] writes that number into the
// payload.
package history
