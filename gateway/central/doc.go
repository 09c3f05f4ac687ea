// Package central is everything that Bellwire asks of NATS with JetStream.
package central
