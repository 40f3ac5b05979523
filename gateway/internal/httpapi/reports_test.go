package httpapi

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// write writes a file below dir, whose folders it makes.
func write(t *testing.T, dir, name, text string) {
	t.Helper()
	file := filepath.Join(dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o750))
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
}

func TestReports(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i, run := range []string{"run-1", "run-2", "run-3", "run-4", "run-5", "run-6"} {
		write(t, dir, run+"/report.html", "<p>"+run)
		at := time.Date(2026, 1, 2, 3, i, 0, 0, time.UTC)
		require.NoError(t, os.Chtimes(filepath.Join(dir, run, "report.html"), at, at))
	}
	write(t, dir, "run-1/summary.json", `{"a":1}`)
	write(t, dir, "run-1/steps.csv", "a,b\n1,2\n")
	write(t, dir, "run-1/chart.svg", "<svg/>")
	write(t, dir, "unfinished/steps.csv", "a")
	api := start(t, Config{ReportsDir: dir})

	for file, mediaType := range map[string]string{
		"report.html": "text/html; charset=utf-8", "summary.json": "application/json", "steps.csv": "text/csv; charset=utf-8", "chart.svg": "image/svg+xml",
	} {
		a := api.send(t, http.MethodGet, "/reports/run-1/"+file, nil)
		require.Equal(t, http.StatusOK, a.status, file)
		require.Equal(t, mediaType, a.header.Get("Content-Type"))
		require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
		require.True(t, strings.HasPrefix(a.header.Get("Content-Security-Policy"), "sandbox allow-scripts "), "it is not let near the API")
		require.Empty(t, api.send(t, http.MethodHead, "/reports/run-1/"+file, nil).body)
	}
	require.Equal(t, "<p>run-1", string(api.send(t, http.MethodGet, "/reports/run-1/report.html", nil).body))

	page := string(api.send(t, http.MethodGet, "/", nil).body)
	first := strings.Index(page, "/reports/run-6/report.html")
	require.Positive(t, first)
	require.Greater(t, strings.Index(page, "/reports/run-2/report.html"), first, "the newest first")
	require.NotContains(t, page, "run-1", "and only the last five")
	require.NotContains(t, page, "unfinished")
	require.Contains(t, page, "2 Jan 2026, 03:05 UTC")
}

// TestNothingElseIsServed asks for everything that is not a file of a report.
func TestNothingElseIsServed(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	dir := filepath.Join(outside, "reports")
	write(t, outside, "secret.html", "secret")
	write(t, outside, "beside/secret.html", "secret")
	write(t, dir, "top.html", "secret")
	write(t, dir, "run/report.html", "fine")
	write(t, dir, "run/key.pem", "secret")
	write(t, dir, "run/.hidden.html", "secret")
	write(t, dir, ".git/config.html", "secret")
	write(t, dir, "run/folder.html/inside.html", "secret")
	require.NoError(t, os.Symlink(filepath.Join(outside, "secret.html"), filepath.Join(dir, "run", "link.html")))
	require.NoError(t, os.Symlink("../../secret.html", filepath.Join(dir, "run", "relative.html")))
	require.NoError(t, os.Symlink("../beside", filepath.Join(dir, "linked")))
	api := start(t, Config{ReportsDir: dir})
	require.Equal(t, http.StatusOK, api.send(t, http.MethodGet, "/reports/run/report.html", nil).status)
	for _, path := range []string{
		"/reports", "/reports/", "/reports/run", "/reports/run/", "/reports/top.html", "/reports/./top.html", "/reports/run/missing.html",
		"/reports/missing/report.html", "/reports/../secret.html", "/reports/run/../../secret.html", "/reports/..%2f/secret.html",
		"/reports/%2e%2e/secret.html", "/reports/run/..%2f..%2fsecret.html", "/reports/run%2f../secret.html", "/reports/..%5c/secret.html",
		"/reports/run/key.pem", "/reports/run/.hidden.html", "/reports/.git/config.html", "/reports/run/folder.html",
		"/reports/run/folder.html/inside.html", "/reports/run/link.html", "/reports/run/relative.html", "/reports/linked/secret.html",
		"/reports//secret.html", "/reports/run/report.html%00", "/reports/run/report.html/",
	} {
		a := api.raw(t, http.MethodGet, path, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		require.Equal(t, http.StatusNotFound, a.status, path)
		require.NotContains(t, string(a.body), "secret\n")
		require.True(t, a.problem(t).Is("not-found"), path)
	}
}

func TestNoReportsUnlessToldWhereTheyAre(t *testing.T) {
	t.Parallel()
	for name, dir := range map[string]string{"not set": "", "gone": filepath.Join(t.TempDir(), "gone")} {
		api := start(t, Config{ReportsDir: dir})
		require.Equal(t, http.StatusNotFound, api.send(t, http.MethodGet, "/reports/run/report.html", nil).status, name)
		require.NotContains(t, string(api.send(t, http.MethodGet, "/", nil).body), "Last sweeps", name)
	}
}
