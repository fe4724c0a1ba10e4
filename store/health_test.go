package store

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"
)

// examined is when Health last wrote.
func (l *ledger) examined() time.Time {
	l.t.Helper()
	var value []byte
	if err := l.readers.QueryRow("SELECT value FROM settings WHERE name = 'health'").Scan(&value); err != nil {
		l.t.Fatal(err)
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(value))).UTC()
}

// TestHealthIsCheap: a good answer holds for two seconds, by a clock that may be set back, and a bad one is asked again.
func TestHealthIsCheap(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		for i, step := range []struct {
			turn  time.Duration
			fresh bool
		}{{0, true}, {0, false}, {1999 * time.Millisecond, false}, {time.Millisecond, true}, {-time.Hour, true}, {time.Second, false}} {
			l.clock.turn(step.turn)
			if err := l.Health(t.Context()); err != nil {
				t.Fatal(err)
			}
			if fresh := l.examined().Equal(l.clock.now()); fresh != step.fresh && step.turn != 0 {
				t.Errorf("step %d: written at %v", i, l.examined())
			}
		}
		l.Close()
		for range 2 {
			if err := l.Health(t.Context()); !errors.Is(err, errClosed) {
				t.Error(err)
			}
		}
	})
}
