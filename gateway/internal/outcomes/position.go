package outcomes

import (
	"math"
	"time"

	"github.com/twinlane/twinlane/internal/rabbitmq"
)

// position follows where in the stream reading is. It belongs to the goroutine
// that reads.
type position struct {
	last    int64 // the offset read last
	highest int64 // the highest offset ever read
	// written is the newest time of a message since reading began or was set
	// back, in seconds since 1970: the place in the stream in terms of time. A
	// message that is read again has the same place, or an earlier one, as reading
	// is never set back to where it had not begun before.
	written uint32
	// gap says that messages may have been lost to the reader, and that up to when
	// is not known yet. It is so wherever reading begins: even what begins at the
	// first offset may have replaced another stream.
	gap bool
}

func newPosition() position { return position{last: -1, highest: -1, gap: true} }

// innerOffsets is how many offsets in a row RabbitMQ may use for what it writes
// into a stream for itself.
const innerOffsets = 16

// advance moves to a message. It reports whether its offset was read before: it
// can be another message then, as a stream that replaces one of its name begins
// at 0 again. Where it is the first with a time after messages were lost to the
// reader, it returns that time, before which they were written, and else zero.
func (p *position) advance(m *rabbitmq.StreamMessage, k kind) (again bool, missed time.Time) {
	if m.Offset <= p.last {
		p.written, p.gap = 0, true
	} else if m.Offset > p.last+innerOffsets {
		p.gap = true
	}
	again = m.Offset <= p.highest
	p.last, p.highest = m.Offset, max(p.highest, m.Offset)
	at := m.Timestamp.Unix()
	if !k.dated() || at <= 0 || at > math.MaxUint32 {
		return again, time.Time{}
	}
	p.written = max(p.written, uint32(at))
	if p.gap {
		p.gap = false
		missed = seconds(uint32(at))
	}
	return again, missed
}

// fresh notes that the message moved to was just written: nothing after it was
// read before, whatever its offset.
func (p *position) fresh() { p.highest = p.last }

func seconds(s uint32) time.Time { return time.Unix(int64(s), 0) }
