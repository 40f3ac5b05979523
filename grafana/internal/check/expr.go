package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Ranges that no query has by itself stand for Grafana's variables while the rules look at them.
const (
	rateInterval = 4*time.Hour + 3*time.Minute
	wholeRange   = 7*time.Hour + time.Minute
)

// parse parses an expression with all variables filled in.
func parse(expr string) (parser.Expr, error) {
	e, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		return nil, fmt.Errorf("no PromQL: %w", err)
	}
	return e, nil
}

// withRanges fills in Grafana's own variables, and something for every other one.
func withRanges(expr string) string {
	v := Variables{}
	for _, name := range used(expr) {
		v[name] = "x"
	}
	v["__rate_interval"], v["__range"] = rateInterval.String(), wholeRange.String()
	return v.Fill(expr)
}

// lintExpr says which rules the expression of a dashboard breaks.
func lintExpr(expr string) []string {
	tree, err := parse(withRanges(expr))
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	wrong := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	parser.Inspect(tree, func(node parser.Node, path []parser.Node) error {
		switch n := node.(type) {
		case *parser.Call:
			lintCall(n, wrong)
		case *parser.VectorSelector:
			if counter(metricName(n)) && !rated(path) {
				wrong("%s is a counter, which says little by itself: use rate, or last_over_time for those of k6", metricName(n))
			}
		}
		return nil
	})
	return found
}

// lintCall looks at a function that counters are made for.
func lintCall(call *parser.Call, wrong func(string, ...any)) {
	if !slices.Contains([]string{"rate", "irate", "increase"}, call.Func.Name) {
		return
	}
	m, ok := call.Args[0].(*parser.MatrixSelector)
	if !ok {
		return // a subquery
	}
	v, ok := m.VectorSelector.(*parser.VectorSelector)
	if !ok {
		return
	}
	name := metricName(v)
	if m.Range != rateInterval && (m.Range != wholeRange || call.Func.Name != "increase") {
		wrong("%s of %s is not over $__rate_interval, nor an increase over $__range", call.Func.Name, name)
	}
	if !counter(name) {
		wrong("%s of %s, which is a gauge", call.Func.Name, name)
	}
	if call.Func.Name == "increase" && strings.HasPrefix(name, "k6_") {
		wrong("increase of %s: a counter of k6 begins with its step, and increase would miss and estimate; use last_over_time", name)
	}
}

// rated reports whether what is at the end of the path is an argument of a function that takes counters.
func rated(path []parser.Node) bool {
	return slices.ContainsFunc(path, func(n parser.Node) bool {
		call, ok := n.(*parser.Call)
		return ok && slices.Contains([]string{"rate", "irate", "increase", "last_over_time", "absent", "timestamp"}, call.Func.Name)
	})
}

// counter tells by the name whether a metric only rises: the suffix is what promlinter holds the services to, and the
// rules of exposition everybody else.
func counter(name string) bool {
	return slices.ContainsFunc([]string{"_total", "_count", "_sum", "_bucket"}, func(suffix string) bool {
		return strings.HasSuffix(name, suffix)
	})
}

// metricName is the name that a selector is about, or empty where it is about several.
func metricName(v *parser.VectorSelector) string {
	if v.Name != "" {
		return v.Name
	}
	for _, m := range v.LabelMatchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return ""
}
