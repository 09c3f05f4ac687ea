package main

import (
	"fmt"
	"unicode/utf8"
)

// checkText refuses arguments that are not UTF-8: kong takes strings through JSON, which puts other characters in the
// place of what is not, so that a payload would be published as something else.
func checkText(args []string) error {
	for i, arg := range args {
		if !utf8.ValidString(arg) {
			return fmt.Errorf("argument %d, %q, is not valid UTF-8: topics and settings are text; "+
				"a payload of any bytes but a line's end goes through the standard input, with - in its place", i+1, arg)
		}
	}
	return nil
}
