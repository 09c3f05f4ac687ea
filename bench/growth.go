package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// runGrowth measures what a delivery costs with few and with many subscribers,
// all in turns, and how much the one is of the other.
func runGrowth(ctx context.Context, b *bed) error {
	b.Sizes = slices.Sorted(slices.Values(b.Sizes))
	if len(b.Sizes) < 2 || len(b.Windows) != 1 {
		return errors.New("growth is between two or more sizes, at one window")
	}
	few, many := b.Sizes[0], b.Sizes[len(b.Sizes)-1]
	b.r.set("subscribers", fmt.Sprint(b.Sizes))
	b.r.set("payload, bytes", b.Payload)
	b.r.set("slice, at least", b.Slice)
	for _, n := range b.Sizes {
		l := b.load()
		l.Devices = n
		if err := b.startAll(ctx, condition(n), l); err != nil {
			return err
		}
	}
	window := b.Windows[0]
	quantity := fmt.Sprintf("cost at %d over %d subscribers", many, few)
	err := b.takeTurns(ctx, func(costs map[string]map[int]float64) {
		for _, c := range b.candidates {
			low, high := costs[c.name+", "+condition(few)][window], costs[c.name+", "+condition(many)][window]
			if low > 0 && high > 0 {
				b.r.add(c.name+", "+quantity, "×", high/low)
			}
		}
	})
	if err != nil {
		return err
	}
	err = b.compare(quantity, func(name, over string) string {
		if name == gatewayName && over == "single" && few == 1000 && many == 15_000 && window == 1 && b.Pin && b.Payload == 64 {
			return "growth"
		}
		return ""
	})
	for _, n := range b.Sizes {
		err = errors.Join(err, b.compare(condition(n)+", "+inFlight(window, costQuantity), nil))
	}
	return err
}

func condition(subscribers int) string { return fmt.Sprintf("%d subscribers", subscribers) }
