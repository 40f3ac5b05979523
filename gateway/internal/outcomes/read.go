package outcomes

import (
	"errors"
	"time"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/task"
)

// kind is what a message of the results stream is.
type kind int

const (
	kindForeign    kind = iota // nothing that belongs here
	kindResult                 // a worker's
	kindDeath                  // a task that the broker itself dead-lettered
	kindAcceptance             // a gateway's, of a keyed request
	kindMarker                 // a gateway's
)

// kindOf looks at the headers first: what is dead-lettered keeps its type, which
// anybody can have chosen.
func kindOf(m *rabbitmq.StreamMessage) kind {
	if _, ok := m.Headers[task.HeaderFirstDeathReason]; ok {
		return kindDeath
	}
	switch m.Type {
	case task.MessageType:
		return kindDeath // nobody else writes a task into the stream
	case task.MessageTypeResult:
		return kindResult
	case task.MessageTypeAccepted:
		return kindAcceptance
	case task.MessageTypeMarker:
		return kindMarker
	default:
		return kindForeign
	}
}

// dated reports whether the time of a message is that at which it was written
// into the stream. What was dead-lettered has that of its first publishing.
func (k kind) dated() bool { return k == kindResult || k == kindAcceptance || k == kindMarker }

// skip says why a message changed nothing. It is empty for one that did.
type skip string

const (
	skipMarker      skip = "marker"
	skipForeign     skip = "foreign"
	skipUndecodable skip = "undecodable"
	skipReplayed    skip = "replayed"  // known already
	skipForgotten   skip = "forgotten" // known once, and not held any more
)

func skips() []skip {
	return []skip{skipMarker, skipForeign, skipUndecodable, skipReplayed, skipForgotten}
}

// source is where something was heard of.
type source struct {
	seen    time.Time // when, or what comes closest to that
	written uint32    // the place in the stream, as position has it; 0 for what was not read
	again   bool      // its offset was read before
}

// Read takes in one message of the results stream. What was read before changes
// nothing, whatever was read in between. It does not block.
func (x *Index) Read(m rabbitmq.StreamMessage) {
	k := kindOf(&m)
	now := time.Now()
	again, missed := x.position.advance(&m, k)
	src := source{seen: now, again: again, written: x.position.written}
	if !x.caughtUp.Load() && src.written != 0 && seconds(src.written).Before(now) {
		src.seen = seconds(src.written)
	}
	if !missed.IsZero() {
		x.miss(missed, now)
	}
	if skipped, err := x.read(&m, k, src); skipped != "" {
		x.metrics.skipped[skipped].Inc()
		x.logSkipped(&m, skipped, err, now)
	}
	x.sweep(now)
}

func (x *Index) read(m *rabbitmq.StreamMessage, k kind, src source) (skip, error) {
	switch k {
	case kindResult:
		r, err := task.DecodeResult(m.Body)
		if err != nil {
			return skipUndecodable, err
		}
		skipped := x.record(&r, execution{at: stamp(r.FinishedAt), status: statusOf(r.Status)}, src)
		if skipped == "" && x.caughtUp.Load() {
			x.metrics.visible.Observe(max(src.seen.Sub(r.FinishedAt), 0).Seconds())
		}
		return skipped, nil
	case kindDeath:
		r := death(m, src)
		if !task.ValidName(r.ID) {
			return skipUndecodable, errNoID
		}
		return x.record(&r, execution{at: stamp(m.Timestamp), status: dead}, src), nil
	case kindAcceptance:
		a, err := task.DecodeAcceptance(m.Body)
		if err != nil {
			return skipUndecodable, err
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		return x.accept(&a, src), nil
	case kindMarker:
		return skipMarker, nil
	default:
		return skipForeign, nil
	}
}

var errNoID = errors.New("neither the message nor its body has a valid id")

const (
	// reasonExpired is RabbitMQ's first reason for what waited in a retry queue.
	reasonExpired = "expired"
	// errBroker is the error of a task that the broker gave up.
	errBroker = "delivered too often without an answer: workers crashed over it or gave it back"
)

// death is the result of a task that the broker itself dead-lettered. Nobody
// knows when exactly it died: when that is read is close, and where it is read
// later, so is what was written before.
func death(m *rabbitmq.StreamMessage, src source) task.Result {
	r := task.Result{ID: m.ID, Status: task.StatusDead, Attempt: 1, FinishedAt: src.seen.UTC()}
	if headers, err := task.ParseHeaders(m.Headers); err == nil {
		r.Attempt = headers.Attempt
	}
	if message, err := task.DecodeMessage(m.Body); err == nil {
		r.ID, r.Run, r.AcceptedAt = message.ID, message.Run, message.AcceptedAt
	}
	// A task that was retried before has the retry's reason: the queues that
	// dead-letter into the stream have but one of their own.
	reason, _ := m.Headers[task.HeaderFirstDeathReason].(string)
	if reason == "" || reason == reasonExpired {
		reason = string(task.ReasonDeliveryLimit)
	}
	r.Reason = task.Reason(task.Truncate(reason, task.MaxShortString))
	if r.Reason == task.ReasonDeliveryLimit {
		r.Error = errBroker
	}
	return r
}

// logEvery is how often at most a message that does not belong here is logged.
const logEvery = time.Minute

// logSkipped logs what nobody should have written. The count of all is in the
// metrics.
func (x *Index) logSkipped(m *rabbitmq.StreamMessage, skipped skip, err error, now time.Time) {
	if skipped != skipUndecodable && skipped != skipForeign || now.Sub(x.logged) < logEvery {
		return
	}
	x.logged = now
	x.logger.Warn("message in the results stream skipped",
		"reason", string(skipped), "offset", m.Offset, "message_id", task.Truncate(m.ID, task.MaxShortString), "err", err)
}
