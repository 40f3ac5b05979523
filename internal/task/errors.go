package task

import "fmt"

// maxShownValue bounds how much of a refused value an error repeats, in bytes.
const maxShownValue = 80

// SyntaxError says that a body is not the JSON object it has to be.
type SyntaxError struct {
	// Reason is a phrase such as "unexpected end of input".
	Reason string
}

// Error implements error.
func (e *SyntaxError) Error() string { return "malformed JSON: " + e.Reason }

// FieldError says which field is wrong, the value it has and what is allowed.
type FieldError struct {
	Field   string
	Value   string // as given, shortened
	Allowed string
}

// Error implements error.
func (e *FieldError) Error() string {
	return fmt.Sprintf("%s: %s is not allowed; allowed: %s", e.Field, e.Value, e.Allowed)
}

func fieldError(field, value, allowed string) error {
	return &FieldError{Field: shorten(field), Value: shorten(value), Allowed: allowed}
}

func shorten(s string) string {
	short := Truncate(s, maxShownValue)
	if len(short) < len(s) {
		short += "…"
	}
	return short
}
