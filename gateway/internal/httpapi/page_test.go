package httpapi

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func link(t *testing.T, name, address string) Link {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	return Link{Name: name, URL: u}
}

func TestPage(t *testing.T) {
	t.Parallel()
	api := start(t, Config{Links: []Link{
		link(t, "Grafana", "http://:3000"), link(t, "<b>", "https://prometheus.example/graph?a=1&b=2"),
		link(t, "Traces", "http://:16686/trace/TRACE_ID"),
	}})
	a := api.send(t, http.MethodGet, "/", nil)
	require.Equal(t, "text/html; charset=utf-8", a.header.Get("Content-Type"))
	require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
	text := string(a.body)
	require.Contains(t, text, `<a href="http://127.0.0.1:3000">Grafana</a>`, "on the host that it was asked for")
	require.Contains(t, text, `<a href="https://prometheus.example/graph?a=1&amp;b=2">&lt;b&gt;</a>`)
	require.Contains(t, text, `data-trace="http://127.0.0.1:16686/trace/TRACE_ID"`)
	require.NotContains(t, text, ">Traces</a>", "each task has a link of its own")
	require.NotContains(t, text, "<option", "nobody may ask for a failure")

	policy := a.header.Get("Content-Security-Policy")
	require.True(t, strings.HasPrefix(policy, "default-src 'none'; connect-src 'self';"))
	require.NotContains(t, policy, "unsafe")
	require.Contains(t, policy, "script-src "+hashOf(a.body, "script")+";")
	require.Contains(t, policy, "style-src "+hashOf(a.body, "style"))
	require.Equal(t, 1, strings.Count(text, "<script"))
	require.Equal(t, 1, strings.Count(text, "<style"))
	require.NotContains(t, text, "style=")
	require.NotContains(t, text, "onclick")

	faults := string(start(t, Config{FaultInjection: true}).send(t, http.MethodGet, "/", nil).body)
	require.Contains(t, faults, `<option value="permanent"`)
	require.Contains(t, faults, `data-trace=""`)
}

// TestLinksAreOnThePagesHost holds for each form of a host.
func TestLinksAreOnThePagesHost(t *testing.T) {
	t.Parallel()
	p, err := newPage([]Link{link(t, "Grafana", "http://:3000/d")}, false)
	require.NoError(t, err)
	for host, want := range map[string]string{
		"lab":         "http://lab:3000/d",
		"lab:8080":    "http://lab:3000/d",
		"10.0.0.1:80": "http://10.0.0.1:3000/d",
		"[::1]:8080":  "http://[::1]:3000/d",
		"[::1]":       "http://[::1]:3000/d",
	} {
		text, err := p.render(host, nil)
		require.NoError(t, err)
		require.Contains(t, string(text), `href="`+want+`"`, host)
	}
	text, err := p.render(`"><script>alert(1)</script>`, nil)
	require.NoError(t, err)
	require.NotContains(t, string(text), "<script>alert")
}
