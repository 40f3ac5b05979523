package taskid_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/gateway/internal/taskid"
	"github.com/twinlane/twinlane/internal/task"
)

func key(c string) []byte { return []byte(strings.Repeat(c, taskid.MinKeyBytes)) }

func signer(t testing.TB, keys ...[]byte) *taskid.Signer {
	t.Helper()
	s, err := taskid.NewSigner(keys...)
	require.NoError(t, err)
	return s
}

func newID(t testing.TB, s *taskid.Signer) string {
	t.Helper()
	id, err := s.New()
	require.NoError(t, err)
	return id
}

func TestNew(t *testing.T) {
	t.Parallel()
	s := signer(t, key("a"))
	before := time.Now().Truncate(time.Millisecond)
	id := newID(t, s)
	require.True(t, task.ValidName(id), id)
	require.Equal(t, uuid.Version(7), uuid.MustParse(id[:36]).Version())
	got, ok := s.Check(id)
	require.True(t, ok)
	require.False(t, got.Keyed)
	require.WithinRange(t, got.IssuedAt, before, time.Now())
}

func TestIDsAreInTheOrderOfCreation(t *testing.T) {
	t.Parallel()
	s := signer(t, key("a"))
	ids := make([]string, 1000)
	for i := range ids {
		ids[i] = newID(t, s)
	}
	require.True(t, slices.IsSorted(ids))
	require.Len(t, slices.Compact(ids), 1000)
}

func TestKeyed(t *testing.T) {
	t.Parallel()
	s, same, other := signer(t, key("a")), signer(t, key("a")), signer(t, key("b"))
	seen := map[string]string{}
	for _, clientKey := range []string{"order-1", "order-2", `"order-1"`, " ", strings.Repeat("k", 255)} {
		ids := s.Keyed(clientKey)
		require.Len(t, ids, 1)
		require.Equal(t, ids, same.Keyed(clientKey), "every gateway gives a key the same id")
		require.NotEqual(t, ids, other.Keyed(clientKey))
		require.Empty(t, seen[ids[0]])
		seen[ids[0]] = clientKey
		require.True(t, task.ValidName(ids[0]))
		parsed := uuid.MustParse(ids[0][:36])
		require.Equal(t, uuid.Version(8), parsed.Version())
		require.Equal(t, uuid.RFC4122, parsed.Variant())
		got, ok := same.Check(ids[0])
		require.True(t, ok)
		require.Equal(t, taskid.ID{Keyed: true}, got)
	}
}

// TestForgedIDs holds that every id is refused that differs from an issued one
// by a single character, in length or in its capitals.
func TestForgedIDs(t *testing.T) {
	t.Parallel()
	s := signer(t, key("a"))
	for _, id := range []string{newID(t, s), s.Keyed("order-1")[0]} {
		for i := range len(id) {
			for _, c := range []byte{'0', 'a', '-', '/', 0, 0xff} {
				if forged := []byte(id); forged[i] != c {
					forged[i] = c
					_, ok := s.Check(string(forged))
					require.False(t, ok, "%s", forged)
				}
			}
			_, ok := s.Check(id[:i])
			require.False(t, ok, id[:i])
		}
		for _, forged := range []string{id + "0", " " + id, strings.ToUpper(id), id + "\n", "{" + id[:36] + "}" + id[36:]} {
			_, ok := s.Check(forged)
			require.False(t, ok, forged)
		}
		_, ok := signer(t, key("b")).Check(id)
		require.False(t, ok, "the key of another system")
	}
}

// TestKeysDoNotSign shows that what a client's key becomes is no signature: a
// client chooses its key, and could choose the UUID that it wants signed.
func TestKeysDoNotSign(t *testing.T) {
	t.Parallel()
	s := signer(t, key("a"))
	id := newID(t, s)
	named := strings.ReplaceAll(s.Keyed(id[:36])[0], "-", "")
	const unchanged = 12 // digits before the version of a UUID
	require.NotEqual(t, id[37:37+unchanged], named[:unchanged])
}

// TestRotation follows two gateways through the replacement of their key.
func TestRotation(t *testing.T) {
	t.Parallel()
	before := signer(t, key("a"))
	prepared := signer(t, key("a"), key("b"))
	moved := signer(t, key("b"), key("a"))
	after := signer(t, key("b"))

	require.Equal(t, before.Keyed("k")[0], prepared.Keyed("k")[0])
	require.Equal(t, after.Keyed("k")[0], moved.Keyed("k")[0])
	require.ElementsMatch(t, prepared.Keyed("k"), moved.Keyed("k"), "each knows the id that the other one gives")
	for name, tc := range map[string]struct{ issues, reads *taskid.Signer }{
		"the new key is known before it is used":     {before, prepared},
		"one gateway uses it, the other not yet":     {moved, prepared},
		"the same, the other way":                    {prepared, moved},
		"the old key is gone from one gateway alone": {moved, after},
	} {
		for _, id := range []string{newID(t, tc.issues), tc.issues.Keyed("k")[0]} {
			_, ok := tc.reads.Check(id)
			require.True(t, ok, name)
		}
	}
	_, ok := after.Check(newID(t, before))
	require.False(t, ok)
}

func TestBadKeys(t *testing.T) {
	t.Parallel()
	_, err := taskid.NewSigner()
	require.Error(t, err)
	_, err = taskid.NewSigner(key("a"), []byte("secret"))
	require.ErrorContains(t, err, "signing key 2 has 6 bytes; allowed: 16 and more")
	require.NotContains(t, err.Error(), "secret")
}

func TestRandomKeysDiffer(t *testing.T) {
	t.Parallel()
	require.False(t, bytes.Equal(taskid.RandomKey(), taskid.RandomKey()))
	signer(t, taskid.RandomKey())
}

// TestManyGoroutines has ids made and checked at the same time, for the race
// detector and for the HMACs they share.
func TestManyGoroutines(t *testing.T) {
	t.Parallel()
	s := signer(t, key("a"), key("b"))
	want := s.Keyed("k")
	done := make(chan bool)
	for range 8 {
		go func() {
			good := true
			for range 500 {
				id, err := s.New()
				_, ok := s.Check(id)
				good = good && err == nil && ok && slices.Equal(want, s.Keyed("k"))
			}
			done <- good
		}()
	}
	for range 8 {
		require.True(t, <-done)
	}
}

// FuzzCheck has no text pass that was not issued.
func FuzzCheck(f *testing.F) {
	s := signer(f, key("a"))
	issued := newID(f, s)
	keyed := s.Keyed("order-1")[0]
	for _, seed := range []string{"", issued, keyed, strings.ToUpper(issued), issued[:36], strings.Repeat("0", 53), strings.Repeat("-", 53)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		got, ok := s.Check(id)
		if !ok {
			require.Zero(t, got)
			return
		}
		require.Len(t, id, 53)
		require.Equal(t, strings.ToLower(id), id)
		require.NoError(t, uuid.Validate(id[:36]))
		require.Equal(t, got.Keyed, got.IssuedAt.IsZero())
	})
}

func BenchmarkNew(b *testing.B) {
	s := signer(b, key("a"))
	b.ReportAllocs()
	for b.Loop() {
		_, _ = s.New()
	}
}

func BenchmarkCheck(b *testing.B) {
	s := signer(b, key("a"))
	id := newID(b, s)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := s.Check(id); !ok {
			b.Fatal("refused")
		}
	}
}

func BenchmarkUUID(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		id, _ := uuid.NewV7()
		_ = id.String()
	}
}
