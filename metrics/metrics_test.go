package metrics_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/metrics"
)

func TestEventsCountsWhatAStoreTells(t *testing.T) {
	events := metrics.New("visitors")
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(events)
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: t.TempDir(), Observe: events.Observe})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	s := store.New()
	s.Set("a", 1)
	if err := store.Save(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := store.Get(t.Context(), s.ID()); err != nil {
			t.Fatal(err)
		}
	}
	s.Set("a", make(chan int))
	if store.Save(t.Context(), s) == nil {
		t.Fatal("a channel was saved")
	}
	s.Destroy()
	if err := store.Save(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	want := `
# HELP sessions_events_total What happened to sessions.
# TYPE sessions_events_total counter
sessions_events_total{kind="created",reason="",store="visitors"} 1
sessions_events_total{kind="ended",reason="logout",store="visitors"} 1
sessions_events_total{kind="loaded",reason="",store="visitors"} 3
# HELP sessions_failures_total Loads and saves of sessions that failed.
# TYPE sessions_failures_total counter
sessions_failures_total{kind="saved",store="visitors"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "sessions_events_total", "sessions_failures_total"); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(events, "sessions_duration_seconds"); n != 3 {
		t.Errorf("%d histograms, want those of loads, first saves and saves", n)
	}
}
