package prune

import (
	"sync"

	"github.com/sessfs/sessions/internal/dirfs"
)

const (
	// chunkSize is how many names are sorted by inode at once. With fewer, the
	// system writes the same inodes to the disk again and again; with more, the
	// same blocks of the directory (measured on ext4).
	chunkSize = 128 << 10

	// shareSize is how many of them a worker takes at once.
	shareSize = 1024
)

// nameQueue hands out the names in a directory to workers.
type nameQueue struct {
	list *dirfs.List

	mu    sync.Mutex
	chunk []dirfs.Entry
	given int // of the chunk
}

// next appends some names to dst. At the end it returns io.EOF.
func (n *nameQueue) next(dst []dirfs.Entry) ([]dirfs.Entry, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.given == len(n.chunk) {
		var err error
		n.given = 0
		if n.chunk, err = n.list.NextByInode(n.chunk[:0], chunkSize); err != nil {
			return dst, err
		}
	}
	share := n.chunk[n.given:min(n.given+shareSize, len(n.chunk))]
	n.given += len(share)
	return append(dst, share...), nil
}
