package action

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/twinlane/twinlane/internal/task"
)

// maxIdleConns is how many connections to the configured host stay open between calls.
const maxIdleConns = 256

// newHTTPClient returns the client of the http action. Every call is bounded
// by its task's deadline. Redirects are not followed: the configured URL is
// the only one a task may reach.
func newHTTPClient() *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:         dialer.DialContext,
			TLSHandshakeTimeout: 5 * time.Second,
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: maxIdleConns,
			IdleConnTimeout:     time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// post sends the payload to the configured URL. The task's id goes along as
// idempotency key, because a task may run more than once.
func (r *Runner) post(ctx context.Context, t Task) (json.RawMessage, error) {
	if r.cfg.HTTPURL == "" {
		return nil, permanent(errors.New("action http is not configured"))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.cfg.HTTPURL, bytes.NewReader(t.Payload))
	if err != nil {
		return nil, permanent(fmt.Errorf("build request: %w", err))
	}
	req.Header.Set("Content-Type", task.ContentType)
	req.Header.Set("Idempotency-Key", t.ID)
	for name, value := range map[string]string{
		task.HTTPRequestID: t.RequestID, task.HTTPTraceparent: t.Traceparent, task.HTTPTracestate: t.Tracestate,
	} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("call: %w", withoutURL(err))
	}
	defer func() { _ = resp.Body.Close() }()
	if err := checkStatus(resp); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, task.MaxOutputBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return outputOf(body)
}

// withoutURL keeps the configured URL, which may hold a secret, out of errors
// that end up in headers and answers.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// checkStatus sorts answers by whether the same call may succeed later.
func checkStatus(resp *http.Response) error {
	code := resp.StatusCode
	switch {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code >= 500:
		return fmt.Errorf("answered %s", resp.Status)
	default:
		return permanent(fmt.Errorf("answered %s", resp.Status))
	}
}

// shownBytes is how much of an answer is kept that is too long for an output.
// Escaped as JSON it grows sixfold at worst and still fits.
const shownBytes = 1 << 10

// outputOf makes an output of an answer: JSON as it is, any other text as a
// string, and of what does not fit into an output the beginning.
func outputOf(body []byte) (json.RawMessage, error) {
	if len(body) == 0 {
		return nil, nil
	}
	if len(body) <= task.MaxOutputBytes && json.Valid(body) {
		return body, nil
	}
	text, err := json.Marshal(strings.ToValidUTF8(string(body), "\uFFFD"))
	if err == nil && len(text) > task.MaxOutputBytes {
		text, err = json.Marshal(struct {
			Truncated bool   `json:"truncated"`
			Beginning string `json:"beginning"`
		}{true, task.Truncate(string(body), shownBytes)})
	}
	if err != nil {
		return nil, fmt.Errorf("encode output: %w", err)
	}
	return text, nil
}
