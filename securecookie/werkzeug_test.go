package securecookie_test

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sessfs/sessions/securecookie"
)

// Three of werkzeug's own tests of SecureCookie.

func TestWerkzeugRoundTrip(t *testing.T) {
	carrier := newCarrier(t, newRing(t, "test"), securecookie.CarrierOptions{})
	s := carrier.New()
	if !s.New() || s.Modified() || s.ShouldSave() {
		t.Errorf("new: %v", s)
	}
	s.Set("x", 42)
	if !s.Modified() || !s.ShouldSave() {
		t.Errorf("set: %v", s)
	}
	value, err := carrier.Serialize(s, time.Time{})
	if err != nil || !s.New() || !s.Modified() {
		t.Errorf("serialised: %v, %v", s, err)
	}
	other := newCarrier(t, newRing(t, "test"), securecookie.CarrierOptions{})
	for _, row := range []struct {
		name    string
		carrier *securecookie.Carrier
		value   string
		want    any
	}{
		{"the same key", carrier, value, int64(42)},
		{"another key", other, value, nil},
		{"nothing", carrier, "", nil},
	} {
		got, err := row.carrier.Unserialize(t.Context(), row.value)
		if err != nil || got.New() || got.Modified() || got.ShouldSave() || got.Get("x") != row.want {
			t.Errorf("%s: got %v, %v, %v", row.name, got, got.Get("x"), err)
		}
		got.Set("y", 1) // usable all the same
		if again, err := row.carrier.Serialize(got, time.Time{}); err != nil || again == "" {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

func TestWerkzeugLoadAndSave(t *testing.T) {
	carrier := newCarrier(t, newRing(t, "test"), securecookie.CarrierOptions{})
	r := httptest.NewRequest("GET", "/", nil)
	s, err := carrier.Load(r)
	if err != nil || !s.New() {
		t.Fatal(s, err)
	}
	s.Set("foo", []any{"bar", 1.5})
	w := httptest.NewRecorder()
	if err := carrier.Commit(w, r, s); err != nil || s.New() || s.Modified() {
		t.Fatal(s, err)
	}
	r.AddCookie(w.Result().Cookies()[0])
	again, err := carrier.Load(r)
	if err != nil || again.New() || again.Modified() || fmt.Sprint(again.Get("foo")) != "[bar 1.5]" || again.ID() != s.ID() {
		t.Error(again, err)
	}
}

func TestWerkzeugExpiry(t *testing.T) {
	ring, now := clock(t)
	carrier := newCarrier(t, ring, securecookie.CarrierOptions{})
	s := carrier.New()
	s.Set("foo", "bar")
	for after, want := range map[time.Duration]any{
		time.Hour: "bar", -time.Hour: nil, 0: nil, time.Millisecond: "bar",
	} {
		value, err := carrier.Serialize(s, now.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		got, err := carrier.Unserialize(t.Context(), value)
		if err != nil || got.Get("foo") != want {
			t.Errorf("after %v: got %v, %v", after, got.Get("foo"), err)
		}
	}
	s.Set("f", func() {})
	if _, err := carrier.Serialize(s, time.Time{}); err == nil {
		t.Error("serialised a function")
	}
	s.Destroy()
	if _, err := carrier.Serialize(s, time.Time{}); err == nil {
		t.Error("serialised what is destroyed")
	}
}
