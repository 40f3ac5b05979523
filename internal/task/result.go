package task

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// Result is the final outcome of a task.
type Result struct {
	ID      string `json:"id"`
	Run     string `json:"run,omitempty"`
	Status  Status `json:"status"`
	Attempt int    `json:"attempt"`
	// Output is what the action returned, any JSON value of at most MaxOutputBytes.
	Output json.RawMessage `json:"output,omitempty"`
	Reason Reason          `json:"reason,omitempty"`
	Error  string          `json:"error,omitempty"`
	// AcceptedAt is by the gateway's clock, the other two by the worker's: on
	// machines whose clocks differ, so do the waits that are computed from them.
	// What nobody can know of a dead task is zero: the first of one that could not
	// be decoded, the first two of one whose worker crashed.
	AcceptedAt time.Time `json:"accepted_at,omitzero"`
	StartedAt  time.Time `json:"started_at,omitzero"`
	FinishedAt time.Time `json:"finished_at"`
}

// QueueWait is the time between acceptance and the start of the last attempt.
// On a first attempt that is the time spent queued.
func (r Result) QueueWait() time.Duration { return r.StartedAt.Sub(r.AcceptedAt) }

// ServiceTime is how long the last attempt ran.
func (r Result) ServiceTime() time.Duration { return r.FinishedAt.Sub(r.StartedAt) }

// EndToEnd is the time between acceptance and the end of the last attempt.
func (r Result) EndToEnd() time.Duration { return r.FinishedAt.Sub(r.AcceptedAt) }

// Final reports whether the status is one that a task ends in.
func (s Status) Final() bool {
	return s == StatusCompleted || s == StatusDead || s == StatusDiscarded
}

// Encode is the inverse of DecodeResult. It shortens an error that is too long.
func (r Result) Encode() ([]byte, error) {
	r.Error = Truncate(r.Error, MaxErrorBytes)
	body, err := encode(r)
	if err != nil {
		return nil, fmt.Errorf("encode result of task %s: %w", r.ID, err)
	}
	return body, nil
}

// MaxResultBytes bounds an encoded result. It has room for the largest output
// and the longest error, escaped.
const MaxResultBytes = MaxOutputBytes + 6*MaxErrorBytes + 2<<10

// DecodeResult reads the body of a message in the results stream. It refuses
// what no worker writes with a *SyntaxError or a *FieldError, and passes over
// fields that it does not know: they are those of a later version.
func DecodeResult(body []byte) (Result, error) {
	if len(body) > MaxResultBytes {
		return Result{}, fieldError("body", fmt.Sprintf("%d bytes", len(body)), fmt.Sprintf("at most %d bytes", MaxResultBytes))
	}
	var r Result
	if err := json.Unmarshal(body, &r); err != nil {
		return Result{}, syntaxError(err)
	}
	switch {
	case !ValidName(r.ID):
		return Result{}, fieldError("id", r.ID, allowedName)
	case r.Run != "" && !ValidName(r.Run):
		return Result{}, fieldError("run", r.Run, allowedName)
	case !r.Status.Final():
		return Result{}, fieldError("status", string(r.Status), "completed, dead, discarded")
	case r.FinishedAt.IsZero():
		return Result{}, fieldError("finished_at", "none", allowedTime)
	}
	return r, nil
}

// Acceptance says that a request with an Idempotency-Key was accepted, and what
// it was.
type Acceptance struct {
	ID         string    `json:"id"`
	Run        string    `json:"run,omitempty"`
	AcceptedAt time.Time `json:"accepted_at"`
	// Digest is the SHA-256 of the request's body, in hexadecimal.
	Digest string `json:"digest"`
}

// digestLen is the length of an Acceptance's digest.
const digestLen = 64

// Encode is the inverse of DecodeAcceptance.
func (a Acceptance) Encode() ([]byte, error) {
	body, err := encode(a)
	if err != nil {
		return nil, fmt.Errorf("encode acceptance of task %s: %w", a.ID, err)
	}
	return body, nil
}

// DecodeAcceptance reads an acceptance, as DecodeResult reads a result.
func DecodeAcceptance(body []byte) (Acceptance, error) {
	if len(body) > MaxResultBytes {
		return Acceptance{}, fieldError("body", fmt.Sprintf("%d bytes", len(body)), fmt.Sprintf("at most %d bytes", MaxResultBytes))
	}
	var a Acceptance
	if err := json.Unmarshal(body, &a); err != nil {
		return Acceptance{}, syntaxError(err)
	}
	switch {
	case !ValidName(a.ID):
		return Acceptance{}, fieldError("id", a.ID, allowedName)
	case a.Run != "" && !ValidName(a.Run):
		return Acceptance{}, fieldError("run", a.Run, allowedName)
	case a.AcceptedAt.IsZero():
		return Acceptance{}, fieldError("accepted_at", "none", allowedTime)
	case len(a.Digest) != digestLen || !isLowerHex(a.Digest):
		return Acceptance{}, fieldError("digest", a.Digest, fmt.Sprintf("%d of 0-9 a-f", digestLen))
	}
	return a, nil
}

// encode encodes v without escaping what is special in HTML only, which could
// make a payload or an output larger than it may be.
func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err //nolint:wrapcheck // The callers say what was encoded.
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}
