package service_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/service"
)

func TestASignalWakesThoseThatWaitForIt(t *testing.T) {
	t.Parallel()
	raised := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	var s service.Signal
	s.Raise() // for nobody
	one, other := s.Next(), s.Next()
	require.False(t, raised(one), "what was before does not count")
	s.Raise()
	require.True(t, raised(one))
	require.True(t, raised(other))
	require.False(t, raised(s.Next()))
}
