package httpapi

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/twinlane/twinlane/internal/task"
	"github.com/twinlane/twinlane/internal/tracing"
)

// The ways in which a request is refused before its fields are looked at.
var (
	errMediaType      = errors.New("unsupported media type")
	errBodyTooLarge   = fmt.Errorf("body too large; allowed: %d bytes", task.MaxRequestBytes)
	errSlowBody       = errors.New("body not received in time")
	errUnreadableBody = errors.New("body unreadable")
	errNoFaults       = errors.New("fault injection off")
)

// incoming is a task as it was handed in.
type incoming struct {
	task    task.Message // without an id
	headers task.Headers // with which it travels
	body    []byte       // as it was sent
}

// readTask reads a task from a request, into its room.
func (a *api) readTask(c *gin.Context, room *room) (incoming, error) {
	acceptedAt := time.Now()
	if err := checkMediaType(c.Request.Header); err != nil {
		return incoming{}, err
	}
	body, err := readBody(c.Request, room)
	if err != nil {
		return incoming{}, err
	}
	request, err := task.DecodeRequest(body)
	if err != nil {
		return incoming{}, err
	}
	if request.Fail != nil && !a.faultInjection {
		return incoming{}, errNoFaults
	}
	headers := task.Headers{RequestID: requestID(c)}
	headers.Traceparent, headers.Tracestate = tracing.FromRequest(c.Request.Header)
	return incoming{task: task.Message{AcceptedAt: acceptedAt.UTC(), Request: request}, headers: headers, body: body}, nil
}

// checkMediaType refuses every body that is not plain JSON in UTF-8.
func checkMediaType(h http.Header) error {
	if encoding := h.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return fmt.Errorf("%w: Content-Encoding %q; allowed: identity", errMediaType, shorten(encoding))
	}
	given := h["Content-Type"]
	if len(given) == 1 && given[0] == task.ContentType {
		return nil
	}
	if len(given) == 1 {
		kind, params, err := mime.ParseMediaType(given[0])
		if err == nil && kind == task.ContentType && utf8Only(params) {
			return nil
		}
	}
	return fmt.Errorf("%w: Content-Type %q; allowed: %s, with charset=utf-8 or none",
		errMediaType, shorten(strings.Join(given, ", ")), task.ContentType)
}

func utf8Only(params map[string]string) bool {
	for name, value := range params {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return false
		}
	}
	return true
}

// firstRead is how much room a body gets before anything of it has come in.
const firstRead = 4 << 10

// readBody reads a body of at most task.MaxRequestBytes, into a buffer for which
// there is room.
func readBody(r *http.Request, room *room) ([]byte, error) {
	if r.ContentLength > task.MaxRequestBytes {
		return nil, errBodyTooLarge
	}
	most := task.MaxRequestBytes + 1 // a byte more than allowed tells that there is one
	if r.ContentLength >= 0 {
		most = int(r.ContentLength)
	}
	var body []byte
	for ended := false; !ended && len(body) < most; {
		if len(body) == cap(body) {
			size := min(max(firstRead, 2*len(body)), most)
			if err := room.grow(size); err != nil {
				return nil, err
			}
			body = append(make([]byte, 0, size), body...)
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			ended = true
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, errSlowBody
		default:
			return nil, fmt.Errorf("%w: %w", errUnreadableBody, err)
		}
	}
	switch {
	case len(body) > task.MaxRequestBytes:
		return nil, errBodyTooLarge
	case len(body) == 0:
		return nil, &task.SyntaxError{Reason: "the body is empty"}
	default:
		return body, nil
	}
}

// maxShown bounds how much of a refused value an answer repeats, in bytes.
const maxShown = 80

func shorten(s string) string { return task.Truncate(s, maxShown) }
