package outcomes

import (
	"crypto/sha256"
	"time"
)

// key is a task id in a compact form. An id as gateways issue them, a UUID and
// a signature of 16 hexadecimal digits, is its own bytes; any other id is a
// part of its SHA-256.
type key [24]byte

const (
	idLen     = 53   // of an id as gateways issue them
	versionAt = 6    // the byte with a UUID's version, in its upper half
	noVersion = 0xf0 // a version that no UUID has
)

func keyOf(id string) key {
	if k, ok := parseKey(id); ok {
		return k
	}
	sum := sha256.Sum256([]byte(id))
	k := key(sum[:len(key{})])
	k[versionAt] |= noVersion
	return k
}

// parseKey reads an id in the one form that gateways issue: two ids never have
// the same key.
func parseKey(id string) (key, bool) {
	var k key
	if len(id) != idLen {
		return k, false
	}
	at := 0
	for i := 0; i < idLen; {
		if i == 8 || i == 13 || i == 18 || i == 23 || i == 36 {
			if id[i] != '-' {
				return k, false
			}
			i++
			continue
		}
		upper, lower := nibble(id[i]), nibble(id[i+1])
		if upper|lower > 0xf {
			return k, false
		}
		k[at] = upper<<4 | lower
		at++
		i += 2
	}
	return k, k[versionAt]&noVersion != noVersion
}

// nibble is the value of a lower-case hexadecimal digit, or 0xff.
func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	default:
		return 0xff
	}
}

// issuedAt is the time in an id that has one: a UUID of version 7 begins with
// 48 bits of milliseconds. Of all others it is zero.
func (k *key) issuedAt() time.Time {
	if k[versionAt]>>4 != 7 {
		return time.Time{}
	}
	ms := int64(0)
	for _, b := range k[:versionAt] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms)
}
