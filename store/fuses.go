package store

import (
	"context"
	"encoding/binary"
	"encoding/hex"
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

// fusebox holds the windows of a batch's fuses while its transaction lasts: read once, written once.
type fusebox struct {
	now     int64
	windows map[string]*window
	changed map[string][]any // rows to write
}

// key is where a fuse is kept; with another Per it begins anew.
func (f *Fuse) key() string { return clean(f.Key, maxText) + "/" + f.Per.String() }

// width is how long a slot is, in milliseconds.
func (f *Fuse) width() int64 { return max(f.Per.Milliseconds()/slots, 1) }

// openFuses reads the windows of all fuses that a batch may claim.
func (t *tx) openFuses(batch []Arrival) (*fusebox, error) {
	b := &fusebox{now: t.now, windows: map[string]*window{}, changed: map[string][]any{}}
	var wanted [][]any
	for i := range batch {
		for _, f := range batch[i].Fuses {
			if key := f.key(); b.windows[key] == nil {
				b.windows[key] = &window{}
				wanted = append(wanted, []any{key})
			}
		}
	}
	if len(wanted) == 0 {
		return b, nil
	}
	type kept struct {
		key    string
		slot   int64
		counts []byte
	}
	found, err := rows(t.ctx, t, func(s scanner, k *kept) error { return s.Scan(&k.key, &k.slot, &k.counts) },
		`SELECT f.key, f.slot, f.counts FROM {{set $1 key:text}} x CROSS JOIN fuses f WHERE f.key = x.key`, set(wanted))
	for _, k := range found {
		w := b.windows[k.key]
		if w == nil || len(k.counts) != 4*len(w.counts) {
			return nil, fmt.Errorf("the fuse %q is kept with %d bytes of counts", k.key, len(k.counts))
		}
		w.slot = k.slot
		for i := range w.counts {
			w.counts[i] = binary.BigEndian.Uint32(k.counts[4*i:])
		}
	}
	return b, err
}

// claim takes one of every fuse, or none: then it returns the first one that is blown.
func (b *fusebox) claim(fuses []Fuse) (blown *Fuse) {
	for i := range fuses {
		f := &fuses[i]
		w := b.windows[f.key()]
		if w.advance(b.now / f.width()) {
			// Kept even when nothing is claimed, or the counts would stay in a future that the clock has left.
			b.change(f, w)
		}
		if blown == nil && w.sum() >= f.N {
			blown = f
		}
	}
	if blown != nil {
		return blown
	}
	for i := range fuses {
		w := b.windows[fuses[i].key()]
		w.counts[slots]++
		b.change(&fuses[i], w)
	}
	return nil
}

func (b *fusebox) change(f *Fuse, w *window) {
	counts := make([]byte, 0, 4*len(w.counts))
	for _, c := range w.counts {
		counts = binary.BigEndian.AppendUint32(counts, c)
	}
	b.changed[f.key()] = []any{f.key(), w.slot, (w.slot + slots + 1) * f.width(), hex.EncodeToString(counts)}
}

// closeFuses writes what was claimed.
func (t *tx) closeFuses(b *fusebox) error {
	if len(b.changed) > 0 {
		if _, err := t.exec(`INSERT INTO fuses (key, slot, ends, counts) SELECT key, slot, ends, counts
			FROM {{set $1 key:text slot:bigint ends:bigint counts:bytes}} x WHERE true
			ON CONFLICT (key) DO UPDATE SET slot = excluded.slot, ends = excluded.ends, counts = excluded.counts`,
			set(slices.Collect(maps.Values(b.changed)))); err != nil {
			return err
		}
	}
	return t.forgetOldFuses()
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

// Who answers our acknowledgement so fast is no person, or a person does so once. A mute ends by itself: the robot may have
// been repaired, or have been a person in a hurry. A strike while it lasts makes it begin anew.
const (
	robotAnswers = 2 * time.Minute
	strikesCount = 24 * time.Hour
	muteLasts    = 30 * 24 * time.Hour
)

// muteBounds are when a mute that lasts began: not long ago, and not in a future that the clock has left.
func muteBounds(now int64) (from, to int64) {
	return now - muteLasts.Milliseconds() + 1, now + strikesCount.Milliseconds()
}

const robotWords = "answered acknowledgements within two minutes, twice in a day"

// strike notes that a sender answered an acknowledgement faster than people do. The second time within a day mutes them.
func (t *tx) strike(key string) (muted bool, err error) {
	from, to := muteBounds(t.now)
	changed, err := t.exec(`UPDATE robots SET muted = $2, struck = $2 WHERE key = $1 AND muted BETWEEN $3 AND $4`, key, t.now, from, to)
	if err != nil || changed > 0 {
		return false, err
	}
	changed, err = t.exec(`UPDATE robots SET muted = $2, struck = $2, why = $3 WHERE key = $1 AND struck BETWEEN $4 AND $2`,
		key, t.now, robotWords, t.now-strikesCount.Milliseconds())
	if err != nil || changed > 0 {
		return changed > 0, err
	}
	_, err = t.exec(`INSERT INTO robots (key, struck, why) VALUES ($1, $2, '')
		ON CONFLICT (key) DO UPDATE SET struck = excluded.struck, muted = NULL, why = ''`, key, t.now)
	return false, err
}

// muted says which senders of a batch are muted, and why.
func (t *tx) muted(batch []Arrival) (map[string]string, error) {
	senders := make([][]any, len(batch))
	for i := range batch {
		senders[i] = []any{addressKey(batch[i].From)}
	}
	from, to := muteBounds(t.now)
	type word struct{ key, why string }
	found, err := rows(t.ctx, t, func(s scanner, w *word) error { return s.Scan(&w.key, &w.why) },
		`SELECT r.key, r.why FROM {{set $1 key:text}} x CROSS JOIN robots r WHERE r.key = x.key AND r.muted BETWEEN $2 AND $3`, set(senders), from, to)
	muted := make(map[string]string, len(found))
	for _, w := range found {
		muted[w.key] = w.why
	}
	return muted, err
}

// Unmute believes again that a person writes from the address.
func (db *DB) Unmute(ctx context.Context, address string) error {
	return db.write(ctx, "unmute "+address, func(t *tx) error {
		from, to := muteBounds(t.now)
		n, err := t.exec(`DELETE FROM robots WHERE key = $1 AND muted BETWEEN $2 AND $3`, addressKey(address), from, to)
		if err == nil && n == 0 {
			return refuse("%s is not muted", address)
		}
		return err
	})
}
