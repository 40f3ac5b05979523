package task

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The limits of the contract. Each is checked before anything reaches the
// broker, because AMQP answers some violations by closing the connection that
// every other publisher shares.
const (
	// MaxRequestBytes bounds the body of a client's request.
	MaxRequestBytes = 256 << 10
	// MaxMessageBytes bounds an encoded message: a request and its envelope.
	MaxMessageBytes = MaxRequestBytes + 4<<10
	// MaxOutputBytes bounds what a task may return.
	MaxOutputBytes = 8 << 10
	// MaxErrorBytes bounds the error text in a header or a result.
	MaxErrorBytes = 1 << 10
	// MaxDurationMS is the longest task a client may ask for, in milliseconds.
	MaxDurationMS = 60_000
	// MaxFailCount is the largest Fail.Count.
	MaxFailCount = 1000
	// MaxNameLen is the length of the longest run name or task id.
	MaxNameLen = 64
	// MaxShortString is the length of the longest AMQP short string: property
	// values, header names, routing keys, in bytes.
	MaxShortString = 255
	// MaxHeaderBytes bounds all headers of a message together, names included.
	MaxHeaderBytes = 8 << 10
)

// CheckShortString refuses a value that does not fit into an AMQP short string.
func CheckShortString(field, value string) error {
	if len(value) > MaxShortString {
		return fieldError(field, value, fmt.Sprintf("at most %d bytes", MaxShortString))
	}
	return nil
}

// CheckHeaders refuses headers whose names are no AMQP short strings, whose
// values are of a kind that this contract does not use, or that are too large
// together.
func CheckHeaders(headers map[string]any) error {
	total := 0
	for name, value := range headers {
		if err := CheckShortString("header name", name); err != nil {
			return err
		}
		total += len(name)
		switch v := value.(type) {
		case string:
			total += len(v)
		case bool, int, int32, int64:
			total += 8
		default:
			return fieldError("header "+name, fmt.Sprintf("%T", value), "a string, a bool or a whole number")
		}
	}
	if total > MaxHeaderBytes {
		return fieldError("headers", fmt.Sprintf("%d bytes", total), fmt.Sprintf("at most %d bytes in all", MaxHeaderBytes))
	}
	return nil
}

// ValidName reports whether s can be a run name or a task id: 1 to MaxNameLen
// of A-Z, a-z, 0-9, '.', '_' and '-'.
func ValidName(s string) bool {
	if s == "" || len(s) > MaxNameLen {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// Truncate cuts s to at most limit bytes without splitting a character, and
// replaces what is not valid UTF-8.
func Truncate(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
