// Package peer links the gateways of a fleet: each one sends what entered the fleet at it to every other one, once.
package peer
