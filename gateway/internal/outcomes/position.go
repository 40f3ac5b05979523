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
	// gap says that messages were skipped, and that how far back is not known yet.
	gap bool
}

func newPosition() position { return position{last: -1, highest: -1} }

// innerOffsets is how many offsets in a row RabbitMQ may use for what it writes
// into a stream for itself.
const innerOffsets = 16

// advance moves to a message, and reports whether its offset was read before. It
// can be another message then: a stream that replaces one of its name begins at
// 0 again.
func (p *position) advance(m *rabbitmq.StreamMessage, k kind) (again bool) {
	if m.Offset <= p.last {
		p.written = 0
	} else if m.Offset > p.last+innerOffsets {
		p.gap = true
	}
	again = m.Offset <= p.highest
	p.last, p.highest = m.Offset, max(p.highest, m.Offset)
	if at := m.Timestamp.Unix(); k.dated() && 0 < at && at <= math.MaxUint32 {
		p.written = max(p.written, uint32(at))
	}
	return again
}

// fresh notes that the message moved to was just written: nothing after it was
// read before, whatever its offset.
func (p *position) fresh() { p.highest = p.last }

// missed is the time before which messages were lost to the reader. It is
// reported once for each gap, and zero else.
func (p *position) missed() time.Time {
	if !p.gap || p.written == 0 {
		return time.Time{}
	}
	p.gap = false
	return seconds(p.written)
}

func seconds(s uint32) time.Time { return time.Unix(int64(s), 0) }
