//go:build unix

package main

import "fmt"

// A claim is one figure of those that the project wants to keep, for a file system.
type claim struct {
	text   string
	atMost float64
	figure func(*report, string) (float64, bool)
}

var claims = []claim{
	{"load beside the bare calls", 1.5, ratio("load", "320 B", nameFiles, nameFloor)},
	{"load without idle timeout beside the bare calls without fstat", 1.5, ratio("load", "320 B", nameNoIdle, nameNoStat)},
	{"load and two values beside scs memstore", 0.12, ratio("read", "320 B", nameFiles, nameMemstore)},
	{"save beside the bare calls", 1.8, ratio("save", "320 B", nameFiles, nameFloor)},
	{"save beside scs memstore", 0.6, ratio("save", "320 B", nameFiles, nameMemstore)},
	{"New, Save and Delete beside save", 2.4, lifeBesideSave},
	{"a request that reads, over the bare handler, beside load and two values", 1.35, requestBesideRead},
	{"its allocations over those of the bare handler", 16, allocationsOverBare("reads")},
	{"a request that changes a value beside scs memstore", 0.3, ratio("changes", "320 B", nameFiles, nameMemstore)},
	{"an untouched session over the bare handler, ns", 160, untouchedOverBare},
	{"its allocations", 3, allocationsOverBare("untouched")},
	{"16 KB, one of fifty values changed, beside the bare calls", 2.5, ratio("change", "16 KB", nameFiles, nameFloor)},
	{"its KB allocated", 40, allocatedKB},
	{"load at the greatest number of sessions beside the bare calls", 1.5, atGreatestNumber("load by number")},
	{"save at the greatest number of sessions beside the bare calls", 1.5, atGreatestNumber("save by number")},
	{"read on two cores beside one", 0.6, twoCores("read")},
	{"change on two cores beside one", 0.6, twoCores("change")},
	{"SyncFull save beside temporary file, fsync, rename, fsync", 0.4, ratio("synced save", "320 B", nameSyncFull, nameRename)},
	{"sealed load and two values beside plain", 1.5, ratio("read", "320 B", nameSealed, nameFiles)},
	{"sealed save beside plain", 1.5, ratio("save", "320 B", nameSealed, nameFiles)},
	{"prune of the greatest number of sessions, half expired, beside find -delete", 0.7, ratio("prune", pruned.size, nameSessprune, nameFind)},
	{"a request that reads from Redis beside scs goredisstore", 1, ratio("reads", "320 B", nameRedis, nameGoRedis)},
	{"a request that changes a value in Redis beside scs goredisstore", 1, ratio("changes", "320 B", nameRedis, nameGoRedis)},
	{"the same, the greatest number at once, with AutoPipeline", 0.67, atOnce("changes")},
	{"opening 1 KB of sealed cookie beside gorilla/securecookie", 0.3, openingCookies},
}

// printClaims writes each figure for each file system.
func (rep *report) printClaims(out *printer) {
	systems := rep.systems()
	out.line("\n## In short\n")
	out.header(append([]string{"", "at most"}, systems...)...)
	for _, c := range claims {
		cells := []string{c.text, fmt.Sprint(c.atMost)}
		found := false
		for _, system := range systems {
			cell := "–"
			if figure, ok := c.figure(rep, system); ok {
				cell, found = fmt.Sprintf("%.3g", figure), true
			}
			cells = append(cells, cell)
		}
		if found {
			out.row(cells...)
		}
	}
}

// ratio returns the figure of one contender beside another's.
func ratio(operation, size, name, other string) func(*report, string) (float64, bool) {
	return func(rep *report, system string) (float64, bool) {
		return rep.find(operation, system, size).ratio(name, other)
	}
}

func (s *scene) ratio(name, other string) (float64, bool) {
	if s == nil {
		return 0, false
	}
	a, b := s.result(name), s.result(other)
	if a == nil || b == nil {
		return 0, false
	}
	return a.beside(b), true
}

// ours returns the figures of this project's files in a scene.
func (rep *report) ours(operation, system, size string) *result {
	if s := rep.find(operation, system, size); s != nil {
		return s.result(nameFiles)
	}
	return nil
}

func lifeBesideSave(rep *report, system string) (float64, bool) {
	return rep.find("life", system, "320 B").ratio(nameFiles, nameSave)
}

func requestBesideRead(rep *report, system string) (float64, bool) {
	s := rep.find("reads", system, "320 B")
	if s == nil {
		return 0, false
	}
	ours, bare, byHand := s.result(nameFiles).Rounds, s.result(nameFloor).Rounds, s.result(nameByHand).Rounds
	return byRounds(len(ours), func(i int) float64 { return (ours[i] - bare[i]) / byHand[i] }), true
}

func allocationsOverBare(operation string) func(*report, string) (float64, bool) {
	return func(rep *report, system string) (float64, bool) {
		s := rep.find(operation, system, "320 B")
		if s == nil {
			return 0, false
		}
		return s.result(nameFiles).Allocs - s.result(nameFloor).Allocs, true
	}
}

func untouchedOverBare(rep *report, system string) (float64, bool) {
	s := rep.find("untouched", system, "320 B")
	if s == nil {
		return 0, false
	}
	ours, bare := s.result(nameFiles).Rounds, s.result(nameFloor).Rounds
	return byRounds(len(ours), func(i int) float64 { return ours[i] - bare[i] }), true
}

func allocatedKB(rep *report, system string) (float64, bool) {
	ours := rep.ours("change", system, "16 KB")
	if ours == nil {
		return 0, false
	}
	return ours.Bytes / 1000, true
}

func atGreatestNumber(operation string) func(*report, string) (float64, bool) {
	return func(rep *report, system string) (figure float64, ok bool) {
		for i := range rep.Scenes {
			if s := &rep.Scenes[i]; s.Operation == operation && s.System == system {
				figure, ok = s.ratio(nameFiles, nameFloor) // they are in order of their numbers
			}
		}
		return figure, ok
	}
}

func atOnce(operation string) func(*report, string) (float64, bool) {
	return func(rep *report, system string) (figure float64, ok bool) {
		for i := range rep.Scenes {
			if s := &rep.Scenes[i]; s.Operation == operation && s.System == system && s.Goroutines > 1 {
				figure, ok = s.ratio(namePipeline, nameGoRedis) // they are in order of their numbers
			}
		}
		return figure, ok
	}
}

func twoCores(operation string) func(*report, string) (float64, bool) {
	return func(rep *report, system string) (float64, bool) {
		for i := range rep.Scenes {
			if s := &rep.Scenes[i]; s.Operation == operation+" on one core and two" && s.System == system {
				return s.ratio(nameFiles+", two cores", nameFiles+", one core")
			}
		}
		return 0, false
	}
}

func openingCookies(rep *report, _ string) (float64, bool) {
	return rep.find("open", "", "1 KB").ratio(nameRing, namePeerSealing)
}
