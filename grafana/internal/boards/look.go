package boards

import (
	"maps"
	"slices"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// The colours that say how good a value is, by the names that Grafana turns into shades for its light and dark themes.
const (
	green  = "green"
	yellow = "orange"
	red    = "red"
	blue   = "blue"
)

// LaneColours are the colours of the lanes, those of the sweep's report on dark ground, which Grafana has by default.
func LaneColours() map[string]string {
	return map[string]string{"sync": "#f59e42", "async": "#6ea8fe", "wait": "#4fd0bf"}
}

// The units, by Grafana's ids.
const (
	seconds   = "s"
	millis    = "ms"
	share     = "percentunit"
	perSecond = "reqps"
	opsPerSec = "ops"
	count     = "short"
	bytesIEC  = "bytes"
	cores     = "suffix: cores"
	times     = "suffix:×"
	noUnit    = "none"
)

// level is where a value changes its colour.
type level struct {
	from   float64
	colour string
}

// thresholds colour a value: it is green up to the first level. Without levels a value means neither good nor bad.
func thresholds(levels ...level) cog.Builder[dashboard.ThresholdsConfig] {
	all := []dashboard.Threshold{{Value: nil, Color: green}}
	if len(levels) == 0 {
		all[0].Color = blue
	}
	for _, l := range levels {
		all = append(all, dashboard.Threshold{Value: &l.from, Color: l.colour})
	}
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(all)
}

// none is for values of which each is one too many.
func none() []level { return []level{{1, red}} }

// least is for values that have to be at least so high.
func least(bound float64) []level { return []level{{-1e9, red}, {bound, green}} }

// mapping replaces values by words.
func mapping(words map[string]string, colours map[string]string) dashboard.ValueMapping {
	m := dashboard.NewValueMap()
	for i, value := range slices.Sorted(maps.Keys(words)) {
		result := dashboard.ValueMappingResult{Text: new(words[value]), Index: new(int32(i))}
		if c, ok := colours[value]; ok {
			result.Color = &c
		}
		m.Options[value] = result
	}
	return dashboard.ValueMapping{ValueMap: m}
}

// fixed gives a series its colour.
func fixed(colour string) dashboard.DynamicConfigValue {
	return dashboard.DynamicConfigValue{Id: "color", Value: map[string]any{"mode": "fixed", "fixedColor": colour}}
}

// coloured is a panel whose series are told apart by name.
type coloured[P any] interface {
	OverrideByRegexp(regexp string, properties []dashboard.DynamicConfigValue) P
}

// colourLanes gives the series whose names begin with a lane the colour of that lane.
func colourLanes[P coloured[P]](p P) P {
	lanes := LaneColours()
	for _, lane := range slices.Sorted(maps.Keys(lanes)) {
		p = p.OverrideByRegexp("/^"+lane+"\\b/", []dashboard.DynamicConfigValue{fixed(lanes[lane])})
	}
	return p
}
