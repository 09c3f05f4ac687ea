package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/bellwire/bellwire/wire"
)

// maxLine is the longest line, with its end, that some gateway could take.
const maxLine = 1 << wire.MaxFrameLog

// errLongLine: one line is longer than that; what follows can still be read.
var errLongLine = errors.New("longer than 1MiB, which no gateway takes")

// readLine is the next line without its end. Of a line that is too long nothing is kept.
func readLine(r *bufio.Reader) ([]byte, error) {
	var text []byte
	for long := false; ; {
		part, err := r.ReadSlice('\n')
		if long = long || len(text)+len(part) > maxLine; long {
			text = nil
		} else {
			text = append(text, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (!errors.Is(err, io.EOF) || len(text) == 0 && !long):
			return nil, err
		case long:
			return nil, errLongLine
		}
		return bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r")), nil
	}
}

// linesOf hands out the lines of r without their ends, at most so many if most is not 0; in the place of one that is too
// long stands errLongLine. A reader that blocks does not keep it from ending with the context.
func linesOf(ctx context.Context, r io.Reader, most int) source {
	type line struct {
		text []byte
		err  error
	}
	lines := make(chan line)
	go func() {
		defer close(lines)
		reader := bufio.NewReader(r)
		for n := 0; most == 0 || n < most; n++ {
			text, err := readLine(reader)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil && !errors.Is(err, errLongLine) {
				err = fmt.Errorf("reading the standard input: %w", err)
			}
			select {
			case lines <- line{text, err}:
			case <-ctx.Done():
				return
			}
			if err != nil && !errors.Is(err, errLongLine) {
				return
			}
		}
	}()
	return func() ([]byte, bool, error) {
		select {
		case l, more := <-lines:
			return l.text, more, l.err
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}
