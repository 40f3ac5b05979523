package check_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/grafana/internal/check"
)

// good is a dashboard that breaks no rule.
const good = `{
  "uid": "u", "title": "Board", "description": "Does it work?", "tags": ["t"], "editable": false,
  "links": [{"type": "dashboards", "tags": ["t"]}],
  "templating": {"list": [
    {"name": "datasource", "type": "datasource", "query": "prometheus"},
    {"name": "run", "type": "query", "refresh": 2, "query": "label_values(k6_vus, testid)", "datasource": {"type": "prometheus", "uid": "${datasource}"}}
  ]},
  "annotations": {"list": [{"name": "Steps", "expr": "up > 0", "step": "1s", "titleFormat": "{{job}}", "datasource": {"type": "prometheus", "uid": "${datasource}"}}]},
  "panels": [
    {"id": 1, "type": "row", "title": "Row", "gridPos": {"x": 0, "y": 0, "w": 24, "h": 1}},
    {"id": 2, "type": "timeseries", "title": "Requests", "description": "How many requests arrive. Bad: none for a while.",
     "datasource": {"type": "prometheus", "uid": "${datasource}"}, "gridPos": {"x": 0, "y": 1, "w": 12, "h": 8},
     "fieldConfig": {"defaults": {"unit": "reqps"}},
     "targets": [{"refId": "A", "legendFormat": "{{code}}", "interval": "1s", "datasource": {"type": "prometheus", "uid": "${datasource}"},
                  "expr": "sum by (code) (rate(http_requests_total{run=\"$run\"}[$__rate_interval]))"}]},
    {"id": 3, "type": "stat", "title": "Waiting", "description": "How many tasks wait for somebody. Bad: more and more.",
     "datasource": {"type": "prometheus", "uid": "${datasource}"}, "gridPos": {"x": 12, "y": 1, "w": 12, "h": 8},
     "fieldConfig": {"defaults": {"unit": "short"}}, "transformations": [{"id": "merge"}],
     "targets": [{"refId": "A", "legendFormat": "waiting", "instant": true, "datasource": {"type": "prometheus", "uid": "${datasource}"},
                  "expr": "sum(queue_messages)"}]}
  ]}`

func parsed(t *testing.T) *check.Board {
	t.Helper()
	b, err := check.Parse([]byte(good))
	require.NoError(t, err)
	return b
}

func TestLintAcceptsAGoodBoard(t *testing.T) {
	t.Parallel()
	require.Empty(t, parsed(t).Lint())
}

func TestLintFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	expr := func(expr string) func(*check.Board) {
		return func(b *check.Board) { b.Panels[1].Targets[0].Expr = expr }
	}
	for name, c := range map[string]struct {
		spoil func(*check.Board)
		says  string
	}{
		"no PromQL":              {expr(`sum(rate(http_requests_total[$__rate_interval])`), "no PromQL"},
		"rate of a gauge":        {expr(`rate(queue_messages[$__rate_interval])`), "rate of queue_messages, which is a gauge"},
		"rate over minutes":      {expr(`rate(http_requests_total[5m])`), "not over $__rate_interval"},
		"rate over the range":    {expr(`sum(rate(http_requests_total[$__range]))`), "not over $__rate_interval"},
		"raw counter":            {expr(`sum(http_requests_total)`), "is a counter"},
		"increase over minutes":  {expr(`increase(http_requests_total[5m])`), "not over $__rate_interval"},
		"increase of k6":         {expr(`increase(k6_iterations_total[$__rate_interval])`), "use last_over_time"},
		"unknown variable":       {expr(`sum(queue_messages{run="$runn"})`), "there is no variable runn"},
		"fixed data source":      {func(b *check.Board) { b.Panels[1].Targets[0].Datasource.UID = "prometheus" }, "its data source is not"},
		"no data source":         {func(b *check.Board) { b.Panels[1].Datasource = nil }, "its data source is not"},
		"annotation's source":    {func(b *check.Board) { b.Annotations.List[0].Datasource.UID = "x" }, "annotation Steps: its data source"},
		"hidden switch":          {func(b *check.Board) { b.Annotations.List[0].Placement = "inControlsMenu" }, "hidden in a menu"},
		"no variable for it":     {func(b *check.Board) { b.Templating.List = b.Templating.List[1:] }, "no variable datasource"},
		"variable asked once":    {func(b *check.Board) { b.Templating.List[1].Refresh = 1 }, "variable run is not asked again"},
		"variable of no kind":    {func(b *check.Board) { b.Templating.List[1].Query = "up" }, "neither for label_values nor for query_result"},
		"variable, no PromQL":    {func(b *check.Board) { b.Templating.List[1].Query = "label_values(k6_vus{, testid)" }, "variable run: no PromQL"},
		"no unit":                {func(b *check.Board) { b.Panels[1].FieldConfig.Defaults.Unit = "" }, `"" is no unit`},
		"invented unit":          {func(b *check.Board) { b.Panels[1].FieldConfig.Defaults.Unit = "requests" }, `"requests" is no unit`},
		"no description":         {func(b *check.Board) { b.Panels[1].Description = "Requests." }, "needs a title, and a description"},
		"same id":                {func(b *check.Board) { b.Panels[2].ID = 2 }, "its id 2 is not its own"},
		"same title":             {func(b *check.Board) { b.Panels[2].Title = "Requests" }, `two panels are called "Requests"`},
		"overlap":                {func(b *check.Board) { b.Panels[2].GridPos.X = 11 }, "overlap"},
		"outside":                {func(b *check.Board) { b.Panels[2].GridPos.W = 13 }, "not within the 24 columns"},
		"plugin":                 {func(b *check.Board) { b.Panels[2].Type = "canvas" }, "no panel that comes with Grafana"},
		"unknown transformation": {func(b *check.Board) { b.Panels[2].Transformations[0].ID = "pivot" }, "no transformation pivot"},
		"no query":               {func(b *check.Board) { b.Panels[2].Targets = nil }, "asks nothing"},
		"no legend":              {func(b *check.Board) { b.Panels[2].Targets[0].LegendFormat = "" }, "no legend"},
		"editable":               {func(b *check.Board) { b.Editable = true }, "editable"},
		"no question":            {func(b *check.Board) { b.Description = "" }, "the question that it answers"},
		"step that is none":      {func(b *check.Board) { b.Panels[1].Targets[0].Interval = "soon" }, "step"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := parsed(t)
			c.spoil(b)
			found := b.Lint()
			require.NotEmpty(t, found)
			require.Contains(t, found[0], c.says)
		})
	}
}

func TestLintLinks(t *testing.T) {
	t.Parallel()
	pair := func() []*check.Board {
		a, b := parsed(t), parsed(t)
		b.UID = "v"
		b.Links = []check.Link{{Type: "link", URL: "/d/u"}}
		return []*check.Board{a, b}
	}
	require.Empty(t, check.LintLinks(pair()))
	for name, spoil := range map[string]func([]*check.Board){
		"same uid":      func(b []*check.Board) { b[1].UID = "u" },
		"unknown uid":   func(b []*check.Board) { b[1].Links[0].URL = "/d/w" },
		"nobody's tag":  func(b []*check.Board) { b[0].Links[0].Tags = []string{"other"} },
		"only its own":  func(b []*check.Board) { b[1].Tags = nil },
		"no link":       func(b []*check.Board) { b[1].Links = nil },
		"in a menu":     func(b []*check.Board) { b[0].Links[0].Placement = "inControlsMenu" },
		"tag of no one": func(b []*check.Board) { b[0].Links[0].Tags = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			boards := pair()
			spoil(boards)
			require.Len(t, check.LintLinks(boards), 1)
		})
	}
}

func TestQueriesAndVariables(t *testing.T) {
	t.Parallel()
	b := parsed(t)
	queries, err := b.Queries()
	require.NoError(t, err)
	require.Len(t, queries, 3)
	require.Equal(t, check.Query{
		Where: "Board / Requests / A", Step: time.Second, Labels: []string{"code"},
		Expr: `sum by (code) (rate(http_requests_total{run="$run"}[$__rate_interval]))`,
	}, queries[0])
	require.True(t, queries[1].Instant)
	require.Equal(t, "Board / annotation Steps", queries[2].Where)

	choices, err := b.Choices()
	require.NoError(t, err)
	require.Equal(t, []check.Query{{Where: "Board / variable run", Expr: "k6_vus", Labels: []string{"testid"}}}, choices)

	v := check.Variables{"run": "r1", "runner": "x"}
	require.Equal(t, `a{run="r1", by="x", re="$1"}[4s] b[60s]`,
		v.At(time.Minute, time.Second, time.Second).Fill(`a{run="${run}", by="$runner", re="$1"}[$__rate_interval] b[$__range]`))
	require.Equal(t, "20s 35s", v.At(0, time.Second, 5*time.Second).Fill("$__rate_interval")+" "+
		v.At(0, 30*time.Second, 5*time.Second).Fill("$__rate_interval"))
}
