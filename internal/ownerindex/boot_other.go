//go:build !linux

package ownerindex

// bootID returns one text always: not every system here has one for each start.
func bootID() string { return "unknown" }
