package browsertest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/twinlane/twinlane/internal/browsertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestPage loads a page with everything on it that a test has to hear of.
func TestPage(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<link rel="icon" href="data:,">
<title>Page</title><p id="text">there</p><button onclick="console.error('pressed', 7)">Press</button>
<script>console.warn("careful"); console.info("fine")</script>
<script>throw new Error("broken")</script>
<img src="/missing.png" alt="">`)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)

	browser := browsertest.Start(t)
	page := browser.Open(t, server.URL+"/", browsertest.View{})
	require.Equal(t, []string{server.URL + "/", server.URL + "/missing.png"}, page.Requests())
	problems := page.Problems()
	require.Len(t, problems, 3)
	all := strings.Join(problems, "\n") // the network's are not in order with the others
	require.Contains(t, all, "console warning: careful")
	require.Contains(t, all, "Error: broken")
	require.Regexp(t, `404 .*/missing\.png`, all)

	page.Run(chromedp.Click(chromedp.CSS("button")))
	require.Equal(t, "console error: pressed 7", page.Problems()[3])

	require.Equal(t, "there", browsertest.Eval[string](page, "Promise.resolve(document.getElementById('text').textContent)"))
}

// TestViews holds that a view is what the page sees, and that a page has nothing of another.
func TestViews(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `<!doctype html><meta name="viewport" content="width=device-width,initial-scale=1"><title>Page</title>`)
	}))
	t.Cleanup(server.Close)
	browser := browsertest.Start(t)
	type view struct {
		Width              int
		Dark, Touch, Print bool
		Stored             string
	}
	const seen = `({
		Width: innerWidth, Dark: matchMedia("(prefers-color-scheme: dark)").matches,
		Touch: matchMedia("(pointer: coarse)").matches, Print: matchMedia("print").matches,
		Stored: localStorage.getItem("key") || "",
	})`

	page := browser.Open(t, server.URL, browsertest.View{})
	browsertest.Eval[chromedp.Void](page, `localStorage.setItem("key", "value")`)
	require.Equal(t, view{Width: 1280, Stored: "value"}, browsertest.Eval[view](page, seen))

	page.Show(browsertest.View{Width: 360, Height: 640, Dark: true, Phone: true, Media: "print"})
	require.Equal(t, view{Width: 360, Dark: true, Touch: true, Print: true, Stored: "value"}, browsertest.Eval[view](page, seen))

	other := browser.Open(t, server.URL, browsertest.View{})
	require.Equal(t, view{Width: 1280}, browsertest.Eval[view](other, seen))
}
