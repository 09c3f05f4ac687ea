package gateway

import "github.com/bellwire/bellwire/fanout"

// handle names a session from outside its loop: code there holds no session,
// because it may be gone, and its slot another's, by the time a loop looks.
type handle struct {
	loop uint32
	slot fanout.Sub
	gen  uint32
}
