package check_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/grafana/internal/check"
)

func TestCatalogue(t *testing.T) {
	t.Parallel()
	c := check.Catalogue{}
	c.Add(map[string]string{"__name__": "http_requests_total", "code": "200", "job": "gateway"})
	c.Add(map[string]string{"__name__": "http_requests_total", "code": "429", "job": "gateway"})
	c.Add(map[string]string{"__name__": "queue_messages", "queue": "tasks"})
	c.Add(map[string]string{"__name__": "dropped_total", "scenario": "sync_050"})

	for expr, says := range map[string]string{
		`sum by (code) (rate(http_requests_total{code=~"4.."}[1m])) + on (code) vector(0)`: "has the label code",
		`rate(http_request_total[1m])`:                        "nothing exposes http_request_total",
		`http_requests_total{status="200"}`:                   "http_requests_total has no label status",
		`http_requests_total{code="500"}`:                     `no value of http_requests_total fits code="500"`,
		`http_requests_total{code=~"5.."}`:                    `no value of http_requests_total fits code=~"5.."`,
		`sum by (queue) (http_requests_total)`:                "has the label queue",
		`queue_messages / on (code) http_requests_total`:      "nothing in queue_messages has the label code",
		`{__name__=~"kafka_.+"}`:                              "nothing exposes",
		`sum(`:                                                "no PromQL",
		`sum by (code) (http_requests_total{job="gateway"})`:  "",
		`sum by (le) (http_requests_total{code!="200"})`:      "has the label le",
		`{__name__=~"http_.+", code="429"} or queue_messages`: "",
		`sum without (code) (http_requests_total)`:            "",
		`sum by (lane) (label_replace(dropped_total, "lane", "$1", "scenario", "(.+)_.+"))`: "",
	} {
		t.Run(expr, func(t *testing.T) {
			t.Parallel()
			found := c.Check(expr)
			if says == "" {
				require.Empty(t, found)
				return
			}
			require.Len(t, found, 1)
			require.Contains(t, found[0], says)
		})
	}
}
