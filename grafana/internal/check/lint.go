package check

import (
	"fmt"
	"slices"
	"strings"
)

// coreTypes are the panels that come with Grafana 10 to 13 and that the dashboards use.
func coreTypes() []string {
	return []string{"stat", "timeseries", "barchart", "state-timeline", "table", "text"}
}

// transformations are those of Grafana that the dashboards use.
func transformations() []string {
	return []string{"groupingToMatrix", "convertFieldType", "sortBy", "organize", "merge"}
}

// units are Grafana's ids of units. What begins with suffix: is a unit of one's own.
func units() []string {
	return []string{"none", "short", "s", "ms", "percentunit", "reqps", "ops", "bytes"}
}

// source is how everything refers to the data source: as the reader chose it.
const source = "${datasource}"

// Lint says where a dashboard breaks a rule, a sentence for each place.
func (b *Board) Lint() []string {
	l := linter{board: b}
	l.head()
	l.ids()
	l.grid()
	for _, p := range b.AllPanels() {
		l.panel(p)
	}
	l.variables()
	l.queries()
	return l.found
}

type linter struct {
	board *Board
	found []string
}

func (l *linter) wrong(format string, args ...any) {
	l.found = append(l.found, l.board.Title+": "+fmt.Sprintf(format, args...))
}

func (l *linter) head() {
	b := l.board
	if b.UID == "" || b.Title == "" || !strings.HasSuffix(b.Description, ".") && !strings.HasSuffix(b.Description, "?") {
		l.wrong("it needs a uid, a title, and the question that it answers as its description")
	}
	if b.Editable {
		l.wrong("it is editable, but comes from a file: changes would be lost")
	}
	for _, a := range b.Annotations.List {
		l.datasource("annotation "+a.Name, a.Datasource)
		if a.Placement != "" {
			l.wrong("annotation %s: its switch is hidden in a menu: %s", a.Name, a.Placement)
		}
	}
}

func (l *linter) ids() {
	rows := slices.DeleteFunc(slices.Clone(l.board.Panels), func(p Panel) bool { return p.Type != "row" })
	seen, titles := map[int]bool{}, map[string]bool{}
	for _, p := range append(rows, l.board.AllPanels()...) {
		if p.ID == 0 || seen[p.ID] {
			l.wrong("panel %q: its id %d is not its own", p.Title, p.ID)
		}
		if titles[p.Title] {
			l.wrong("two panels are called %q", p.Title)
		}
		seen[p.ID], titles[p.Title] = true, true
	}
}

func (l *linter) grid() {
	var placed []Panel
	for _, p := range l.board.Panels {
		g := p.GridPos
		if g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
			l.wrong("panel %q is not within the 24 columns: %+v", p.Title, g)
		}
		for _, q := range placed {
			o := q.GridPos
			if g.X < o.X+o.W && o.X < g.X+g.W && g.Y < o.Y+o.H && o.Y < g.Y+g.H {
				l.wrong("panels %q and %q overlap", q.Title, p.Title)
			}
		}
		placed = append(placed, p)
	}
}

func (l *linter) panel(p Panel) {
	if p.Title == "" || len(p.Description) < 40 || !strings.HasSuffix(p.Description, ".") {
		l.wrong("panel %q needs a title, and a description of what it shows and what is bad", p.Title)
	}
	if !slices.Contains(coreTypes(), p.Type) {
		l.wrong("panel %q: %s is no panel that comes with Grafana", p.Title, p.Type)
	}
	l.unit(p.Title, p.FieldConfig.Defaults.Unit)
	for _, o := range p.FieldConfig.Overrides {
		for _, property := range o.Properties {
			if property.ID == "unit" {
				unit, _ := property.Value.(string)
				l.unit(p.Title, unit)
			}
		}
	}
	for _, t := range p.Transformations {
		if !slices.Contains(transformations(), t.ID) {
			l.wrong("panel %q: Grafana has no transformation %s", p.Title, t.ID)
		}
	}
	l.datasource("panel "+p.Title, p.Datasource)
	if len(p.Targets) == 0 {
		l.wrong("panel %q asks nothing", p.Title)
	}
	refs := map[string]bool{}
	for _, t := range p.Targets {
		if t.RefID == "" || refs[t.RefID] {
			l.wrong("panel %q: two queries are called %q", p.Title, t.RefID)
		}
		refs[t.RefID] = true
		l.datasource("panel "+p.Title, t.Datasource)
		if t.LegendFormat == "" && t.Format != "table" {
			l.wrong("panel %q, query %s: it has no legend", p.Title, t.RefID)
		}
	}
}

func (l *linter) unit(title, unit string) {
	if !slices.Contains(units(), unit) && !strings.HasPrefix(unit, "suffix:") {
		l.wrong("panel %q: %q is no unit", title, unit)
	}
}

func (l *linter) datasource(where string, d *Datasource) {
	if d == nil || d.Type != "prometheus" || d.UID != source {
		l.wrong("%s: its data source is not %s", where, source)
	}
}

func (l *linter) variables() {
	hasSource := false
	for _, v := range l.board.Templating.List {
		switch v.Type {
		case "datasource":
			hasSource = hasSource || v.Name == "datasource" && v.Query == "prometheus"
		case "query":
			l.datasource("variable "+v.Name, v.Datasource)
			if v.Refresh != 2 {
				l.wrong("variable %s is not asked again when the time range changes", v.Name)
			}
		}
	}
	if !hasSource {
		l.wrong("it has no variable datasource")
	}
}

func (l *linter) queries() {
	queries, err := l.board.Queries()
	if err != nil {
		l.wrong("%s", err)
		return
	}
	choices, err := l.board.Choices()
	if err != nil {
		l.wrong("%s", err)
	}
	for _, q := range choices {
		if _, err := parse(withRanges(q.Expr)); err != nil {
			l.wrong("%s: %s", q.Where, err)
		}
	}
	known := []string{"__range", "__rate_interval"}
	for _, v := range l.board.Templating.List {
		known = append(known, v.Name)
	}
	for _, q := range queries {
		for _, name := range used(q.Expr) {
			if !slices.Contains(known, name) {
				l.wrong("%s: there is no variable %s", q.Where, name)
			}
		}
		for _, problem := range lintExpr(q.Expr) {
			l.wrong("%s: %s", q.Where, problem)
		}
	}
}

// LintLinks says which links of dashboards lead nowhere, and which dashboards share what has to be their own.
func LintLinks(boards []*Board) []string {
	var found []string
	uids := map[string]bool{}
	for _, b := range boards {
		if uids[b.UID] {
			found = append(found, fmt.Sprintf("%s: its uid %s is not its own", b.Title, b.UID))
		}
		uids[b.UID] = true
	}
	for _, b := range boards {
		if len(b.Links) == 0 {
			found = append(found, b.Title+": it has no link to the others")
		}
		for _, link := range b.Links {
			if !link.resolves(boards) {
				found = append(found, fmt.Sprintf("%s: a link leads nowhere: %+v", b.Title, link))
			}
			if link.Placement != "" {
				found = append(found, fmt.Sprintf("%s: a link is hidden in a menu: %+v", b.Title, link))
			}
		}
	}
	return found
}

// resolves reports whether a link leads to other dashboards, or to the one of its address.
func (k Link) resolves(boards []*Board) bool {
	if k.Type == "dashboards" {
		tagged := 0
		for _, b := range boards {
			if !slices.ContainsFunc(k.Tags, func(tag string) bool { return !slices.Contains(b.Tags, tag) }) {
				tagged++
			}
		}
		return len(k.Tags) > 0 && tagged > 1
	}
	return slices.ContainsFunc(boards, func(b *Board) bool { return strings.HasPrefix(k.URL, "/d/"+b.UID) })
}
