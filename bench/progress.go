package bench

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// progress tells people how far a run is: a bar that is drawn over on a
// terminal, else a line for each tenth.
type progress struct {
	w     io.Writer
	live  bool
	total int
	done  int
	drawn bool // a bar stands on the current line
}

func newProgress(w io.Writer, total int) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, live: ok && term.IsTerminal(int(f.Fd())), total: total}
}

// expect says how many steps there will be.
func (p *progress) expect(total int) { p.total, p.done = max(1, total), 0 }

// say writes a line that stays.
func (p *progress) say(format string, args ...any) {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
	fmt.Fprintf(p.w, format+"\n", args...)
}

// step counts one more of the total, with a word on the latest.
func (p *progress) step(format string, args ...any) {
	before := p.done * 10 / p.total
	p.done++
	text := fmt.Sprintf(format, args...)
	const width = 30
	filled := p.done * width / p.total
	switch {
	case p.live:
		fmt.Fprintf(p.w, "\r\x1b[K[%s%s] %d/%d  %s", strings.Repeat("#", filled), strings.Repeat(".", width-filled), p.done, p.total, text)
		p.drawn = true
		if p.done == p.total {
			fmt.Fprintln(p.w)
			p.drawn = false
		}
	case p.done*10/p.total != before:
		fmt.Fprintf(p.w, "%d/%d  %s\n", p.done, p.total, text)
	}
}
