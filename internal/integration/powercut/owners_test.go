//go:build linux

package powercut

import (
	"fmt"
	"slices"

	"github.com/sessfs/sessions"
)

// owners are those of most sessions.
var owners = []string{"ann", "bob", "carl"}

// compareOwners compares the list of each owner with the sessions that are there, and
// ends them.
func compareOwners(store *sessions.FilesystemSessionStore) (wrong []error) {
	stored := make(map[string][]string) // public IDs, by owner
	for id, err := range store.List(background) {
		if err != nil {
			return append(wrong, err)
		}
		s, err := store.Get(background, id)
		if err != nil {
			return append(wrong, err)
		}
		if !s.New() {
			stored[s.Owner()] = append(stored[s.Owner()], s.PublicID())
		}
	}
	for _, owner := range owners {
		var listed []string
		for info, err := range store.ListOwner(background, owner) {
			if err != nil {
				return append(wrong, err)
			}
			listed = append(listed, info.PublicID)
		}
		slices.Sort(listed)
		slices.Sort(stored[owner])
		if !slices.Equal(listed, stored[owner]) {
			wrong = append(wrong, fmt.Errorf("%d sessions of an owner are listed, and %d are there", len(listed), len(stored[owner])))
		}
		if n, err := store.DeleteOwner(background, owner); n != len(listed) || err != nil {
			wrong = append(wrong, fmt.Errorf("DeleteOwner = %d, %v; want %d", n, err, len(listed)))
		}
	}
	return wrong
}
