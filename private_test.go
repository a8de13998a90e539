package sessions_test

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
	"testing"
)

// The store in files is written as anybody's store is: it selects no unexported
// name of a Session or a Change.
func TestFilesystemStoreUsesThePublicDoorAlone(t *testing.T) {
	fset := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	info := &types.Info{Selections: make(map[*ast.SelectorExpr]*types.Selection)}
	conf := types.Config{Importer: importer.ForCompiler(fset, "source", nil), Error: func(error) {}} // files of other systems redeclare
	conf.Check("github.com/sessfs/sessions", fset, files, info)
	seen := 0
	for selector, selection := range info.Selections {
		at := fset.Position(selector.Pos())
		if !strings.HasPrefix(filepath.Base(at.Filename), "filesystem") {
			continue
		}
		seen++
		owner := strings.TrimPrefix(selection.Recv().String(), "*")
		switch strings.TrimPrefix(owner, "github.com/sessfs/sessions.") {
		case "Session", "Change":
			if !selection.Obj().Exported() {
				t.Errorf("%v selects %s of %s", at, selector.Sel.Name, owner)
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d selections were looked at", seen)
	}
}
