package wire

import (
	"encoding/binary"
	"unicode/utf8"
)

// fields reads the body of one frame field by field. The first error sticks, so
// that a parser reads as the list of its fields and asks once at the end.
type fields struct {
	t   Type
	b   []byte
	err error
}

func (f *fields) fail(code Code, what string) {
	if f.err == nil {
		f.err = &Error{code, f.t, what}
		f.b = nil
	}
}

func (f *fields) u8(name string) uint8 {
	if len(f.b) < 1 {
		f.fail(CodeMalformed, name+" is missing")
		return 0
	}
	v := f.b[0]
	f.b = f.b[1:]
	return v
}

func (f *fields) u32(name string) uint32 {
	if len(f.b) < 4 {
		f.fail(CodeMalformed, name+" is cut off")
		return 0
	}
	v := binary.BigEndian.Uint32(f.b)
	f.b = f.b[4:]
	return v
}

func (f *fields) u64(name string) uint64 {
	if len(f.b) < 8 {
		f.fail(CodeMalformed, name+" is cut off")
		return 0
	}
	v := binary.BigEndian.Uint64(f.b)
	f.b = f.b[8:]
	return v
}

func (f *fields) varint(name string) uint64 {
	v, n := ConsumeVarint(f.b)
	if n <= 0 {
		f.fail(CodeMalformed, name+" is not a whole shortest-form varint")
		return 0
	}
	f.b = f.b[n:]
	return v
}

// u32v is a varint that must fit 32 bits.
func (f *fields) u32v(name string) uint32 {
	v := f.varint(name)
	if v > 1<<32-1 {
		f.fail(CodeMalformed, name+" is above 2^32-1")
		return 0
	}
	return uint32(v)
}

// bytes is a length-prefixed run of any bytes.
func (f *fields) bytes(name string) []byte {
	n := f.varint(name)
	if n > uint64(len(f.b)) {
		f.fail(CodeMalformed, name+" is cut off")
		return nil
	}
	v := f.b[:n:n]
	f.b = f.b[n:]
	return v
}

// str is a length-prefixed run of UTF-8 [W-2.3].
func (f *fields) str(name string) []byte {
	v := f.bytes(name)
	if !utf8.Valid(v) {
		f.fail(CodeMalformed, name+" is not UTF-8")
		return nil
	}
	return v
}

// text takes a text from the front of the TLVs, if one is there that people can
// read. Any other first TLV is left for tlvs to judge.
func (f *fields) text() []byte {
	key, value, rest, ok := NextTLV(f.b)
	if !ok || key != tlvText || len(value) == 0 || !utf8.Valid(value) {
		return nil
	}
	f.b = rest
	return value
}

// retry takes a delay in milliseconds from the front of the TLVs, if one is there
// that says when. Any other first TLV is left for tlvs to judge.
func (f *fields) retry() uint32 {
	key, value, rest, ok := NextTLV(f.b)
	if !ok || key != tlvRetry {
		return 0
	}
	ms, n := ConsumeVarint(value)
	if n <= 0 || n != len(value) || ms == 0 || ms > 1<<32-1 {
		return 0
	}
	f.b = rest
	return uint32(ms)
}

// tlvs checks the TLVs that end a control frame.
func (f *fields) tlvs() {
	if f.err == nil && len(f.b) > 0 {
		f.err = checkTLVs(f.t, f.b)
	}
	f.b = nil
}
