package outcomes

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/rabbitmq"
	"github.com/twinlane/twinlane/internal/rabbitmq/rabbittest"
	"github.com/twinlane/twinlane/internal/task"
)

func TestMain(m *testing.M) { rabbittest.Main(m) }

// idAt is a task id that was issued at a time, in the form that gateways use.
func idAt(at time.Time, n int) string {
	var uuid [16]byte
	binary.BigEndian.PutUint64(uuid[:], uint64(at.UnixMilli())<<16)
	uuid[6] |= 0x70
	uuid[8] = 0x80
	binary.BigEndian.PutUint32(uuid[12:], uint32(n))
	return fmt.Sprintf("%x-%x-%x-%x-%x-%016x", uuid[:4], uuid[4:6], uuid[6:8], uuid[8:10], uuid[10:], n*7919)
}

// keyedID is the id of a request with an Idempotency-Key.
func keyedID(n int) string { return fmt.Sprintf("0aa7651b-16cd-83dd-8448-%012x-b7ad6b7169203331", n) }

// stream is an index and the stream that it reads.
type stream struct {
	*Index
	t        testing.TB
	reg      *prometheus.Registry
	messages []rabbitmq.StreamMessage
}

func newStream(t testing.TB, cfg Config) *stream {
	t.Helper()
	reg := prometheus.NewRegistry()
	return &stream{Index: New(cfg, reg, nil), t: t, reg: reg}
}

// write appends a message and has the index read it.
func (s *stream) write(m rabbitmq.StreamMessage) {
	m.Offset = int64(len(s.messages))
	s.messages = append(s.messages, m)
	s.Read(m)
}

// replay has the index read everything again, from an offset on.
func (s *stream) replay(from int) {
	for _, m := range s.messages[from:] {
		s.Read(m)
	}
}

func (s *stream) outcome(r task.Result) { s.write(resultMessage(s.t, r)) }

func (s *stream) metric(name string, values ...string) float64 {
	s.t.Helper()
	return metric(s.t, s.reg, name, values...)
}

// requireState requires what the index says of a task that was issued now.
func (s *stream) requireState(id string, want State) {
	s.t.Helper()
	_, got := s.Lookup(id, time.Now())
	require.Equal(s.t, want, got)
}

func resultMessage(t testing.TB, r task.Result) rabbitmq.StreamMessage {
	t.Helper()
	body, err := r.Encode()
	require.NoError(t, err)
	return rabbitmq.StreamMessage{ID: r.ID, Type: task.MessageTypeResult, Timestamp: r.FinishedAt.Truncate(time.Second), Body: body}
}

func acceptanceMessage(t testing.TB, a task.Acceptance) rabbitmq.StreamMessage {
	t.Helper()
	body, err := a.Encode()
	require.NoError(t, err)
	return rabbitmq.StreamMessage{ID: a.ID, Type: task.MessageTypeAccepted, Timestamp: a.AcceptedAt.Truncate(time.Second), Body: body}
}

// deathMessage is what the broker makes of a task that it gives up.
func deathMessage(t testing.TB, m task.Message, reason string) rabbitmq.StreamMessage {
	t.Helper()
	body, err := m.Encode()
	require.NoError(t, err)
	headers := task.Headers{Attempt: 2}.Table()
	headers[task.HeaderFirstDeathReason] = reason
	return rabbitmq.StreamMessage{
		ID: m.ID, Type: task.MessageType, Timestamp: m.AcceptedAt.Truncate(time.Second), Headers: headers, Body: body,
	}
}

// done is the result of a task of one second without output.
func done(id, run string, finished time.Time) task.Result {
	finished = finished.UTC()
	return task.Result{
		ID: id, Run: run, Status: task.StatusCompleted, Attempt: 1,
		AcceptedAt: finished.Add(-1100 * time.Millisecond), StartedAt: finished.Add(-time.Second), FinishedAt: finished,
	}
}

// died is the result of a task that failed.
func died(id, run string, finished time.Time) task.Result {
	r := done(id, run, finished)
	r.Status, r.Reason, r.Error = task.StatusDead, task.ReasonPermanent, "boom"
	return r
}

func acceptanceOf(id, run string, at time.Time) task.Acceptance {
	return task.Acceptance{ID: id, Run: run, AcceptedAt: at.UTC(), Digest: fmt.Sprintf("%064x", 0xabc)}
}

// metric is the sum of a metric's series that have the given label values; of a
// histogram, the number of its observations.
func metric(t testing.TB, reg *prometheus.Registry, name string, values ...string) float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	sum, found := 0.0, false
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	series:
		for _, m := range f.GetMetric() {
			for i, l := range m.GetLabel() {
				if i < len(values) && l.GetValue() != values[i] {
					continue series
				}
			}
			found = true
			sum += m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	require.True(t, found, "no metric %s %q", name, values)
	return sum
}

func sleep(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // Called in synctest bubbles only.
