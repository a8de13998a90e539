//go:build !linux

package dirfs

func (l *List) next(dst []Entry) ([]Entry, error) {
	// Some names at a time: a directory may have millions.
	entries, err := l.f.ReadDir(1024)
	for _, e := range entries {
		dst = append(dst, Entry{Name: e.Name(), Type: e.Type()})
	}
	if len(entries) > 0 {
		return dst, nil // the next call returns the error
	}
	return dst, err
}
