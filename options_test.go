package sessions_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A literal without names would break with the next option.
func TestOptionsAreWrittenWithNames(t *testing.T) {
	var found []string
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", "internal", "testdata"}, entry.Name()):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || !spec.Name.IsExported() || !strings.HasSuffix(spec.Name.Name, "Options") {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				name := file.Name.Name + "." + spec.Name.Name
				found = append(found, name)
				if first := s.Fields.List[0]; len(first.Names) != 1 || first.Names[0].Name != "_" {
					t.Errorf("%s can be written without names", name)
				}
			}
			return true
		})
		return nil
	})
	if err != nil || !slices.Contains(found, "sessions.FilesystemOptions") || !slices.Contains(found, "prune.Options") {
		t.Errorf("found the options %v, %v", found, err)
	}
}
