package service

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxShutdownGrace is the longest SHUTDOWN_GRACE of every service. A whole stop
// takes some seconds more, and the containers are killed after 90 s.
const MaxShutdownGrace = 25 * time.Second

// NotAllowed is how every setting that is wrong is reported: by the name of its
// variable, its value and what is allowed instead.
func NotAllowed(name string, value any, allowed string) error {
	return fmt.Errorf("%s: %v is not allowed; allowed: %s", name, value, allowed)
}

// Between refuses a value outside of low to high. Both bounds are allowed.
func Between[T cmp.Ordered](name string, value, low, high T) error {
	if low <= value && value <= high {
		return nil
	}
	return NotAllowed(name, value, fmt.Sprintf("%v to %v", low, high))
}

// OneOf refuses a value that is none of allowed.
func OneOf[T ~string](name string, value T, allowed ...T) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = string(a)
	}
	return NotAllowed(name, strconv.Quote(string(value)), strings.Join(names, ", "))
}

// Address refuses what is no address to listen on.
func Address(name, value string) error {
	_, port, err := net.SplitHostPort(value)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return NotAllowed(name, strconv.Quote(value), "host:port, such as 127.0.0.1:8080 or :8080")
	}
	return nil
}

// HTTPURL parses an absolute http:// or https:// URL. Its error repeats the
// value only where that cannot hold a password or a token.
func HTTPURL(name, value string) (*url.URL, error) {
	u, err := url.Parse(value)
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" {
		return u, nil
	}
	shown := strconv.Quote(value)
	if strings.ContainsAny(value, "@?#") {
		shown = "its value"
	}
	return nil, NotAllowed(name, shown, "http://host:port or https://host:port, with a path or without")
}

// LogLevel parses the name of a level.
func LogLevel(name, value string) (slog.Level, error) {
	if err := OneOf(name, value, "debug", "info", "warn", "error"); err != nil {
		return 0, err
	}
	var level slog.Level
	err := level.UnmarshalText([]byte(value))
	return level, err
}
