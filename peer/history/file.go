package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// File is a history as it is kept: what it is judged by, and then one event a line.
type File struct {
	Rules Rules
	// Want are the findings that it must give, each the begin of one's text, or parts of it with … between.
	Want   []string
	Events []Event
}

// head is the first line of a file.
type head struct {
	Rules Rules    `json:"rules"`
	Want  []string `json:"want,omitempty"`
}

// Write writes a file: JSON, an object a line.
func (f File) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	out := json.NewEncoder(b)
	out.SetEscapeHTML(false)
	if err := out.Encode(head{f.Rules, f.Want}); err != nil {
		return err
	}
	for _, e := range f.Events {
		if err := out.Encode(e); err != nil {
			return err
		}
	}
	return b.Flush()
}

// Read reads a file. Empty lines, and lines that begin with //, are for people.
func Read(r io.Reader) (File, error) {
	var f File
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	begun := false
	for n := 1; lines.Scan(); n++ {
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 || bytes.HasPrefix(text, []byte("//")) {
			continue
		}
		var err error
		if !begun {
			var h head
			err = strictly(text, &h)
			f.Rules, f.Want, begun = h.Rules, h.Want, true
		} else {
			var e Event
			err = json.Unmarshal(text, &e)
			f.Events = append(f.Events, e)
		}
		if err != nil {
			return File{}, fmt.Errorf("history: line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return File{}, fmt.Errorf("history: %w", err)
	}
	if !begun {
		return File{}, errors.New("history: no first line with the rules")
	}
	return f, nil
}

// Check judges the file's events.
func (f File) Check() Report {
	c := New(f.Rules)
	for _, e := range f.Events {
		c.Add(e)
	}
	return c.Close()
}

// strictly decodes JSON that has nothing unknown in it.
func strictly(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
