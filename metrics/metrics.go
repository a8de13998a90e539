// Package metrics counts the events of sessions, for Prometheus.
//
//	events := metrics.New("visitors")
//	prometheus.MustRegister(events)
//	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Observe: events.Observe})
//
// Counting never renews a session, and no label has an ID.
package metrics

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sessfs/sessions"
)

// Events is a [prometheus.Collector] of
//
//	sessions_events_total{store,kind,reason}   events; see sessions.Event
//	sessions_failures_total{store,kind}        loads and saves that failed
//	sessions_duration_seconds{store,kind}      how long loads and saves took
//
// Its methods may be called by several goroutines at once.
type Events struct {
	events   *prometheus.CounterVec
	failures *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

var _ prometheus.Collector = (*Events)(nil)

// New returns an Events whose label store has the given value.
func New(store string) *Events {
	labels := prometheus.Labels{"store": store}
	return &Events{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sessions_events_total", Help: "What happened to sessions.", ConstLabels: labels,
		}, []string{"kind", "reason"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sessions_failures_total", Help: "Loads and saves of sessions that failed.", ConstLabels: labels,
		}, []string{"kind"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sessions_duration_seconds", Help: "How long loads and saves of sessions took.", ConstLabels: labels,
			// From the microseconds of a file in memory to a wait for its lock.
			Buckets: []float64{5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 2.5e-2, 0.1, 1, 10},
		}, []string{"kind"}),
	}
}

// Observe counts an event. It is for a store's option of that name.
func (m *Events) Observe(_ context.Context, e sessions.Event) {
	kind := string(e.Kind)
	if e.Err != nil {
		m.failures.WithLabelValues(kind).Inc()
	} else {
		m.events.WithLabelValues(kind, string(e.Reason)).Inc()
	}
	switch e.Kind {
	case sessions.EventLoaded, sessions.EventCreated, sessions.EventSaved:
		m.duration.WithLabelValues(kind).Observe(e.Duration.Seconds())
	}
}

// Describe implements [prometheus.Collector].
func (m *Events) Describe(descs chan<- *prometheus.Desc) {
	m.events.Describe(descs)
	m.failures.Describe(descs)
	m.duration.Describe(descs)
}

// Collect implements [prometheus.Collector].
func (m *Events) Collect(metrics chan<- prometheus.Metric) {
	m.events.Collect(metrics)
	m.failures.Collect(metrics)
	m.duration.Collect(metrics)
}
