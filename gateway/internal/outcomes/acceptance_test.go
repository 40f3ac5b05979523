package outcomes

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAcceptances(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC()
	want := acceptanceOf(keyedID(1), "run", now)
	read := func(s *stream) { s.write(acceptanceMessage(t, want)) }
	own := func(s *stream) { s.Accepted(want) }
	finish := func(s *stream) { s.outcome(done(want.ID, want.Run, now)) }
	for name, tc := range map[string]struct {
		steps []func(*stream)
		want  State
	}{
		"read":             {[]func(*stream){read}, Accepted},
		"own":              {[]func(*stream){own}, Accepted},
		"own and read":     {[]func(*stream){own, read, read}, Accepted},
		"finished":         {[]func(*stream){own, finish}, Known},
		"finished, read":   {[]func(*stream){own, finish, read}, Known},
		"finished earlier": {[]func(*stream){finish, own, read}, Known},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStream(t, Config{})
			for _, step := range tc.steps {
				step(s)
				s.replay(0)
			}
			got, ok := s.Acceptance(want.ID)
			require.True(t, ok)
			if tc.want == Accepted {
				require.Equal(t, want, got)
			}
			require.Equal(t, want.Digest, got.Digest)
			r, state := s.Lookup(want.ID, time.Time{})
			require.Equal(t, tc.want, state)
			require.Equal(t, want.ID, r.ID)
			require.Equal(t, "run", r.Run)
			require.Equal(t, 1.0, s.metric("outcomes_tasks"))
			require.EqualValues(t, map[State]int{Accepted: 0, Known: 1}[tc.want], s.Run("run").Settled)
		})
	}
	s := newStream(t, Config{})
	finish(s)
	_, ok := s.Acceptance(want.ID)
	require.False(t, ok, "an outcome alone does not say what was asked for")
	_, ok = s.Acceptance("never")
	require.False(t, ok)
}

func TestTheFirstAcceptanceCounts(t *testing.T) {
	t.Parallel()
	s := newStream(t, Config{})
	first := acceptanceOf(keyedID(1), "", time.Now())
	other := first
	other.Digest = strings.Repeat("f", 64)
	s.write(acceptanceMessage(t, first))
	s.write(acceptanceMessage(t, other))
	s.Accepted(other)
	got, _ := s.Acceptance(first.ID)
	require.Equal(t, first.Digest, got.Digest)
}

func TestAcceptancesAreBoundedToo(t *testing.T) {
	t.Parallel()
	s := newStream(t, Config{MaxTasks: 10})
	s.setCaughtUp(true)
	for n := range 30 {
		s.Accepted(acceptanceOf(keyedID(n), "", time.Now()))
	}
	require.Equal(t, 10.0, s.metric("outcomes_tasks"))
	_, state := s.Lookup(keyedID(0), time.Time{})
	require.Equal(t, Unknown, state)
	_, state = s.Lookup(keyedID(29), time.Time{})
	require.Equal(t, Accepted, state)
}

// TestAcceptedWhileBehind holds that what this gateway accepts now is not taken
// for old because of what it reads of the past.
func TestAcceptedWhileBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStream(t, Config{Retention: time.Hour})
		now := time.Now()
		s.Accepted(acceptanceOf(keyedID(1), "run", now))
		s.AcceptedHere("run")
		s.outcome(done(keyedID(1), "run", now.Add(-50*time.Minute)))
		sleep(30 * time.Minute)
		s.sweep(time.Now())
		s.requireState(keyedID(1), Known)
		require.EqualValues(t, 1, s.Run("run").AcceptedHere)
	})
}
