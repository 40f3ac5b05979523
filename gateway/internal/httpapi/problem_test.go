package httpapi

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRefusalsSayWhenToRetry holds the whole table: who is turned away for now
// is told for how long, and nobody else is.
func TestRefusalsSayWhenToRetry(t *testing.T) {
	t.Parallel()
	for _, p := range problems() {
		switch p.status {
		case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusConflict:
			require.Equal(t, "Retry-After", p.next.name, p.code)
			seconds, err := strconv.Atoi(p.next.value)
			require.NoError(t, err)
			require.Positive(t, seconds)
		default:
			require.NotEqual(t, "Retry-After", p.next.name, p.code)
		}
	}
}
