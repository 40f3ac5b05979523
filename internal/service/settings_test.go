package service_test

import (
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/service"
)

// TestSettings holds which values each check allows, and what it says of the others.
func TestSettings(t *testing.T) {
	t.Parallel()
	httpURL := func(value string) error { _, err := service.HTTPURL("X", value); return err }
	logLevel := func(value string) error { _, err := service.LogLevel("X", value); return err }
	const (
		wantAddress = `; allowed: host:port, such as 127.0.0.1:8080 or :8080`
		wantURL     = `; allowed: http://host:port or https://host:port, with a path or without`
		wantLevel   = `; allowed: debug, info, warn, error`
	)
	type name string
	for title, tc := range map[string]struct {
		err  error
		want string // empty: allowed
	}{
		"lowest":         {service.Between("X", 1, 1, 4), ""},
		"highest":        {service.Between("X", 4, 1, 4), ""},
		"below":          {service.Between("X", 0, 1, 4), "X: 0 is not allowed; allowed: 1 to 4"},
		"above":          {service.Between("X", 5, 1, 4), "X: 5 is not allowed; allowed: 1 to 4"},
		"short duration": {service.Between("X", -1, 0, time.Minute), "X: -1ns is not allowed; allowed: 0s to 1m0s"},
		"no number":      {service.Between("X", math.NaN(), 0, 1), "X: NaN is not allowed; allowed: 0 to 1"},

		"known name":   {service.OneOf("X", name("b"), "a", "b"), ""},
		"unknown name": {service.OneOf("X", name("c"), "a", "b"), `X: "c" is not allowed; allowed: a, b`},
		"other case":   {service.OneOf("X", "A", "a", "b"), `X: "A" is not allowed; allowed: a, b`},
		"no name":      {service.OneOf("X", "", "a", "b"), `X: "" is not allowed; allowed: a, b`},

		"address":            {service.Address("X", "127.0.0.1:8080"), ""},
		"address of a host":  {service.Address("X", "localhost:0"), ""},
		"address of IPv6":    {service.Address("X", "[::1]:8080"), ""},
		"every address":      {service.Address("X", ":8080"), ""},
		"port alone":         {service.Address("X", "8080"), `X: "8080" is not allowed` + wantAddress},
		"host alone":         {service.Address("X", "localhost"), `X: "localhost" is not allowed` + wantAddress},
		"no port":            {service.Address("X", "localhost:"), `X: "localhost:" is not allowed` + wantAddress},
		"port too high":      {service.Address("X", ":65536"), `X: ":65536" is not allowed` + wantAddress},
		"bare IPv6":          {service.Address("X", "::1"), `X: "::1" is not allowed` + wantAddress},
		"no address":         {service.Address("X", ""), `X: "" is not allowed` + wantAddress},
		"URL for an address": {service.Address("X", "http://localhost"), `X: "http://localhost" is not allowed` + wantAddress},

		"URL":               {httpURL("http://worker:8090"), ""},
		"URL with all":      {httpURL("https://user:secret@worker/path?token=secret"), ""},
		"URL of other kind": {httpURL("ftp://worker"), `X: "ftp://worker" is not allowed` + wantURL},
		"URL without kind":  {httpURL("worker:8090"), `X: "worker:8090" is not allowed` + wantURL},
		"URL without host":  {httpURL("http://:8090"), `X: "http://:8090" is not allowed` + wantURL},
		"no URL":            {httpURL(""), `X: "" is not allowed` + wantURL},
		"secret user":       {httpURL("user:secret@worker"), `X: its value is not allowed` + wantURL},
		"secret unparsable": {httpURL("http://user:secret%zz@worker"), `X: its value is not allowed` + wantURL},
		"secret query":      {httpURL("worker/path?token=secret"), `X: its value is not allowed` + wantURL},

		"level":               {logLevel("debug"), ""},
		"level of other case": {logLevel("INFO"), `X: "INFO" is not allowed` + wantLevel},
		"level with offset":   {logLevel("info+2"), `X: "info+2" is not allowed` + wantLevel},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			if tc.want == "" {
				require.NoError(t, tc.err)
				return
			}
			require.EqualError(t, tc.err, tc.want)
		})
	}
}

func TestSettingsParse(t *testing.T) {
	t.Parallel()
	u, err := service.HTTPURL("X", "https://worker/base?a=b")
	require.NoError(t, err)
	require.Equal(t, "https://worker/base?a=b", u.String())

	for name, want := range map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	} {
		level, err := service.LogLevel("X", name)
		require.NoError(t, err)
		require.Equal(t, want, level, name)
	}
}
