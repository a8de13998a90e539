package command

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseDuration is time.ParseDuration, with weeks and days in front: 2w, 14d, 1d12h.
func ParseDuration(text string) (time.Duration, error) {
	bad := fmt.Errorf("%q is no duration; 336h, 14d and 2w are", text)
	total, rest := time.Duration(0), text
	for _, unit := range []struct {
		letter string
		hours  time.Duration // a number of them
	}{{"w", 7 * 24}, {"d", 24}} {
		number, after, found := strings.Cut(rest, unit.letter)
		if !found {
			continue
		}
		n, err := time.ParseDuration(number + "h") // as so many hours, fractions included
		if err != nil || strings.Trim(number, "0123456789.") != "" || n > (math.MaxInt64-total)/unit.hours {
			return 0, bad
		}
		total += n * unit.hours
		if rest = after; rest == "" {
			return total, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || total > 0 && (d < 0 || d > math.MaxInt64-total) {
		return 0, bad
	}
	return total + d, nil
}

// Count returns a number with commas, 1,000 for example.
func Count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Plural returns a number of things.
func Plural(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + more
}
