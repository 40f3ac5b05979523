package service_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/service"
)

func TestAwaitReady(t *testing.T) {
	t.Parallel()
	const within = 10 * time.Second
	errDown, errAsked := errors.New("down"), errors.New("asked to stop")
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		after := func(d time.Duration) func() error {
			return func() error {
				if time.Since(began) < d {
					return errDown
				}
				return nil
			}
		}
		require.NoError(t, service.AwaitReady(t.Context(), within, after(0)))
		require.Zero(t, time.Since(began), "what is ready is not waited for")

		require.NoError(t, service.AwaitReady(t.Context(), within, after(time.Second)))
		require.Equal(t, time.Second, time.Since(began))

		began = time.Now()
		require.ErrorIs(t, service.AwaitReady(t.Context(), within, after(time.Hour)), errDown)
		require.Equal(t, within, time.Since(began))

		began = time.Now()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errAsked)
		defer cancel()
		require.ErrorIs(t, service.AwaitReady(ctx, within, after(time.Hour)), errAsked)
		require.Equal(t, time.Second, time.Since(began))
	})
}
