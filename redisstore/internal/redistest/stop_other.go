//go:build !unix

package redistest

import "testing"

// Stop skips the test: the system cannot stop a process.
func (s *Server) Stop(t testing.TB) { t.Skip("skipped: the system cannot stop a process") }

// Continue ends a Stop.
func (s *Server) Continue(testing.TB) {}
