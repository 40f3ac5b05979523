package main

import (
	"bytes"
	"errors"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/stretchr/testify/require"
)

// Every field of the files is one of the classic schema, or of the options of its panel, and has a value that fits.
func TestDashboardsAreOfTheClassicSchema(t *testing.T) {
	t.Parallel()
	plugins.RegisterDefaultPlugins()
	for name := range committed(t) {
		require.Empty(t, outsideSchema(read(t, "grafana", "dashboards", name)), name)
	}

	text := read(t, "grafana", "dashboards", "sweep.json")
	for field, typo := range map[string]string{`"xField"`: `"xfield"`, `"graphTooltip": 1`: `"graphTooltip": "crosshair"`, `"gridPos"`: `"position"`} {
		broken := bytes.Replace(text, []byte(field), []byte(typo), 1)
		require.NotEqual(t, text, broken)
		require.NotEmpty(t, outsideSchema(broken), typo)
	}
}

// outsideSchema says what in a file is not of the schema.
func outsideSchema(text []byte) cog.BuildErrors {
	var d dashboard.Dashboard //nolint:staticcheck // Grafana 12 and older read no other.
	err := d.UnmarshalJSONStrict(text)
	// Where nothing is wrong, it returns a list of errors with none in it.
	list, ok := errors.AsType[cog.BuildErrors](err)
	if err != nil && !ok {
		list = cog.MakeBuildErrors("", err)
	}
	return list
}
