package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/bellwire/bellwire/client"
	"github.com/bellwire/bellwire/wire"
)

// maxCursorFile bounds what is read: 1,024 topics with names of 255 bytes and 16 lives each take less.
const maxCursorFile = 16 << 20

// cursorEntry is how far one life of a topic was printed. The file lists the topic that was heard of last at the end.
type cursorEntry struct {
	Topic  string `json:"topic"`
	Life   string `json:"life"`   // 16 hexadecimal digits
	Offset uint64 `json:"offset"` // of the last message
}

type cursorContent struct {
	Positions []cursorEntry `json:"positions"`
}

// readCursor reads the positions of a cursor file; one that is not there yet has none.
func readCursor(path string) ([]client.TopicPosition, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && info.Size() > maxCursorFile {
		err = fmt.Errorf("%s has %d bytes, which is no cursor file", path, info.Size())
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the cursor: %w", err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the cursor: %w", err)
	}
	positions, err := parseCursor(text)
	if err != nil {
		return nil, fmt.Errorf("%s is not a cursor file (%w): delete it to begin anew, or name another with --cursor", path, err)
	}
	return positions, nil
}

func parseCursor(text []byte) ([]client.TopicPosition, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var content cursorContent
	if err := decoder.Decode(&content); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one object")
	}
	positions := make([]client.TopicPosition, 0, len(content.Positions))
	for i, entry := range content.Positions {
		if err := wire.CheckTopic([]byte(entry.Topic)); err != nil {
			return nil, fmt.Errorf("positions[%d]: %w", i, err)
		}
		life, err := strconv.ParseUint(entry.Life, 16, 64)
		if err != nil || len(entry.Life) != 16 {
			return nil, fmt.Errorf("positions[%d]: life %q: want 16 hexadecimal digits", i, entry.Life)
		}
		if entry.Offset > wire.MaxVarint {
			return nil, fmt.Errorf("positions[%d]: offset %d is larger than any", i, entry.Offset)
		}
		positions = append(positions, client.TopicPosition{Topic: entry.Topic, Position: wire.Position{Life: wire.Life(life), Offset: entry.Offset}})
	}
	return positions, nil
}

// writeCursor replaces the file as a whole: whoever reads it, after whatever crash, finds the old one or the new one.
func writeCursor(path string, positions []client.TopicPosition) error {
	content := cursorContent{Positions: make([]cursorEntry, 0, len(positions))}
	for _, p := range positions {
		content.Positions = append(content.Positions, cursorEntry{p.Topic, p.Life.String(), p.Offset})
	}
	text, err := json.MarshalIndent(content, "", "  ")
	if err == nil {
		err = replaceFile(path, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("cannot write the cursor: %w", err)
	}
	return nil
}

// checkCursor says now what would stop writeCursor later, when messages were printed already. A file that may not be
// written is not replaced either, though its directory would allow it.
func checkCursor(path string) error {
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("cannot write the cursor: there is no directory %s: create it, or name another file with --cursor", dir)
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		err = file.Close()
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		file, err = newBeside(path)
	}
	if err != nil {
		return fmt.Errorf("cannot write the cursor: %w", err)
	}
	_ = file.Close() // nothing was written
	if err := os.Remove(file.Name()); err != nil {
		return fmt.Errorf("cannot write the cursor: %w", err)
	}
	return nil
}

// newBeside is a file that can take the place of path.
func newBeside(path string) (*os.File, error) {
	return os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.new")
}

// replaceFile keeps the mode of the file that was there; a new one is its owner's alone.
func replaceFile(path string, text []byte) error {
	file, err := newBeside(path)
	if err != nil {
		return err
	}
	if info, statErr := os.Stat(path); statErr == nil {
		err = file.Chmod(info.Mode().Perm())
	}
	if err == nil {
		_, err = file.Write(text)
	}
	if err == nil {
		err = file.Sync() // else a machine that dies may keep the new name and not the new bytes
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name()) // the first error says more
	}
	return err
}

// cursorKeeper merges the places of several subscriptions into one file.
type cursorKeeper struct {
	path  string
	other []client.TopicPosition   // of the file, for filters that this run does not have
	parts [][]client.TopicPosition // by subscription, as of what it has printed; nil: there was no file
}

// openCursor reads the file, checks that it can be written, and gives each filter its part.
func openCursor(path string, filters []string) (*cursorKeeper, error) {
	all, err := readCursor(path)
	if err != nil {
		return nil, err
	}
	if err := checkCursor(path); err != nil {
		return nil, err
	}
	k := &cursorKeeper{path: path, parts: make([][]client.TopicPosition, len(filters))}
	if all != nil {
		for i := range k.parts {
			k.parts[i] = []client.TopicPosition{}
		}
	}
	for _, p := range all {
		matched := false
		for i, filter := range filters {
			if wire.Match(filter, p.Topic) {
				k.parts[i] = append(k.parts[i], p)
				matched = true
			}
		}
		if !matched {
			k.other = append(k.other, p)
		}
	}
	return k, nil
}

// set notes the place of one subscription and writes the file.
func (k *cursorKeeper) set(subscription int, positions []client.TopicPosition) error {
	k.parts[subscription] = positions
	return writeCursor(k.path, k.merged())
}

// merged is all places; where two subscriptions have the same stream, the one that is behind counts: that repeats
// messages for the other and loses none.
func (k *cursorKeeper) merged() []client.TopicPosition {
	type stream struct {
		topic string
		life  wire.Life
	}
	at := map[stream]int{}
	var all []client.TopicPosition
	for _, part := range append([][]client.TopicPosition{k.other}, k.parts...) {
		for _, p := range part {
			key := stream{p.Topic, p.Life}
			if i, twice := at[key]; twice {
				all[i].Offset = min(all[i].Offset, p.Offset)
				continue
			}
			at[key] = len(all)
			all = append(all, p)
		}
	}
	return all
}
