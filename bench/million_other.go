//go:build !linux

package bench

import (
	"context"
	"io"
	"os"
)

// Million needs Linux; here it says so.
func Million(context.Context, MillionConfig, io.Writer) (Result, error) {
	return Result{}, errUnsupported
}

// MillionLoad needs Linux; here it says so.
func MillionLoad(context.Context, MillionLoadConfig, *os.File, io.Writer) error {
	return errUnsupported
}
