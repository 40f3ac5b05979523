// Package browsertest shows pages to tests as a person would see them, in a
// real Chromium without a window.
//
// It starts the browser, opens pages in it and keeps what they complained of
// and what they asked for. What a page has to look like and what is done on it
// is the tests' own business: they drive it with the actions of chromedp.
package browsertest

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// stopWait is how long a browser may take to end by itself before it is killed.
const stopWait = 10 * time.Second

// Browser is a running Chromium. Its methods may be called by several tests at
// once; each page that it opens shares nothing with the others.
type Browser struct {
	ctx context.Context //nolint:containedctx // It is how chromedp hands on a browser.
}

// Start runs a Chromium with a profile of its own until the test and its
// subtests have ended. Where none is installed the test fails.
func Start(t testing.TB) *Browser {
	t.Helper()
	binary := find()
	require.NotEmpty(t, binary, "no Chromium is installed: make deps, or deploy/local/deps browser")
	// The profile is the home as well, so that nothing is left in the user's own.
	home := t.TempDir()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(binary),
		chromedp.UserDataDir(home),
		chromedp.Env("HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home),
		chromedp.DisableGPU,
		chromedp.Flag("hide-scrollbars", false), // a bar takes room, which layouts have to have
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to run as root with it
	}
	allocator, release := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		stop, done := context.WithTimeout(ctx, stopWait)
		defer done()
		_ = chromedp.Cancel(stop) // a browser that does not end by itself is killed
		cancel()
		release()
	})
	require.NoError(t, chromedp.Do(ctx), "start %s", binary)
	return &Browser{ctx: ctx}
}

// find returns the path of the Chromium that is installed, under any of the
// names that distributions give it; empty where there is none.
func find() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome-stable", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}
