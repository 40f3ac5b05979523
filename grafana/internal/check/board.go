// Package check says what is wrong with dashboards and with Prometheus' rules, without a Grafana: whether what they ask
// is PromQL, whether what they ask for exists, and whether they keep to the rules by which dashboards stay readable. It
// reads the files that Grafana and Prometheus read, and knows nothing of how they are made.
package check

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Board is a dashboard of the classic schema, as far as the checks look at it.
type Board struct {
	UID         string   `json:"uid"`
	Title       string   `json:"title"`
	Description string   `json:"description"`
	Tags        []string `json:"tags"`
	Editable    bool     `json:"editable"`
	Panels      []Panel  `json:"panels"`
	Links       []Link   `json:"links"`
	Templating  struct {
		List []Variable `json:"list"`
	} `json:"templating"`
	Annotations struct {
		List []Annotation `json:"list"`
	} `json:"annotations"`
}

// Panel is a panel, or a row with the panels that it hides.
type Panel struct {
	ID              int              `json:"id"`
	Type            string           `json:"type"`
	Title           string           `json:"title"`
	Description     string           `json:"description"`
	Datasource      *Datasource      `json:"datasource"`
	GridPos         Grid             `json:"gridPos"`
	Targets         []Target         `json:"targets"`
	Transformations []Transformation `json:"transformations"`
	Panels          []Panel          `json:"panels"`
	FieldConfig     struct {
		Defaults struct {
			Unit string `json:"unit"`
		} `json:"defaults"`
		Overrides []struct {
			Properties []struct {
				ID    string `json:"id"`
				Value any    `json:"value"`
			} `json:"properties"`
		} `json:"overrides"`
	} `json:"fieldConfig"`
}

// Grid is the place of a panel: 24 columns, and rows without end.
type Grid struct {
	X int `json:"x"`
	Y int `json:"y"`
	W int `json:"w"`
	H int `json:"h"`
}

// Target is a query of a panel.
type Target struct {
	RefID        string      `json:"refId"`
	Expr         string      `json:"expr"`
	Instant      bool        `json:"instant"`
	Interval     string      `json:"interval"`
	Format       string      `json:"format"`
	LegendFormat string      `json:"legendFormat"`
	Datasource   *Datasource `json:"datasource"`
}

// Transformation is a step between the answers and what is drawn.
type Transformation struct {
	ID string `json:"id"`
}

// Datasource is what is asked.
type Datasource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// Variable is a choice of the reader.
type Variable struct {
	Name       string      `json:"name"`
	Type       string      `json:"type"`
	Query      any         `json:"query"`
	Refresh    int         `json:"refresh"`
	Datasource *Datasource `json:"datasource"`
}

// Annotation marks times in all panels.
type Annotation struct {
	Name        string      `json:"name"`
	Expr        string      `json:"expr"`
	Step        string      `json:"step"`
	TitleFormat string      `json:"titleFormat"`
	TextFormat  string      `json:"textFormat"`
	Placement   string      `json:"placement"`
	Datasource  *Datasource `json:"datasource"`
}

// Link leads to other dashboards, by their tags or by an address.
type Link struct {
	Type      string   `json:"type"`
	Tags      []string `json:"tags"`
	URL       string   `json:"url"`
	Placement string   `json:"placement"` // empty is above the panels
}

// Parse reads a dashboard.
func Parse(text []byte) (*Board, error) {
	var b Board
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, fmt.Errorf("parse a dashboard: %w", err)
	}
	return &b, nil
}

// AllPanels lists the panels, those that rows hide included, and the rows not.
func (b *Board) AllPanels() []Panel {
	var all []Panel
	for _, p := range b.Panels {
		if p.Type == "row" {
			all = append(all, p.Panels...)
		} else {
			all = append(all, p)
		}
	}
	return all
}

// Query is a question that a dashboard asks, and where.
type Query struct {
	Where   string // the dashboard, the panel and the query's letter
	Expr    string
	Step    time.Duration // the shortest that makes sense; 0 is the data source's own
	Instant bool
	Labels  []string // that the legend needs
}

// Queries lists everything that a dashboard asks Prometheus, but for what its variables ask.
func (b *Board) Queries() ([]Query, error) {
	var all []Query
	add := func(where, expr, step string, instant bool, legends ...string) error {
		q := Query{Where: b.Title + " / " + where, Expr: expr, Instant: instant}
		if step != "" {
			var err error
			if q.Step, err = time.ParseDuration(step); err != nil {
				return fmt.Errorf("%s: step: %w", q.Where, err)
			}
		}
		for _, legend := range legends {
			for _, m := range legendLabel.FindAllStringSubmatch(legend, -1) {
				q.Labels = append(q.Labels, m[1])
			}
		}
		all = append(all, q)
		return nil
	}
	for _, p := range b.AllPanels() {
		for _, t := range p.Targets {
			if err := add(p.Title+" / "+t.RefID, t.Expr, t.Interval, t.Instant, t.LegendFormat); err != nil {
				return nil, err
			}
		}
	}
	for _, a := range b.Annotations.List {
		if err := add("annotation "+a.Name, a.Expr, a.Step, false, a.TitleFormat, a.TextFormat); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Choices lists what the variables of a dashboard ask: label_values(SELECTOR, LABEL) and query_result(EXPRESSION).
func (b *Board) Choices() ([]Query, error) {
	var all []Query
	for _, v := range b.Templating.List {
		if v.Type != "query" {
			continue
		}
		q := Query{Where: b.Title + " / variable " + v.Name}
		text, _ := v.Query.(string)
		if m := labelValues.FindStringSubmatch(text); m != nil {
			q.Expr, q.Labels = m[1], []string{m[2]}
		} else if m := queryResult.FindStringSubmatch(text); m != nil {
			q.Expr, q.Instant = m[1], true
		} else {
			return nil, fmt.Errorf("%s asks neither for label_values nor for query_result: %v", q.Where, v.Query)
		}
		all = append(all, q)
	}
	return all, nil
}

var (
	labelValues = regexp.MustCompile(`^label_values\((.+), *(\w+)\)$`)
	queryResult = regexp.MustCompile(`^query_result\((.+)\)$`)
)

var legendLabel = regexp.MustCompile(`\{\{ *(\w+) *\}\}`)

// Variables are the values of what stands as $name in queries.
type Variables map[string]string

// At are the variables that Grafana itself sets, for a time range and the steps of a query. Prometheus is scraped each
// interval, and a rate needs four of them.
func (v Variables) At(span, step, interval time.Duration) Variables {
	all := maps.Clone(v)
	all["__range"] = seconds(span)
	all["__rate_interval"] = seconds(max(step+interval, 4*interval))
	return all
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) + "s" }

// Fill puts values in the place of variables.
func (v Variables) Fill(expr string) string {
	names := slices.SortedFunc(maps.Keys(v), func(a, b string) int { return len(b) - len(a) })
	for _, name := range names {
		expr = strings.NewReplacer("${"+name+"}", v[name], "$"+name, v[name]).Replace(expr)
	}
	return expr
}

// used lists the variables in an expression. $1 and the like are parts of a regular expression.
func used(expr string) []string {
	var all []string
	for _, m := range variable.FindAllStringSubmatch(expr, -1) {
		all = append(all, m[1])
	}
	return all
}

var variable = regexp.MustCompile(`\$\{?([a-zA-Z_]\w*)`)
