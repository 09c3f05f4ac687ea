package fanout_test

import (
	"fmt"

	"github.com/bellwire/bellwire/fanout"
)

// A message goes to an exact subscriber and to a group, on two loops.
func Example() {
	index, err := fanout.NewIndex(fanout.Config{Loops: 2, Topics: 1000})
	if err != nil {
		fmt.Println(err)
		return
	}
	kitchen, err := index.Ensure([]byte("broadcast/eu/kitchen"))
	if err != nil {
		fmt.Println(err)
		return
	}
	kitchen.Add(0, 7)
	group := index.Join(1, "broadcast/+/kitchen", 12, false)

	var post uint64
	kitchen.Stream().Publish(0,
		func(offset uint64, tracked bool) fanout.Entry {
			return fanout.Entry{Frame: []byte("hello")}
		},
		func(loops, number uint64, e fanout.Entry) {
			post = number
			fmt.Printf("offset %d to loops %02b: %s\n", e.Offset, loops, e.Frame)
		})

	for loop := range 2 {
		walk := kitchen.WalkFor(loop, post)
		for subs, link := walk.Next(100); len(subs) > 0; subs, link = walk.Next(100) {
			if link != nil && !link.Told() {
				fmt.Printf("loop %d tells %d of %s about %s\n", loop, link.Group().Len(), link.Group().Filter(), kitchen.Name())
				link.SetTold()
			}
			fmt.Printf("loop %d sends to %v\n", loop, subs)
		}
	}
	index.Leave(group, 12, false)
	fmt.Printf("loops %02b\n", kitchen.Loops())
	// Output:
	// offset 1 to loops 11: hello
	// loop 0 sends to [7]
	// loop 1 tells 1 of broadcast/+/kitchen about broadcast/eu/kitchen
	// loop 1 sends to [12]
	// loops 01
}

// A device that comes back reads what it missed and then joins the live list.
func ExampleReader() {
	index, err := fanout.NewIndex(fanout.Config{Loops: 1, Topics: 1000, Ring: fanout.RingLimits{Messages: 2}})
	if err != nil {
		fmt.Println(err)
		return
	}
	topic, err := index.Ensure([]byte("broadcast/news"))
	if err != nil {
		fmt.Println(err)
		return
	}
	stream := topic.Stream()
	for _, text := range []string{"one", "two", "three", "four"} {
		stream.Publish(0,
			func(uint64, bool) fanout.Entry { return fanout.Entry{Frame: []byte(text)} },
			func(_, _ uint64, _ fanout.Entry) {})
	}

	const now = 1
	reader := stream.Reader(2)
	for !reader.Join(func(next uint64) { fmt.Println("live from", next) }) {
		e, missed, ok := reader.Next(now)
		if missed > 0 {
			fmt.Println("missed", missed)
		}
		if ok {
			fmt.Printf("%d %s\n", e.Offset, e.Frame[e.Body:])
		}
	}
	// Output:
	// missed 1
	// 3 three
	// 4 four
	// live from 5
}
