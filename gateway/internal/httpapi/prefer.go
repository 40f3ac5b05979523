package httpapi

import (
	"net/http"
	"strings"
	"time"
)

// MaxWait is the longest that a request may wait for a result.
const MaxWait = 30 * time.Second

const (
	headerPrefer            = "Prefer"
	headerPreferenceApplied = "Preference-Applied"
)

// preferredWait is for how many seconds a client prefers to wait for a result
// (RFC 7240), 0 to MaxWait. A preference is a wish: what is not valid is passed
// over, and of a preference that is given twice the first counts.
func preferredWait(h http.Header) int {
	for _, line := range h[headerPrefer] {
		for line != "" {
			var element string
			element, line = cutUnquoted(line, ',')
			if seconds, ok := waitOf(element); ok {
				return seconds
			}
		}
	}
	return 0
}

// waitOf reads the preference wait. Its parameters, of which there are none,
// are passed over.
func waitOf(preference string) (seconds int, ok bool) {
	preference, _ = cutUnquoted(preference, ';')
	name, value, _ := strings.Cut(preference, "=")
	if !strings.EqualFold(trimSpace(name), "wait") {
		return 0, false
	}
	value = trimSpace(value)
	if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1] // a word may be quoted
	}
	return delaySeconds(value)
}

// delaySeconds reads a number of any length, and returns no more than MaxWait.
func delaySeconds(digits string) (seconds int, ok bool) {
	const longest = int(MaxWait / time.Second)
	for i := range len(digits) {
		c := digits[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		seconds = min(10*seconds+int(c-'0'), longest)
	}
	return seconds, digits != ""
}

// cutUnquoted cuts s at the first separator outside of a quoted string.
func cutUnquoted(s string, separator byte) (before, after string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case quoted && s[i] == '\\':
			i++ // whatever is next, it is no end
		case !quoted && s[i] == separator:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

func trimSpace(s string) string { return strings.Trim(s, " \t") }
