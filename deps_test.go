package sessions_test

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/sessfs/sessions"

// Imports run one way. All importers get the root package's dependencies.
func TestImportsRunOneWay(t *testing.T) {
	for _, row := range []struct {
		pkg     string
		allowed []string // packages, with those below them, besides the standard library
	}{
		{module, []string{module + "/internal/", module + "/prune", "github.com/gofrs/flock", "github.com/google/uuid", "golang.org/x/sys/"}},
		{module + "/prune", []string{module + "/internal/", "github.com/gofrs/flock", "github.com/google/uuid", "golang.org/x/sys/"}},
		{module + "/internal/dirfs", []string{"github.com/gofrs/flock", "golang.org/x/sys/"}},
		{module + "/internal/dirlock", []string{module + "/internal/dirfs", "github.com/gofrs/flock", "golang.org/x/sys/"}},
		{module + "/internal/ownerindex", []string{module + "/internal/", "github.com/gofrs/flock", "github.com/google/uuid", "golang.org/x/sys/"}},
		{module + "/internal/sessionfile", []string{"github.com/google/uuid"}},
		{module + "/internal/slotfile", []string{module + "/internal/dirfs", module + "/internal/dirlock", "github.com/gofrs/flock", "golang.org/x/sys/"}},
	} {
		for _, goos := range []string{"linux", "darwin", "freebsd", "windows", "solaris"} {
			cmd := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", row.pkg)
			cmd.Env = append(cmd.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("go list: %v", err)
			}
			for dep := range strings.FieldsSeq(string(out)) {
				ok := dep == row.pkg
				for _, allowed := range row.allowed {
					ok = ok || dep == strings.TrimSuffix(allowed, "/") || strings.HasPrefix(dep, strings.TrimSuffix(allowed, "/")+"/")
				}
				if !ok {
					t.Errorf("on %s, %s depends on %s", goos, row.pkg, dep)
				}
			}
		}
	}
}
