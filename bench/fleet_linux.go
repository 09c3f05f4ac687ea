package bench

import (
	"context"
	"errors"
	"time"
)

// What befalls a fleet: devices that stop reading, leave and come, lose their
// server.

// stop makes the first subscribers stop reading. All that was published must
// have arrived.
func (d *devices) stop() {
	for i := range d.all[:d.Stopped] {
		v := &d.all[i]
		if !v.stopped {
			v.stopped = true
			d.audience[v.topic]--
		}
	}
}

// replace lets n subscribers leave, beginning with one, and as many come. All
// that was published must have arrived.
func (d *devices) replace(ctx context.Context, first, n int) error {
	if d.TLS != nil {
		return errors.New("devices with TLS stay")
	}
	for k := range n {
		d.shut((first+k)%d.Devices, k%2 == 0)
	}
	return d.openFrom(ctx, 0, d.Devices)
}

// rejoin connects all devices anew, each as often as it takes, with a pause
// between its attempts. It returns how many attempts failed.
func (d *devices) rejoin(ctx context.Context, pause time.Duration) (failed int, err error) {
	for i := range d.all {
		d.shut(i, true)
	}
	d.out, d.credit, d.failed, d.retry = d.out[:0], 0, 0, pause
	defer func() { d.retry = 0 }()
	err = d.open(ctx)
	return d.failed, err
}
