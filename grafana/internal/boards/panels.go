package boards

import (
	"github.com/grafana/grafana-foundation-sdk/go/barchart"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// panel is a panel of any kind. A board is 24 columns wide.
type panel = cog.Builder[dashboard.Panel]

// Heights, in rows of the grid.
const (
	tileHeight  = 4
	chartHeight = 9
	tableHeight = 10
)

// targets names the queries of a panel A, B, C and so on.
func targets(queries []query) []cog.Builder[variants.Dataquery] {
	all := make([]cog.Builder[variants.Dataquery], 0, len(queries))
	for i, q := range queries {
		all = append(all, q.RefId(string(rune('A'+i))))
	}
	return all
}

// tile shows one value, or one a series, large.
func tile(title, description, unit string, levels []level, queries ...query) *stat.PanelBuilder {
	return stat.NewPanelBuilder().
		Title(title).
		Description(description).
		Datasource(source()).
		Span(4).
		Height(tileHeight).
		Unit(unit).
		Thresholds(thresholds(levels...)).
		ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdThresholds)).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})).
		GraphMode(common.BigValueGraphModeNone).
		ColorMode(common.BigValueColorModeBackground).
		TextMode(common.BigValueTextModeAuto).
		JustifyMode(common.BigValueJustifyModeAuto).
		Orientation(common.VizOrientationVertical).
		NoValue("no data").
		Targets(targets(queries))
}

// laneTile shows one value a lane, in the colour of the lane.
func laneTile(title, description, unit string, queries ...query) *stat.PanelBuilder {
	return colourLanes(tile(title, description, unit, nil, queries...).
		ColorMode(common.BigValueColorModeValue).
		TextMode(common.BigValueTextModeValueAndName))
}

// lines shows series over time. Levels are drawn as bands.
func lines(title, description, unit string, levels []level, queries ...query) *timeseries.PanelBuilder {
	style := common.GraphThresholdsStyleModeOff
	if len(levels) > 0 {
		style = common.GraphThresholdsStyleModeDashed
	}
	return timeseries.NewPanelBuilder().
		Title(title).
		Description(description).
		Datasource(source()).
		Span(8).
		Height(chartHeight).
		Unit(unit).
		Min(0).
		Thresholds(thresholds(levels...)).
		ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(style)).
		ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdPaletteClassicByName)).
		LineWidth(2).
		FillOpacity(8).
		ShowPoints(common.VisibilityModeNever).
		Legend(common.NewVizLegendOptionsBuilder().
			DisplayMode(common.LegendDisplayModeTable).
			Placement(common.LegendPlacementBottom).
			ShowLegend(true).
			Calcs([]string{"lastNotNull", "max"})).
		Tooltip(common.NewVizTooltipOptionsBuilder().
			Mode(common.TooltipDisplayModeMulti).
			Sort(common.SortOrderDescending)).
		Targets(targets(queries))
}

// narrow puts four charts in a line.
func narrow(all ...*timeseries.PanelBuilder) []panel {
	panels := make([]panel, 0, len(all))
	for _, p := range all {
		panels = append(panels, p.Span(6))
	}
	return panels
}

// states shows series of 1 and 0 as bands: when something was as it should be, and when it was not.
func states(title, description string, queries ...query) *statetimeline.PanelBuilder {
	return statetimeline.NewPanelBuilder().
		Title(title).
		Description(description).
		Datasource(source()).
		Span(24).
		Height(chartHeight).
		Unit(noUnit).
		Thresholds(thresholds(least(1)...)).
		ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdThresholds)).
		Mappings([]dashboard.ValueMapping{mapping(
			map[string]string{"1": "yes", "0": "NO"}, map[string]string{"1": green, "0": red},
		)}).
		ShowValue(common.VisibilityModeAuto).
		MergeValues(true).
		RowHeight(0.85).
		FillOpacity(75).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(false)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeSingle)).
		Targets(targets(queries))
}

// rateColumn is the axis of the charts of a sweep.
const rateColumn = "requests a second"

// overRPS shows a figure of the steps as a bar a lane at each rate. The query gives a row a step, with the label bar,
// which names the lane. They are made a row a rate, in the order of the rates, which as labels would sort as text.
func overRPS(title, description, unit, expr string) *barchart.PanelBuilder {
	const matrix = `rps\bar` // how the transformation calls the column of rows
	convert := func(to string) dashboard.DataTransformerConfig {
		return transformation("convertFieldType", map[string]any{
			"fields":      map[string]any{},
			"conversions": []any{map[string]any{"targetField": matrix, "destinationType": to}},
		})
	}
	return colourLanes(barchart.NewPanelBuilder().
		Title(title).
		Description(description).
		Datasource(source()).
		Span(12).
		Height(chartHeight).
		Unit(unit).
		Min(0).
		Thresholds(thresholds()).
		ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdPaletteClassicByName)).
		XField(rateColumn).
		Orientation(common.VizOrientationVertical).
		Stacking(common.StackingModeNone).
		ShowValue(common.VisibilityModeAuto).
		GroupWidth(0.8).
		BarWidth(0.95).
		BarRadius(0.05).
		FillOpacity(85).
		LineWidth(1).
		AxisSoftMin(0).
		Legend(common.NewVizLegendOptionsBuilder().
			DisplayMode(common.LegendDisplayModeList).
			Placement(common.LegendPlacementBottom).
			ShowLegend(true)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti)).
		NoValue("no run, or none in this time range").
		WithTransformation(transformation("groupingToMatrix", map[string]any{
			"rowField": "rps", "columnField": "bar", "valueField": "Value", "emptyValue": "null",
		})).
		WithTransformation(convert("number")).
		WithTransformation(transformation("sortBy", map[string]any{
			"fields": map[string]any{}, "sort": []any{map[string]any{"field": matrix, "desc": false}},
		})).
		WithTransformation(convert("string")).
		WithTransformation(transformation("organize", map[string]any{
			"renameByName": map[string]any{matrix: rateColumn}, "excludeByName": map[string]any{}, "indexByName": barOrder(matrix),
		})).
		Targets(targets([]query{columns(expr)}))).
		OverrideByRegexp("/baseline/", []dashboard.DynamicConfigValue{{Id: "custom.fillOpacity", Value: 25}})
}

// barOrder is the order of the columns: the rates, then the bars, each lane beside its baseline.
func barOrder(first string) map[string]any {
	order := map[string]any{first: 0}
	for _, lane := range []string{"sync", "async", "wait"} {
		order[lane] = len(order)
		order[lane+", baseline"] = len(order)
	}
	return order
}

// column is a column of a table: its heading and the query that gives it a value a row.
type column struct {
	name string
	unit string
	expr string
}

// perStep shows figures of the steps as a table, a row a step.
func perStep(title, description string, all []column) *table.PanelBuilder {
	var queries []query
	rename := map[string]any{"lane": "lane", "rps": rateColumn}
	order := map[string]any{"rps": 0, "lane": 1}
	for i, c := range all {
		queries = append(queries, columns(c.expr))
		value := "Value #" + string(rune('A'+i)) // as Grafana calls the values of several tables
		rename[value], order[value] = c.name, i+2
	}
	p := table.NewPanelBuilder().
		Title(title).
		Description(description).
		Datasource(source()).
		Span(24).
		Height(tableHeight).
		Unit(noUnit).
		Thresholds(thresholds()).
		NoValue("–").
		Footer(common.NewTableFooterOptionsBuilder().Show(false).Reducer([]string{})).
		WithTransformation(transformation("merge", map[string]any{})).
		WithTransformation(transformation("convertFieldType", map[string]any{
			"fields":      map[string]any{},
			"conversions": []any{map[string]any{"targetField": "rps", "destinationType": "number"}},
		})).
		WithTransformation(transformation("sortBy", map[string]any{
			"fields": map[string]any{}, "sort": []any{map[string]any{"field": "rps", "desc": false}},
		})).
		WithTransformation(transformation("organize", map[string]any{
			"renameByName": rename, "indexByName": order, "excludeByName": map[string]any{"Time": true},
		})).
		Targets(targets(queries))
	for _, c := range all {
		p = p.OverrideByName(c.name, []dashboard.DynamicConfigValue{{Id: "unit", Value: c.unit}})
	}
	return p
}

func transformation(id string, options map[string]any) dashboard.DataTransformerConfig {
	return dashboard.DataTransformerConfig{Id: id, Options: options}
}
