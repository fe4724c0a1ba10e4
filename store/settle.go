package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/returnpost/returnpost/outbox"
)

// shelf is the due time of an acknowledgement that waits for a new promise, not for a time: the year 2200.
const shelf = 7258118400000

// A claim is a delivery that is due, with what speaks against sending it.
type claim struct {
	d     outbox.Delivery
	since moment // when it could first go out
	stale moment
	dead  string
}

// inOrder sorts outcomes by key, one for each, so that rows are written in the order of their tree.
func inOrder(finished []outbox.Outcome) []outbox.Outcome {
	finished = slices.Clone(finished)
	slices.SortStableFunc(finished, func(a, b outbox.Outcome) int {
		return cmp.Or(cmp.Compare(a.Sending, b.Sending), cmp.Compare(a.Recipient, b.Recipient))
	})
	return slices.CompactFunc(finished, func(a, b outbox.Outcome) bool { return a.Sending == b.Sending && a.Recipient == b.Recipient })
}

func (t *tx) unclaim(keys [][]any) error {
	if len(keys) == 0 {
		return nil
	}
	_, err := t.exec(`UPDATE deliveries SET state = 0, due = $2, claimed = NULL, attempts = attempts - 1
		WHERE state = 1 AND claimed + 0 = $3 AND (sending, recipient) IN (SELECT sending, recipient FROM {{set $1 sending:bigint recipient:bigint}} x)`,
		set(keys), t.now, t.w.db.daemon)
	return err
}

// finish records outcomes: one statement for the states of all, one for the words, two for what follows.
func (t *tx) finish(finished []outbox.Outcome) error {
	if len(finished) == 0 {
		return nil
	}
	states := make([][]any, len(finished))
	for i, o := range finished {
		due := o.Due
		if o.State == outbox.Queued && due.IsZero() {
			due = o.At
		}
		at := stamp(o.At)
		if at == nil {
			at = t.now
		}
		states[i] = []any{o.Sending, o.Recipient, int64(o.State), at, stamp(due)}
	}
	// What was put back was no attempt; what was in doubt once stays marked.
	type key struct{ sending, recipient int64 }
	counted, err := rows(t.ctx, t, func(s scanner, k *key) error { return s.Scan(&k.sending, &k.recipient) }, `UPDATE deliveries
		SET state = x.state, at = x.at, due = x.due, claimed = NULL,
			attempts = attempts - CASE WHEN x.state = 0 THEN 1 ELSE 0 END, doubted = CASE WHEN x.state = 5 THEN 1 ELSE doubted END
		FROM {{set $1 sending:bigint recipient:bigint state:bigint at:bigint due:bigint}} x
		WHERE deliveries.sending = x.sending AND deliveries.recipient = x.recipient AND deliveries.state = 1 AND claimed + 0 = $2
		RETURNING deliveries.sending, deliveries.recipient`, set(states), t.w.db.daemon)
	if err != nil {
		return err
	}
	var said, keys [][]any
	ours := make(map[key]bool, len(counted))
	for _, k := range counted {
		ours[k] = true
	}
	for _, o := range finished {
		if !ours[key{o.Sending, o.Recipient}] {
			continue
		}
		keys = append(keys, []any{o.Sending, o.Recipient})
		if o.Words != "" || o.Code != 0 {
			said = append(said, []any{o.Sending, o.Recipient, o.Code, clean(o.Status, maxText), clean(o.Words, maxLine)})
		}
	}
	if err := t.keepWords(said); err != nil {
		return err
	}
	return t.follow(keys)
}

// due reads deliveries that are due, with what is needed to send them and to decide against it.
func (t *tx) due(room int, sendings string) ([]claim, error) {
	return rows(t.ctx, t, func(s scanner, c *claim) error {
		err := s.Scan(&c.d.Sending, &c.d.Recipient, &c.d.Attempts, &c.d.Doubted, &c.d.From, &c.d.To, &c.d.MessageID, &c.d.Bytes, &c.since, &c.stale, &c.dead)
		c.d.Created = c.since.Time
		return err
	}, `SELECT d.sending, d.recipient, d.attempts, d.doubted, l.envelope_from, a.ack_to, a.ack_id, l.bytes, l.since, l.stale, coalesce(p.reason, '')
		FROM deliveries d JOIN letters l ON l.sending = d.sending AND l.recipient = d.recipient JOIN arrivals a ON a.id = d.recipient
			LEFT JOIN suppressions p ON p.address = l.address AND p.scope = $3
		WHERE d.due <= $1 AND `+ofSendings("d.sending", "$4")+` ORDER BY d.due LIMIT $2 {{skip_locked d}}`, t.now, room, ScopeDead, sendings)
}

// take claims what may be sent and puts the rest aside.
func (t *tx) take(due []claim) (claimed []outbox.Delivery, err error) {
	var taken, shelved [][]any
	for _, c := range due {
		switch key := []any{c.d.Sending, c.d.Recipient}; {
		case c.dead != "":
			err = t.end(c.d.Sending, c.d.Recipient, outbox.Skipped, "the address is dead: "+c.dead)
		case !c.stale.IsZero() && c.stale.UnixMilli() <= t.now:
			shelved = append(shelved, key)
		default:
			taken = append(taken, key)
			claimed = append(claimed, c.d)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(shelved) > 0 {
		if _, err := t.exec(`UPDATE deliveries SET due = $2
			WHERE (sending, recipient) IN (SELECT sending, recipient FROM {{set $1 sending:bigint recipient:bigint}} x)`, set(shelved), int64(shelf)); err != nil {
			return nil, err
		}
	}
	if len(taken) > 0 {
		if _, err := t.exec(`UPDATE deliveries SET state = 1, claimed = $2, attempts = attempts + 1, at = $3, due = NULL
			WHERE (sending, recipient) IN (SELECT sending, recipient FROM {{set $1 sending:bigint recipient:bigint}} x)`,
			set(taken), t.w.db.daemon, t.now); err != nil {
			return nil, err
		}
	}
	return claimed, nil
}

// clockSlack is how far back the clock may go without anything being done about it, in milliseconds.
const clockSlack = 5000

// hasten makes due now what was made to wait by a clock that was ahead: it would wait until that time came true.
func (t *tx) hasten() error {
	_, err := t.exec(`UPDATE deliveries SET due = $1, at = $1 WHERE due IS NOT NULL AND due < $2 AND at > $3`, t.now, int64(shelf), t.now+clockSlack)
	return err
}

func (t *tx) nextDue(sendings string) (time.Time, error) {
	var due moment
	err := t.row(`SELECT min(due) FROM deliveries WHERE due IS NOT NULL AND `+ofSendings("sending", "$1"), sendings).Scan(&due)
	if err != nil || due.IsZero() || due.UnixMilli() >= shelf {
		return time.Time{}, err
	}
	return due.Time, nil
}

// Recover is called once at the start of a daemon that holds the lock: what a dead one had on the wire is in doubt.
// With resend acknowledgements in doubt are sent again at once, with the same Message-ID; without it they are left to a
// person. It returns how many deliveries were found.
func (db *DB) Recover(ctx context.Context, resend bool) (n int, err error) {
	err = db.write(ctx, "look for deliveries in doubt", func(t *tx) error {
		n = 0
		if _, err := t.exec(`INSERT INTO outcomes (sending, recipient, code, status, words)
			SELECT sending, recipient, 0, '', $1 FROM deliveries WHERE state = 1 AND claimed <> $2
			ON CONFLICT (sending, recipient) DO UPDATE SET code = 0, status = '', words = excluded.words`,
			"the program ended while this was on its way: the server may have it", db.daemon); err != nil {
			return err
		}
		found, err := t.exec(`UPDATE deliveries SET state = 5, doubted = 1, claimed = NULL, at = $1, due = CASE WHEN $3 = 1 AND EXISTS
				(SELECT 1 FROM letters l WHERE l.sending = deliveries.sending AND l.recipient = deliveries.recipient) THEN CAST($1 AS BIGINT) END
			WHERE state = 1 AND claimed <> $2`, t.now, db.daemon, truth(resend))
		if n = int(found); err != nil {
			return err
		}
		if !resend { // also those that a daemon before was to send again
			if _, err := t.exec(`UPDATE deliveries SET due = NULL WHERE state = 5 AND due IS NOT NULL`); err != nil {
				return err
			}
		}
		return t.hasten()
	})
	return n, err
}
