package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The forms of what is written as JSON. Numbers are in the unit that ends the
// name of their quantity.
type (
	reportJSON struct {
		Environment Environment  `json:"environment"`
		Experiments []resultJSON `json:"experiments"`
	}
	resultJSON struct {
		Experiment string       `json:"experiment"`
		Part       string       `json:"part"`
		Question   string       `json:"question"`
		Quick      bool         `json:"quick"`
		RabbitMQ   string       `json:"rabbitmq,omitempty"`
		Started    time.Time    `json:"started"`
		Seconds    float64      `json:"duration_seconds"`
		Figures    []figureJSON `json:"figures"`
		Finding    string       `json:"finding"`
	}
	figureJSON struct {
		Case         string     `json:"case"`
		Quantity     string     `json:"quantity"`
		Published    *valueJSON `json:"published,omitempty"`
		Predicted    *valueJSON `json:"predicted,omitempty"`
		Theory       string     `json:"theory,omitempty"`
		Measured     *valueJSON `json:"measured,omitempty"`
		Extrapolated bool       `json:"extrapolated,omitempty"`
	}
	// valueJSON is a number, where low and high are the same, a range that may be
	// open at one end, or words.
	valueJSON struct {
		Low   *float64 `json:"low,omitempty"`
		High  *float64 `json:"high,omitempty"`
		Words string   `json:"words,omitempty"`
	}
)

// WriteJSON writes a report.
func (r Report) WriteJSON(w io.Writer) error {
	out := reportJSON{Environment: r.Environment, Experiments: []resultJSON{}}
	for _, result := range r.Results {
		out.Experiments = append(out.Experiments, toJSON(result))
	}
	text, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

func toJSON(r Result) resultJSON {
	out := resultJSON{
		Experiment: r.Experiment.Name, Part: r.Experiment.Part, Question: r.Experiment.Question,
		Quick: r.Size != Full, RabbitMQ: r.RabbitMQ, Started: r.Started.UTC(), Seconds: r.Seconds,
		Figures: []figureJSON{}, Finding: r.Finding,
	}
	for _, row := range r.Rows {
		for _, f := range row.Figures {
			out.Figures = append(out.Figures, figureJSON{
				Case: row.Case, Quantity: f.Quantity, Published: f.Published.toJSON(), Predicted: f.Predicted.toJSON(),
				Theory: f.Theory, Measured: f.Measured.toJSON(), Extrapolated: f.Extrapolated,
			})
		}
	}
	return out
}

func (v Value) toJSON() *valueJSON {
	if v.None() {
		return nil
	}
	out := &valueJSON{Words: v.Words}
	if v.known && !math.IsInf(v.Low, 0) {
		out.Low = &v.Low
	}
	if v.known && !math.IsInf(v.High, 0) {
		out.High = &v.High
	}
	return out
}

// ReadReport reads what WriteJSON has written. Where there is no such file, the
// report is empty; a result of an experiment that there is no more is left out.
func ReadReport(path string) (r Report, err error) {
	text, err := os.ReadFile(filepath.Clean(path))
	if errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	var in reportJSON
	if err == nil {
		err = json.Unmarshal(text, &in)
	}
	if err != nil {
		return r, fmt.Errorf("read results: %w", err)
	}
	r.Environment = in.Environment
	all := Experiments()
	for _, result := range in.Experiments {
		i := slices.IndexFunc(all, func(e Experiment) bool { return e.Name == result.Experiment })
		if i >= 0 {
			r.Results = append(r.Results, result.of(all[i]))
		}
	}
	return r, nil
}

// of is the result of an experiment that was read. Figures of quantities that
// the experiment has no more are left out.
func (r resultJSON) of(e Experiment) Result {
	out := Result{Experiment: e, RabbitMQ: r.RabbitMQ, Started: r.Started, Seconds: r.Seconds, Finding: r.Finding}
	if r.Quick {
		out.Size = Quick
	}
	for _, f := range r.Figures {
		if !slices.ContainsFunc(e.Quantities, func(q Quantity) bool { return q.Key == f.Quantity }) {
			continue
		}
		if n := len(out.Rows); n == 0 || out.Rows[n-1].Case != f.Case {
			out.Rows = append(out.Rows, Row{Case: f.Case})
		}
		row := &out.Rows[len(out.Rows)-1]
		row.Figures = append(row.Figures, Figure{
			Quantity: f.Quantity, Published: f.Published.value(), Predicted: f.Predicted.value(),
			Theory: f.Theory, Measured: f.Measured.value(), Extrapolated: f.Extrapolated,
		})
	}
	return out
}

func (v *valueJSON) value() Value {
	if v == nil {
		return Value{}
	}
	out := Value{Low: math.Inf(-1), High: math.Inf(1), Words: v.Words, known: v.Low != nil || v.High != nil}
	if v.Low != nil {
		out.Low = *v.Low
	}
	if v.High != nil {
		out.High = *v.High
	}
	if !out.known {
		out.Low, out.High = 0, 0
	}
	return out
}

// Save writes the report to a file that ReadReport reads.
func (r Report) Save(path string) error {
	err := os.MkdirAll(filepath.Dir(path), 0o750)
	if err == nil {
		err = toFile(path, r.WriteJSON)
	}
	if err != nil {
		return fmt.Errorf("keep results: %w", err)
	}
	return nil
}

// toFile writes a whole file or leaves it as it was.
func toFile(path string, write func(io.Writer) error) error {
	path = filepath.Clean(path)
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
