package httpapi

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/twinlane/twinlane/internal/task"
)

// errBodiesFull says that the requests in flight hold as many bytes as allowed.
var errBodiesFull = errors.New("too many bytes of requests in flight")

// admit lets a request in while the bodies of all that are in flight fit into
// the memory that is set aside for them. It does so before the body is read:
// slow clients and large bodies are bounded like everything else.
func (a *api) admit(h handler) handler {
	return func(c *gin.Context) error {
		size := bodySize(c.Request)
		if !a.bodies.TryAcquire(size) {
			return errBodiesFull
		}
		defer a.bodies.Release(size)
		return h(c)
	}
}

// bodySize is how many bytes of the body will be read at most.
func bodySize(r *http.Request) int64 {
	if r.ContentLength < 0 || r.ContentLength > task.MaxRequestBytes {
		return task.MaxRequestBytes
	}
	return r.ContentLength
}
