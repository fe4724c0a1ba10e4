package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Fuse is a limit that an acknowledgement has to claim before it goes out: at most N within any Per for one Key.
type Fuse struct {
	Key    string // "sender:a@b"
	N      int
	Per    time.Duration
	Reason string // of the silence when it is blown: "limit-sender"
}

// slots is how many parts Per is divided in. A window counts them and the one under way, so that it is never shorter
// than Per: the limit holds within any Per, at most a twelfth too strictly.
const slots = 12

// window is how often a fuse was claimed lately.
type window struct {
	slot   int64             // the number of the newest slot, counted from 1970
	counts [slots + 1]uint32 // oldest first
}

// advance moves the window on to a slot. When the clock jumped back, the counts keep their age as it then was: nothing
// claimed is forgotten, and nothing weighs for more than another Per.
func (w *window) advance(slot int64) (back bool) {
	back = slot < w.slot
	if gone := slot - w.slot; gone > slots {
		w.counts = [slots + 1]uint32{}
	} else if gone > 0 {
		copy(w.counts[:], w.counts[gone:])
		clear(w.counts[slots+1-gone:])
	}
	w.slot = slot
	return back
}

func (w *window) sum() (n int) {
	for _, c := range w.counts {
		n += int(c)
	}
	return n
}

// claim takes one of every fuse, or none: then it returns the first one that is blown.
func (t *tx) claim(fuses []Fuse) (blown *Fuse, err error) {
	if len(fuses) == 0 {
		return nil, nil
	}
	keys := make([]string, len(fuses))
	wanted := make([][]any, len(fuses))
	for i, f := range fuses {
		keys[i] = clean(f.Key, maxText) + "/" + f.Per.String() // another Per begins anew
		wanted[i] = []any{keys[i]}
	}
	windows, err := t.windows(wanted)
	if err != nil {
		return nil, err
	}
	changed := make(map[string][]any, len(fuses))
	for i := range fuses {
		w := windows[keys[i]]
		back := w.advance(t.now / fuses[i].width())
		if back { // kept even when nothing is claimed, or the counts would stay in a future that the clock has left
			changed[keys[i]] = w.row(keys[i], &fuses[i])
		}
		if blown == nil && w.sum() >= fuses[i].N {
			blown = &fuses[i]
		}
	}
	if blown == nil {
		for i := range fuses {
			w := windows[keys[i]]
			w.counts[slots]++
			changed[keys[i]] = w.row(keys[i], &fuses[i])
		}
	}
	if len(changed) == 0 {
		return blown, nil
	}
	_, err = t.exec(`INSERT INTO fuses (key, slot, ends, counts) SELECT key, slot, ends, counts
		FROM {{set $1 key:text slot:bigint ends:bigint counts:bytes}} x WHERE true
		ON CONFLICT (key) DO UPDATE SET slot = excluded.slot, ends = excluded.ends, counts = excluded.counts`, set(slices.Collect(maps.Values(changed))))
	return blown, err
}

// width is how long a slot is, in milliseconds.
func (f *Fuse) width() int64 { return max(f.Per.Milliseconds()/slots, 1) }

func (w *window) row(key string, f *Fuse) []any {
	counts := make([]byte, 0, 4*len(w.counts))
	for _, c := range w.counts {
		counts = binary.BigEndian.AppendUint32(counts, c)
	}
	return []any{key, w.slot, (w.slot + slots + 1) * f.width(), hex.EncodeToString(counts)}
}

// windows reads the windows of fuses, an empty one where none is kept.
func (t *tx) windows(keys [][]any) (map[string]*window, error) {
	type kept struct {
		key    string
		slot   int64
		counts []byte
	}
	found, err := rows(t.ctx, t, func(s scanner, k *kept) error { return s.Scan(&k.key, &k.slot, &k.counts) },
		`SELECT f.key, f.slot, f.counts FROM {{set $1 key:text}} x CROSS JOIN fuses f WHERE f.key = x.key`, set(keys))
	windows := make(map[string]*window, len(keys))
	for _, key := range keys {
		windows[key[0].(string)] = &window{}
	}
	for _, k := range found {
		w := &window{slot: k.slot}
		for i := range w.counts {
			if len(k.counts) < 4*i+4 {
				return nil, fmt.Errorf("the fuse %q has %d bytes of counts", k.key, len(k.counts))
			}
			w.counts[i] = binary.BigEndian.Uint32(k.counts[4*i:])
		}
		windows[k.key] = w
	}
	return windows, err
}

// forgetOldFuses drops what is as good as new, once an hour: there is a fuse for every sender.
func (t *tx) forgetOldFuses() error {
	if t.now-t.w.forgot < time.Hour.Milliseconds() && t.now >= t.w.forgot {
		return nil
	}
	t.w.forgot = t.now
	_, err := t.exec(`DELETE FROM fuses WHERE ends < $1`, t.now)
	return err
}

// Who answers our acknowledgement so fast is no person, or a person does so once.
const (
	robotAnswers = 2 * time.Minute
	strikesCount = 24 * time.Hour
)

// strike notes that a sender answered an acknowledgement faster than people do. The second time within a day mutes them.
func (t *tx) strike(key, why string) (muted bool, err error) {
	changed, err := t.exec(`UPDATE robots SET muted = $2, why = $3 WHERE key = $1 AND muted IS NULL AND struck > $4`,
		key, t.now, why, t.now-strikesCount.Milliseconds())
	if err != nil || changed > 0 {
		return changed > 0, err
	}
	_, err = t.exec(`INSERT INTO robots (key, struck, why) VALUES ($1, $2, '') ON CONFLICT (key) DO UPDATE SET struck = excluded.struck`, key, t.now)
	return false, err
}

// muted says why a sender is muted, "" if not.
func (t *tx) muted(key string) (why string, err error) {
	err = t.row(`SELECT why FROM robots WHERE key = $1 AND muted IS NOT NULL`, key).Scan(&why)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return why, err
}

// Unmute believes again that a person writes from the address.
func (db *DB) Unmute(ctx context.Context, address string) error {
	return db.write(ctx, "unmute "+address, func(t *tx) error {
		n, err := t.exec(`DELETE FROM robots WHERE key = $1 AND muted IS NOT NULL`, addressKey(address))
		if err == nil && n == 0 {
			return refuse("%s is not muted", address)
		}
		return err
	})
}
