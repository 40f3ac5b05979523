package httpapi

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	responses *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		responses: promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
			Name: "sync_responses_total",
			Help: "Answers of the sync lane by status code.",
		}, []string{"code"}),
	}
	for _, status := range []int{
		http.StatusOK, http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusRequestTimeout,
		http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity,
		http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
	} {
		m.responses.WithLabelValues(codeLabel(status))
	}
	return m
}

func codeLabel(status int) string { return strconv.Itoa(status) }
