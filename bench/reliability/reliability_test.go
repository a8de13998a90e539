package main

import (
	"log"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if library := os.Getenv(childVariable); library != "" {
		log.Fatal(saveUntilKilled(library))
	}
	os.Exit(m.Run())
}

var few = amounts{goroutines: 4, increments: 10, rounds: 5, logouts: 5, kills: 3, sessions: 5, ids: 5}

func TestReliabilityOfThisProjectIsAsPromised(t *testing.T) {
	for i, r := range rows(few) {
		if i == 0 {
			continue // getting and setting, without Update, is no promise
		}
		o, err := r.try(libraries[0], t.TempDir(), few)
		if err != nil || o.lost > 0 || o.of == 0 || o.refused > 0 {
			t.Errorf("%s: %v, %v", r.tried, o, err)
		}
	}
}

func TestRowsHaveAResultForEveryLibrary(t *testing.T) {
	for _, l := range libraries {
		for _, r := range rows(few) {
			o, err := r.try(l, t.TempDir(), few)
			if err != nil || o.of == 0 && o.not == "" {
				t.Errorf("%s, %s: %v, %v", l.name, r.tried, o, err)
			}
		}
	}
}
