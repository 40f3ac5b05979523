package task

import "strings"

const (
	traceparentLen   = 55
	maxTracestateLen = 512
	maxTraceMembers  = 32
)

// TraceContext returns the W3C trace context to hand on: both values as given
// where they are valid, empty strings where they are not. A tracestate without
// a valid traceparent means nothing and is dropped.
func TraceContext(traceparent, tracestate string) (parent, state string) {
	if !validTraceparent(traceparent) {
		return "", ""
	}
	if !validTracestate(tracestate) {
		return traceparent, ""
	}
	return traceparent, tracestate
}

// validTraceparent checks version-traceid-parentid-flags. Version 00 is 55
// characters exactly; a later version may append fields after another dash.
func validTraceparent(s string) bool {
	if len(s) < traceparentLen || len(s) > MaxShortString {
		return false
	}
	version, traceID, parentID, flags := s[0:2], s[3:35], s[36:52], s[53:55]
	if s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return false
	}
	if !isLowerHex(version + traceID + parentID + flags) {
		return false
	}
	if version == "ff" || strings.Trim(traceID, "0") == "" || strings.Trim(parentID, "0") == "" {
		return false
	}
	if len(s) == traceparentLen {
		return true
	}
	return version != "00" && s[traceparentLen] == '-' && isPrintable(s)
}

func validTracestate(s string) bool {
	return len(s) <= maxTracestateLen && strings.Count(s, ",") < maxTraceMembers && isPrintable(s)
}

func isLowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}
