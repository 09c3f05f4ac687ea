package gateway

import (
	"errors"

	"github.com/bellwire/bellwire/wire"
)

// refusedAt counts and audits a refusal of a connection or session.
func (l *loop) refusedAt(s *session, kind auditKind, code wire.Code, text string) {
	l.counters.refused(code)
	l.audited(s, kind, code, nil, text)
}

// textOf is what an error says without the name of a frame.
func textOf(err error) string {
	if e := (*wire.Error)(nil); errors.As(err, &e) {
		return e.Field
	}
	return err.Error()
}
