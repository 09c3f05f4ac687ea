//go:build !linux

package gateway

import (
	"errors"
	"syscall"
)

// sendNow says that the socket is full, so that everything goes through gnet.
func sendNow(int32, []byte) (int, error) { return 0, syscall.EAGAIN }

func again(err error) bool { return errors.Is(err, syscall.EAGAIN) }

func finish(int32) {}

func unsent(int32) int { return 0 }

func tune(int, int) {}
