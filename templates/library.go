package templates

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// Library is a Set that follows its folder: Set gives the newest that was without mistakes.
type Library struct {
	overlay string
	opts    []Option
	set     atomic.Pointer[Set]
	loaded  string // the look of the folder that was last loaded, well or badly
}

// Open loads the letters for the first time.
func Open(overlay string, opts ...Option) (*Library, error) {
	l := &Library{overlay: overlay, opts: opts, loaded: look(overlay)}
	set, err := Load(overlay, opts...)
	if err != nil {
		return nil, err
	}
	l.set.Store(set)
	return l, nil
}

// Set gives the letters as they are now. Who renders several that belong together asks once.
func (l *Library) Set() *Set { return l.set.Load() }

// Watch looks at the folder again and again until ctx ends, and loads it anew when names, sizes or times
// have changed and then stayed for one round, so that nothing half-written is read. Letters with mistakes
// are reported once; the last good set stays until they are mended. It is for one goroutine.
func (l *Library) Watch(ctx context.Context, every time.Duration, report func(error)) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	before := l.loaded
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := look(l.overlay)
		settled := now == before
		before = now
		if !settled || now == l.loaded {
			continue
		}
		l.loaded = now
		set, err := Load(l.overlay, l.opts...)
		if err != nil {
			report(err)
			continue
		}
		l.set.Store(set)
	}
}

// look is how the folder looks from outside: names, sizes and times.
func look(overlay string) string {
	paths, err := lettersIn(overlay)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			fmt.Fprintln(&b, path, err)
			continue
		}
		fmt.Fprintln(&b, path, info.Size(), info.ModTime().UnixNano())
	}
	return b.String()
}
