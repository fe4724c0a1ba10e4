package store

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"
)

// health is the last answer of Health.
type health struct {
	asking  sync.Mutex
	answers atomic.Int64 // how many there were
	err     error
	good    time.Time // when the last good answer was given; zero: the last one was bad
}

// healthLasts is how long a good answer is given again.
const healthLasts = 2 * time.Second

// Health says in a sentence why the database cannot be written to, or that the daemon's lock was lost; nil: all is well.
// It makes one small durable write, at most every two seconds as long as that succeeds, and one for all who ask meanwhile:
// it may be called by anybody as often as they like.
func (db *DB) Health(ctx context.Context) error {
	h := &db.health
	before := h.answers.Load()
	h.asking.Lock()
	defer h.asking.Unlock()
	if h.answers.Load() != before { // somebody else's answer came while this one waited
		return h.err
	}
	now := db.now()
	if age := now.Sub(h.good); !h.good.IsZero() && age >= 0 && age < healthLasts {
		return nil
	}
	// The answer is not the caller's alone, nor may their hanging up spoil it.
	ctx, cancel := patient(ctx)
	defer cancel()
	h.err, h.good = db.examine(ctx), time.Time{}
	if h.err == nil {
		h.good = now
	}
	h.answers.Add(1)
	return h.err
}

// forget makes the next answer a fresh one.
func (h *health) forget() {
	h.asking.Lock()
	defer h.asking.Unlock()
	h.good = time.Time{}
}

func (db *DB) examine(ctx context.Context) error {
	if err := db.KeepLock(ctx); err != nil {
		return err
	}
	return db.write(ctx, "write to it", func(t *tx) error {
		now := binary.BigEndian.AppendUint64(nil, uint64(t.now))
		_, err := t.exec(`INSERT INTO settings (name, value) VALUES ('health', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, now)
		return err
	})
}
