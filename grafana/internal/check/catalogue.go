package check

import (
	"fmt"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Catalogue is what a Prometheus has: by metric and label, the values.
type Catalogue map[string]map[string]map[string]bool

// Add takes a series into the catalogue.
func (c Catalogue) Add(series map[string]string) {
	name := series[model.MetricNameLabel]
	if c[name] == nil {
		c[name] = map[string]map[string]bool{}
	}
	for label, value := range series {
		if c[name][label] == nil {
			c[name][label] = map[string]bool{}
		}
		c[name][label][value] = true
	}
}

// Check says which metrics, labels and values an expression names that there are not. All variables of the expression
// are filled in.
func (c Catalogue) Check(expr string) []string {
	tree, err := parse(expr)
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	parser.Inspect(tree, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			found = append(found, c.selector(n)...)
		case *parser.AggregateExpr:
			if !n.Without {
				found = append(found, c.grouping(n.Expr, n.Grouping)...)
			}
		case *parser.BinaryExpr:
			if n.VectorMatching != nil && n.VectorMatching.On {
				found = append(found, c.grouping(n.LHS, n.VectorMatching.MatchingLabels)...)
				found = append(found, c.grouping(n.RHS, n.VectorMatching.MatchingLabels)...)
			}
		}
		return nil
	})
	return found
}

// metrics are the names that a selector is about.
func (c Catalogue) metrics(v *parser.VectorSelector) []string {
	if name := metricName(v); name != "" {
		if c[name] == nil {
			return nil
		}
		return []string{name}
	}
	var all []string
	for name := range c {
		fits := func(m *labels.Matcher) bool { return m.Name != model.MetricNameLabel || m.Matches(name) }
		if !slices.ContainsFunc(v.LabelMatchers, func(m *labels.Matcher) bool { return !fits(m) }) {
			all = append(all, name)
		}
	}
	return all
}

func (c Catalogue) selector(v *parser.VectorSelector) []string {
	metrics := c.metrics(v)
	if len(metrics) == 0 {
		return []string{fmt.Sprintf("nothing exposes %s", v)}
	}
	var found []string
	for _, name := range metrics {
		for _, m := range v.LabelMatchers {
			if m.Name == model.MetricNameLabel {
				continue
			}
			values, ok := c[name][m.Name]
			if !ok {
				found = append(found, fmt.Sprintf("%s has no label %s", name, m.Name))
			} else if !matches(m, values) {
				found = append(found, fmt.Sprintf("no value of %s fits %s", name, m))
			}
		}
	}
	return found
}

func matches(m *labels.Matcher, values map[string]bool) bool {
	for value := range values {
		if m.Matches(value) {
			return true
		}
	}
	return false
}

// grouping looks for labels in what they are to group: its metrics, and the functions that make labels.
func (c Catalogue) grouping(expr parser.Expr, by []string) []string {
	have := map[string]bool{}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			for _, name := range c.metrics(n) {
				for label := range c[name] {
					have[label] = true
				}
			}
		case *parser.Call:
			if n.Func.Name == "label_replace" || n.Func.Name == "label_join" {
				if made, ok := n.Args[1].(*parser.StringLiteral); ok {
					have[made.Val] = true
				}
			}
		}
		return nil
	})
	var found []string
	for _, label := range by {
		if !have[label] {
			found = append(found, fmt.Sprintf("nothing in %s has the label %s", expr, label))
		}
	}
	return found
}
