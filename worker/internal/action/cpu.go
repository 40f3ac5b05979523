package action

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// hashesPerSlice is well below a millisecond of work: small enough to see the
// context soon, large enough to make the clock's cost vanish.
const hashesPerSlice = 2048

// computed is the output of the cpu action: the n-th link of a SHA-256 chain
// that starts from zeros, which anyone can check.
type computed struct {
	Hashes int    `json:"hashes"`
	Digest string `json:"digest"`
}

// compute burns d of CPU time, which on busy cores takes longer than d.
func compute(ctx context.Context, d time.Duration) (json.RawMessage, error) {
	var link [sha256.Size]byte
	n := 0
	for spent := time.Duration(0); spent < d; n += hashesPerSlice {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		used, err := computeSlice(&link)
		if err != nil {
			return nil, err
		}
		spent += used
		// Yielding between slices, not within one, keeps preemption from parking
		// the thread that a slice is locked to.
		runtime.Gosched()
	}
	output, err := json.Marshal(computed{Hashes: n, Digest: hex.EncodeToString(link[:])})
	if err != nil {
		return nil, fmt.Errorf("encode output: %w", err)
	}
	return output, nil
}

// computeSlice stays on one thread, whose CPU clock it reads.
func computeSlice(link *[sha256.Size]byte) (time.Duration, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := threadTime()
	if err != nil {
		return 0, err
	}
	for range hashesPerSlice {
		*link = sha256.Sum256(link[:])
	}
	after, err := threadTime()
	return after - before, err
}

func threadTime() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return 0, fmt.Errorf("read the thread's CPU clock: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}
