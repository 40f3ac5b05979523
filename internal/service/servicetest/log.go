// Package servicetest holds what the tests of several services need. It is for
// tests alone and knows no broker; for that there is rabbittest.
package servicetest

import (
	"bytes"
	"sync"
)

// Log is a log that a test can read while it is written. Its zero value is
// empty and ready for use.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String is everything that was written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
