// Package taskid makes the ids of tasks and tells them from all others. An id
// carries a signature, so that every gateway that has the same key knows
// without a store whether a task was ever issued, and when.
//
// It deliberately knows nothing of what became of a task.
package taskid

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
)

// MinKeyBytes is the length of the shortest signing key.
const MinKeyBytes = 16

// An id is a UUID in its canonical form, a dash and the signature in hex.
const (
	uuidLen      = 36
	signatureLen = 8 // bytes
	idLen        = uuidLen + 1 + 2*signatureLen
)

// versionAt is where a UUID in its canonical form has its version.
const versionAt = 14

// The first byte of what is authenticated keeps an id apart from a key of a
// client's, so that no client can have the gateway sign a text of its choice.
const (
	purposeSign = 1
	purposeName = 2
)

// Signer makes and checks ids. Any number of goroutines may use it.
type Signer struct {
	keys []*signingKey
}

// NewSigner returns a signer that signs with the first of keys and accepts the
// signatures of all. To replace a key, every gateway is first given the new one
// as its second, then as its first, and loses the old one when no task signed
// with it is asked for any more.
func NewSigner(keys ...[]byte) (*Signer, error) {
	if len(keys) == 0 {
		return nil, errors.New("no signing key given")
	}
	s := &Signer{}
	for i, key := range keys {
		if len(key) < MinKeyBytes {
			return nil, fmt.Errorf("signing key %d has %d bytes; allowed: %d and more", i+1, len(key), MinKeyBytes)
		}
		s.keys = append(s.keys, newSigningKey(key))
	}
	return s, nil
}

// RandomKey returns a key that nobody else has.
func RandomKey() []byte {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // it never fails
	return key
}

// New returns the id of a new task. The order of ids is the order of creation.
func (s *Signer) New() (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make id: %w", err)
	}
	return s.keys[0].sign(id), nil
}

// Keyed returns the ids that belong to a client's key, the same for each call:
// the first is the one for a new task, the others are those that gateways with
// another signing key in the first place give it while the keys are replaced.
func (s *Signer) Keyed(key string) []string {
	ids := make([]string, len(s.keys))
	for i, k := range s.keys {
		ids[i] = k.sign(k.name(key))
	}
	return ids
}

// ID is what an id tells of its task.
type ID struct {
	// IssuedAt is when the id was made, by the clock of the gateway that made
	// it, in milliseconds. It is zero for an id that belongs to a client's key.
	IssuedAt time.Time
	// Keyed says that the id belongs to a client's key.
	Keyed bool
}

// Check reads an id. It reports false for one that no gateway with one of the
// keys has made. An id has one form alone: other capitals make it another one.
func (s *Signer) Check(id string) (ID, bool) {
	if len(id) != idLen || id[uuidLen] != '-' {
		return ID{}, false
	}
	for _, k := range s.keys {
		if k.signed(id) {
			return parse(id)
		}
	}
	return ID{}, false
}

// parse reads the UUID of an id whose signature is right.
func parse(id string) (ID, bool) {
	switch id[versionAt] {
	case '7':
		const dash = 8 // between the upper 32 bits of the milliseconds and the lower 16
		upper, err := strconv.ParseInt(id[:dash], 16, 64)
		if err != nil {
			return ID{}, false
		}
		lower, err := strconv.ParseInt(id[dash+1:dash+5], 16, 64)
		if err != nil {
			return ID{}, false
		}
		return ID{IssuedAt: time.UnixMilli(upper<<16 | lower)}, true
	case '8':
		return ID{Keyed: true}, true
	default:
		return ID{}, false
	}
}

// signingKey computes with one key. Setting an HMAC up costs more than using
// it, so those in use are kept.
type signingKey struct {
	macs sync.Pool // of *mac
}

// mac is an HMAC and the room it works in.
type mac struct {
	hash.Hash
	text [1 + uuidLen]byte
	sum  [sha256.Size]byte
}

func newSigningKey(key []byte) *signingKey {
	return &signingKey{macs: sync.Pool{New: func() any {
		return &mac{Hash: hmac.New(sha256.New, key)}
	}}}
}

func (k *signingKey) acquire() *mac {
	m, _ := k.macs.Get().(*mac) // nothing else is in it
	m.Reset()
	return m
}

// sign returns the id that a UUID makes.
func (k *signingKey) sign(id uuid.UUID) string {
	m := k.acquire()
	defer k.macs.Put(m)
	var signed [idLen]byte
	text, _ := id.MarshalText() // it never fails
	copy(signed[:], text)
	signed[uuidLen] = '-'
	copy(m.text[1:], text)
	m.signature(signed[uuidLen+1:])
	return string(signed[:])
}

// signed reports whether the signature of an id is this key's.
func (k *signingKey) signed(id string) bool {
	m := k.acquire()
	defer k.macs.Put(m)
	var want, got [2 * signatureLen]byte
	copy(m.text[1:], id[:uuidLen])
	m.signature(want[:])
	copy(got[:], id[uuidLen+1:])
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// signature writes the signature of the UUID in m.text to into, in hex.
func (m *mac) signature(into []byte) {
	m.text[0] = purposeSign
	_, _ = m.Write(m.text[:]) // a hash takes everything
	hex.Encode(into, m.Sum(m.sum[:0])[:signatureLen])
}

// name returns the UUID that a client's key makes, of version 8: what is in it
// is the gateway's own affair.
func (k *signingKey) name(key string) uuid.UUID {
	m := k.acquire()
	defer k.macs.Put(m)
	_, _ = m.Write([]byte{purposeName})
	_, _ = m.Write([]byte(key))
	var id uuid.UUID
	copy(id[:], m.Sum(m.sum[:0]))
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}
