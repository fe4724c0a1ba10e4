package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// A thread is found by what ties a message to it, in this order: the ids that it answers, nearest first; the same content
// seen before; the same sender writing under the same subject not long ago. An own Message-ID that was seen before ties
// nothing: carriers use ids again.

const (
	maxRefs     = 50                  // ids looked up a message
	subjectTies = 14 * 24 * time.Hour // how long after a thread's last activity its subject still ties
)

// thread is where a message belongs.
type thread struct {
	id           int64
	round        int64
	acknowledged int64 // the last round that had its acknowledgement
	promised     int64 // the last round that had its promise
}

// spoken says whether the thread's round has had its acknowledgement. A promise that nobody was told does not count.
func (t *thread) spoken() bool { return t.acknowledged == t.round }

// trail is what ties a message to a thread.
type trail struct {
	mailbox  int64
	refs     []int64
	hash     [16]byte
	unseen   bool  // it is known that this content was not seen before
	likeness int64 // 0: the message has no subject that could tie
	since    int64 // the thread's last activity may not be older
}

func newTrail(mailbox int64, refs []string, hash [16]byte, sender, subject string, seen time.Time) trail {
	if len(refs) > maxRefs {
		refs = refs[:maxRefs]
	}
	t := trail{mailbox: mailbox, hash: hash, since: seen.Add(-subjectTies).UnixMilli()}
	for _, ref := range refs {
		if id := messageKey(ref); id != 0 {
			t.refs = append(t.refs, id)
		}
	}
	if subject != "" && sender != "" {
		t.likeness = shortHash(addressKey(sender), subject)
	}
	return t
}

// messageKey is the key of a Message-ID; 0 for an empty one, which is no id.
func messageKey(id string) int64 {
	if id == "" {
		return 0
	}
	return shortHash(id)
}

// shortHash is 64 bits of SHA-256 over texts, never 0. Who could make two texts collide gains nothing by it: their own
// message would be taken for one of a thread, for which naming that thread is enough.
func shortHash(texts ...string) int64 {
	h := sha256.New()
	for _, text := range texts {
		h.Write([]byte(text))
		h.Write([]byte{0})
	}
	sum := int64(binary.BigEndian.Uint64(h.Sum(nil)))
	if sum == 0 {
		return 1
	}
	return sum
}

func scanThread(s scanner, i *int64, t *thread) error {
	return s.Scan(i, &t.id, &t.round, &t.acknowledged, &t.promised)
}

// findThreads finds the thread of each trail, nil where there is none.
func findThreads(ctx context.Context, q queryer, trails []trail) ([]*thread, error) {
	found := make([]*thread, len(trails))
	look := func(text string, wanted [][]any) error {
		if len(wanted) == 0 {
			return nil
		}
		type hit struct {
			i int64
			t thread
		}
		hits, err := rows(ctx, q, func(s scanner, h *hit) error { return scanThread(s, &h.i, &h.t) }, text, set(wanted))
		for _, h := range hits {
			if found[h.i] == nil {
				found[h.i] = &h.t
			}
		}
		return err
	}
	var wanted [][]any
	for i := range trails {
		for n, ref := range trails[i].refs {
			wanted = append(wanted, []any{i, n, trails[i].mailbox, ref})
		}
	}
	if err := look(`SELECT x.i, t.id, t.round, t.acknowledged, t.promised
		FROM {{set $1 i:bigint n:bigint mailbox:bigint id:bigint}} x CROSS JOIN message_ids m JOIN threads t ON t.id = m.thread
		WHERE m.mailbox = x.mailbox AND m.id = x.id ORDER BY x.i, x.n`, wanted); err != nil {
		return nil, err
	}
	wanted = wanted[:0]
	for i := range trails {
		if found[i] == nil && !trails[i].unseen {
			wanted = append(wanted, []any{i, trails[i].mailbox, hex.EncodeToString(trails[i].hash[:])})
		}
	}
	if err := look(`SELECT x.i, t.id, t.round, t.acknowledged, t.promised
		FROM {{set $1 i:bigint mailbox:bigint hash:bytes}} x JOIN threads t ON t.id =
			(SELECT a.thread FROM arrivals a WHERE a.mailbox = x.mailbox AND a.hash = x.hash LIMIT 1)`, wanted); err != nil {
		return nil, err
	}
	wanted = wanted[:0]
	for i := range trails {
		if found[i] == nil && trails[i].likeness != 0 {
			wanted = append(wanted, []any{i, trails[i].mailbox, trails[i].likeness, trails[i].since})
		}
	}
	return found, look(`SELECT x.i, t.id, t.round, t.acknowledged, t.promised
		FROM {{set $1 i:bigint mailbox:bigint likeness:bigint since:bigint}} x JOIN threads t ON t.last >= x.since AND t.id =
			(SELECT a.thread FROM arrivals a WHERE a.mailbox = x.mailbox AND a.likeness = x.likeness ORDER BY a.id DESC LIMIT 1)`, wanted)
}
