package service_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/service"
)

// serve serves handler until the test ends, or until stop is called.
func serve(t *testing.T, handler http.Handler, grace time.Duration) (addr string, stop func() error) {
	t.Helper()
	l, err := service.Listen(t.Context(), "127.0.0.1:0")
	require.NoError(t, err)
	s := service.NewHTTPServer(l, handler, time.Minute, grace, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop = func() error {
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if !stopped {
			_ = stop()
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return s.Addr(), stop
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	status, body, err := fetch(t.Context(), url)
	require.NoError(t, err)
	return status, body
}

func fetch(ctx context.Context, url string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(content), err
}

func TestHTTPServerFinishesRequestsInFlight(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	addr, stop := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		_, _ = io.WriteString(w, "done")
	}), time.Minute)
	answer := make(chan string, 1)
	go func() {
		_, body, err := fetch(context.Background(), "http://"+addr)
		answer <- fmt.Sprint(body, err)
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	require.Eventually(t, func() bool { // the port is closed first
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}, 30*time.Second, time.Millisecond)
	close(leave)
	require.Equal(t, "done<nil>", <-answer)
	require.NoError(t, <-stopped)
}

func TestHTTPServerCutsOffWhatExceedsTheGrace(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	addr, stop := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	}), 20*time.Millisecond)
	broken := make(chan error, 1)
	go func() {
		_, _, err := fetch(context.Background(), "http://"+addr)
		broken <- err
	}()
	<-entered
	require.ErrorIs(t, stop(), context.DeadlineExceeded)
	require.Error(t, <-broken)
}

func TestHTTPServerRefusesLargeHeaders(t *testing.T) {
	t.Parallel()
	addr, _ := serve(t, http.NotFoundHandler(), time.Second)
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	go func() {
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 1<<20)+"\r\n\r\n")
	}()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, resp.StatusCode)
}

func TestListenNamesTheAddress(t *testing.T) {
	t.Parallel()
	addr, _ := serve(t, http.NotFoundHandler(), time.Second)
	_, err := service.Listen(t.Context(), addr)
	require.ErrorContains(t, err, "listen on "+addr)
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	var ready error
	addr, _ := serve(t, service.AdminHandler(service.NewRegistry(), func() error { return ready }), time.Second)
	for path, want := range map[string]string{
		"/livez": "ok\n", "/readyz": "ok\n", "/metrics": "go_goroutines", "/debug/pprof/": "goroutine", "/debug/pprof/cmdline": "",
	} {
		status, body := get(t, "http://"+addr+path)
		require.Equal(t, http.StatusOK, status, path)
		require.Contains(t, body, want)
	}
	require.NoError(t, service.CheckHealth(t.Context(), addr))

	ready = errors.New("broker unavailable")
	status, body := get(t, "http://"+addr+"/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "broker unavailable\n", body)
	require.EqualError(t, service.CheckHealth(t.Context(), addr), "not ready (503): broker unavailable\n")
	status, _ = get(t, "http://"+addr+"/livez")
	require.Equal(t, http.StatusOK, status, "alive all the same")
}

func TestCheckHealthReportsWhatIsWrong(t *testing.T) {
	t.Parallel()
	require.Error(t, service.CheckHealth(t.Context(), "0.0.0.0:1"))
	require.ErrorContains(t, service.CheckHealth(t.Context(), "nonsense"), `admin address "nonsense"`)
}

func TestRegistryHasRuntimeMetrics(t *testing.T) {
	t.Parallel()
	families, err := service.NewRegistry().Gather()
	require.NoError(t, err)
	names := make(map[string]bool)
	for _, f := range families {
		names[f.GetName()] = true
	}
	for _, want := range []string{"go_goroutines", "process_resident_memory_bytes", "go_build_info"} {
		require.True(t, names[want], want)
	}
}
