// Package boards is the dashboards: each answers one question, and each is a file of this package. What they have in
// common is in three more: how they look (look.go), what kinds of panels they are made of (panels.go), and how they ask
// Prometheus (query.go).
//
// They are dashboards of the classic schema, which Grafana 10 to 13 load, and of panels that come with Grafana.
package boards

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// board is a dashboard before it is built.
type board struct {
	file      string // without .json
	uid       string
	title     string
	question  string // the description: the question that it answers
	from      string // the time range that it opens with, up to now
	variables []cog.Builder[dashboard.VariableModel]
	notes     []cog.Builder[dashboard.AnnotationQuery]
	rows      []row
}

// row is a heading and the panels below it. The first row of a board has none: it is what one sees within ten seconds.
type row struct {
	title  string
	panels []panel
}

// tag links the boards: each has it, and each lists all that have it.
const tag = "twinlane"

// all lists the boards, the one that Grafana opens with first.
func all() []board {
	return []board{sweep(), lanes(), worker(), experiments(), runtime()}
}

// Home is the file of the dashboard that Grafana opens with.
const Home = "sweep.json"

// Files builds the dashboards, each as the text of its file.
func Files() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, b := range all() {
		d, err := b.build()
		if err != nil {
			return nil, fmt.Errorf("dashboard %s: %w", b.file, err)
		}
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(false) // a > of a query reads as one
		e.SetIndent("", "  ")
		if err := e.Encode(d); err != nil {
			return nil, fmt.Errorf("dashboard %s: %w", b.file, err)
		}
		files[b.file+".json"] = text.Bytes()
	}
	return files, nil
}

//nolint:staticcheck // The classic schema: Grafana 12 and older read no other.
func (b *board) build() (dashboard.Dashboard, error) {
	builder := dashboard.NewDashboardBuilder(b.title).
		Uid(b.uid).
		Description(b.question).
		Tags([]string{tag}).
		Readonly().
		Timezone("browser").
		Time(b.from, "now").
		Refresh("5s").
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Link(dashboard.NewDashboardLinkBuilder("Twinlane").
			Type(dashboard.DashboardLinkTypeDashboards).
			Tags([]string{tag}).
			KeepTime(true)).
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").
			Label("Data source").
			Description("The Prometheus that scrapes Twinlane and that k6 writes to.").
			Type("prometheus").
			Hide(dashboard.VariableHideInControlsMenu)).
		Annotation(alerts())
	for _, v := range b.variables {
		builder.WithVariable(v)
	}
	for _, n := range b.notes {
		builder.Annotation(n)
	}
	for _, r := range b.rows {
		if r.title != "" {
			builder.WithRow(dashboard.NewRowBuilder(r.title))
		}
		for _, p := range r.panels {
			builder.WithPanel(p)
		}
	}
	d, err := builder.Build()
	if err == nil {
		number(d.Panels)
		show(&d)
	}
	return d, err
}

// show has links and annotations stand above the panels: the SDK puts all of them into a menu, in which nobody looks, and
// from which some versions of Grafana leave out links to dashboards.
func show(d *dashboard.Dashboard) { //nolint:staticcheck // The classic schema: Grafana 12 and older read no other.
	for i := range d.Links {
		d.Links[i].Placement = nil
	}
	for i := range d.Annotations.List {
		d.Annotations.List[i].Placement = nil
	}
}

// number gives every panel an id, by its place. It is what links to a single panel refer to.
func number(panels []dashboard.PanelOrRowPanel) {
	for i := range panels {
		id := uint32(i + 1)
		if p := panels[i].Panel; p != nil {
			p.Id = &id
		} else {
			panels[i].RowPanel.Id = id
		}
	}
}

// source is the data source that the reader chose.
func source() common.DataSourceRef {
	return common.DataSourceRef{Type: new("prometheus"), Uid: new("${datasource}")}
}

// alerts marks where an alert fires.
func alerts() cog.Builder[dashboard.AnnotationQuery] {
	return dashboard.NewAnnotationQueryBuilder().
		Name("Alerts").
		Datasource(source()).
		Enable(true).
		IconColor(red).
		Expr(`ALERTS{alertstate="firing"}`).
		Step("5s").
		TitleFormat("{{alertname}}").
		TextFormat("{{severity}}")
}

// steps marks the steps of sweeps, those of one run or of all.
func steps(run string) cog.Builder[dashboard.AnnotationQuery] {
	return dashboard.NewAnnotationQueryBuilder().
		Name("Steps").
		Datasource(source()).
		Enable(true).
		IconColor(blue).
		Expr(`sum by (testid, scenario) (rate(k6_requests_sent_total{testid=~"` + run + `"}[$__rate_interval])) > 0`).
		Step("1s").
		TitleFormat("{{scenario}}").
		TextFormat("{{testid}}")
}
