package bench

import (
	"fmt"
	"time"
)

// NewResult is an empty result of something that is measured outside of this package, on this machine and from now on.
func NewResult(name, command, server string) *Result {
	return &Result{
		Name: name, Scenario: name, Date: time.Now().UTC().Truncate(time.Second), Command: command, Server: server, Machine: thisMachine(),
	}
}

// Set states a condition of the run.
func (r *Result) Set(name string, value any) { r.set(name, value) }

// Add appends a sample to a series, which it starts if need be.
func (r *Result) Add(series, unit string, v float64) { r.add(series, unit, v) }

// Summarize makes a figure of each series, under the same name, and has it answer the target that asks for the series.
func (r *Result) Summarize() error {
	for _, s := range r.Series {
		if err := r.figure(s.Name, answeredBy(s.Name), s.Name); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	return nil
}
