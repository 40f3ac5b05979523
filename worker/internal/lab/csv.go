package lab

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"
)

// csvHeader names the columns. Numbers are in the unit that ends the name of
// their quantity.
func csvHeader() []string {
	return []string{
		"experiment", "part", "case", "quantity",
		"published_low", "published_high", "published_words",
		"predicted_low", "predicted_high", "predicted_words", "theory",
		"measured", "measured_words", "extrapolated",
		"quick", "cores", "platform", "go", "commit", "rabbitmq",
	}
}

// WriteCSV writes a line for each figure of a report.
func (r Report) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	lines := [][]string{csvHeader()}
	for _, result := range r.Results {
		for _, row := range result.Rows {
			for _, f := range row.Figures {
				lines = append(lines, r.csvLine(result, row.Case, f))
			}
		}
	}
	if err := out.WriteAll(lines); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

func (r Report) csvLine(result Result, name string, f Figure) []string {
	line := []string{result.Experiment.Name, result.Experiment.Part, name, f.Quantity}
	line = append(line, f.Published.csv()...)
	line = append(line, f.Predicted.csv()...)
	measured := f.Measured.csv()
	return append(line, f.Theory, measured[0], measured[2], strconv.FormatBool(f.Extrapolated),
		strconv.FormatBool(result.Size != Full), strconv.Itoa(r.Environment.Cores), r.Environment.Platform,
		r.Environment.Go, r.Environment.Commit, result.RabbitMQ)
}

// csv is a value in three columns.
func (v Value) csv() []string {
	number := func(n float64) string {
		if !v.known || math.IsInf(n, 0) {
			return ""
		}
		return strconv.FormatFloat(n, 'g', 6, 64)
	}
	return []string{number(v.Low), number(v.High), v.Words}
}
