package store

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/returnpost/returnpost/outbox"
)

// The states in which a delivery waits for an attempt, and those that need its letter no more.
const (
	waitingStates  = "(0, 3, 5)" // queued, deferred, doubt
	letterlessEnds = "(2, 6, 7)" // sent, skipped, canceled
	unwrittenEnds  = "(4, 6, 7)" // failed, skipped, canceled: the writer was told nothing
	resentWords    = "resent from doubt"
	gaveUp         = "gave up after three days"
	giveUpAfter    = 72 * time.Hour // an acknowledgement that could not go out for so long is of no use any more
)

// queue queues an acknowledgement with its finished bytes.
func (t *tx) queue(sending, recipient int64, ack *Ack) error {
	due := t.dueOf(ack)
	if _, err := t.exec(`INSERT INTO deliveries (sending, recipient, state, attempts, doubted, at, due) VALUES ($1, $2, 0, 0, 0, $3, $4)`,
		sending, recipient, t.now, due); err != nil {
		return err
	}
	_, err := t.exec(`INSERT INTO letters (sending, recipient, since, stale, envelope_from, address, occasion, bytes) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		sending, recipient, max(t.now, due), stamp(ack.StaleAt), clean(ack.From, maxLine), addressKey(ack.To), ack.Occasion, notNil(ack.Bytes))
	return err
}

// dueOf is when an acknowledgement may go out, as stored.
func (t *tx) dueOf(ack *Ack) int64 {
	if ack.Due.IsZero() {
		return t.now
	}
	return ack.Due.UnixMilli()
}

// end gives a delivery that is not on the wire a state in which it stays.
func (t *tx) end(sending, recipient int64, state outbox.State, words string) error {
	if _, err := t.exec(`UPDATE deliveries SET state = $3, due = NULL, at = $4 WHERE sending = $1 AND recipient = $2`, sending, recipient, int64(state), t.now); err != nil {
		return err
	}
	key := [][]any{{sending, recipient}}
	if err := t.keepWords([][]any{{sending, recipient, 0, "", clean(words, maxLine)}}); err != nil {
		return err
	}
	return t.follow(key)
}

// follow lets the letters and promises of deliveries go the way of their new states.
func (t *tx) follow(keys [][]any) error {
	if len(keys) == 0 {
		return nil
	}
	ended := set(keys)
	if _, err := t.exec(`DELETE FROM letters WHERE (sending, recipient) IN (SELECT d.sending, d.recipient
		FROM {{set $1 sending:bigint recipient:bigint}} x CROSS JOIN deliveries d
		WHERE d.sending = x.sending AND d.recipient = x.recipient AND d.state IN `+letterlessEnds+`)`, ended); err != nil {
		return err
	}
	_, err := t.exec(`UPDATE promises SET told = 0 WHERE (thread, round) IN (SELECT a.thread, a.round
		FROM {{set $1 sending:bigint recipient:bigint}} x CROSS JOIN deliveries d
			JOIN mailboxes b ON b.sending = d.sending JOIN arrivals a ON a.id = d.recipient
		WHERE d.sending = x.sending AND d.recipient = x.recipient AND d.state IN `+unwrittenEnds+`)`, ended)
	return err
}

// keepWords keeps what a server said or what we found: rows of sending, recipient, code, status, words.
func (t *tx) keepWords(said [][]any) error {
	if len(said) == 0 {
		return nil
	}
	_, err := t.exec(`INSERT INTO outcomes (sending, recipient, code, status, words) SELECT sending, recipient, code, status, words
		FROM {{set $1 sending:bigint recipient:bigint code:bigint status:text words:text}} x WHERE true
		ON CONFLICT (sending, recipient) DO UPDATE SET code = excluded.code, status = excluded.status, words = excluded.words`, set(said))
	return err
}

// cancel ends a delivery that waits.
func (t *tx) cancel(sending, recipient int64, words string) error {
	return t.end(sending, recipient, outbox.Canceled, words)
}

// DeliveryRecord is a delivery in the ledger.
type DeliveryRecord struct {
	ID                 string // for RetryDelivery and CancelDelivery
	Sending, Recipient int64
	Mailbox            string // of an acknowledgement
	To, MessageID      string
	Letter             string
	State              outbox.State
	Attempts           int
	Reason             string // why it stands as it does, in words; "" for what was sent at the first attempt
	Code               int    // the server's last reply
	Status, Words      string
	At                 time.Time // of the latest change
	Due                time.Time // the next attempt; zero: none is planned by time
}

// DeliveryFilter chooses deliveries; the zero value all of them.
type DeliveryFilter struct {
	State   *outbox.State
	Mailbox string
	Arrival int64 // the acknowledgement of this arrival
}

// Deliveries goes through the deliveries, the newest first within each sending.
func (db *DB) Deliveries(ctx context.Context, filter DeliveryFilter) iter.Seq2[DeliveryRecord, error] {
	return pages(func(last *DeliveryRecord) ([]DeliveryRecord, error) {
		var w where
		if last != nil {
			w.and("(d.sending, d.recipient) < (%s, %s)", last.Sending, last.Recipient)
		}
		if filter.State != nil {
			w.and("d.state = %s", int64(*filter.State))
		}
		if filter.Mailbox != "" {
			w.and("b.name = %s", filter.Mailbox)
		}
		if filter.Arrival != 0 {
			w.and("b.id IS NOT NULL AND d.recipient = %s", filter.Arrival)
		}
		return rows(ctx, db, scanDelivery, `SELECT d.sending, d.recipient, d.state, d.attempts, d.doubted, d.at, d.due, coalesce(b.name, ''),
				coalesce(a.ack_to, ''), coalesce(a.ack_id, ''), coalesce(a.letter, ''), coalesce(o.code, 0), coalesce(o.status, ''), coalesce(o.words, '')
			FROM deliveries d LEFT JOIN mailboxes b ON b.sending = d.sending
				LEFT JOIN arrivals a ON a.id = d.recipient AND b.id IS NOT NULL
				LEFT JOIN outcomes o ON o.sending = d.sending AND o.recipient = d.recipient
			`+w.text+` ORDER BY d.sending DESC, d.recipient DESC LIMIT `+strconv.Itoa(pageSize), w.args...)
	})
}

func scanDelivery(s scanner, d *DeliveryRecord) error {
	var at, due moment
	var doubted bool
	err := s.Scan(&d.Sending, &d.Recipient, &d.State, &d.Attempts, &doubted, &at, &due, &d.Mailbox, &d.To, &d.MessageID, &d.Letter,
		&d.Code, &d.Status, &d.Words)
	d.ID = fmt.Sprintf("%d-%d", d.Sending, d.Recipient)
	d.At = at.Time
	if due.UnixMilli() != shelf {
		d.Due = due.Time
	}
	switch {
	case doubted && d.State == outbox.Sent:
		d.Reason = resentWords
	case d.State != outbox.Sent:
		d.Reason = d.Words
	}
	return err
}

// RetryDelivery queues a delivery again that failed, or makes the next attempt of one that waits come now.
func (db *DB) RetryDelivery(ctx context.Context, id string) error {
	return db.changeDelivery(ctx, "retry", id, func(t *tx, sending, recipient int64, state outbox.State) error {
		var letters int
		if err := t.row(`SELECT count(*) FROM letters WHERE sending = $1 AND recipient = $2`, sending, recipient).Scan(&letters); err != nil {
			return err
		}
		switch {
		case state == outbox.Sending:
			return refuse("the delivery %s is on its way just now", id)
		case letters == 0:
			return refuse("the delivery %s is %s: there is nothing to send again", id, state)
		}
		if _, err := t.exec(`UPDATE deliveries SET state = CASE WHEN state IN (4, 5) THEN 0 ELSE state END, due = $3, at = $3
			WHERE sending = $1 AND recipient = $2`, sending, recipient, t.now); err != nil {
			return err
		}
		// It does not end at once for its age.
		if _, err := t.exec(`UPDATE letters SET since = $3 WHERE sending = $1 AND recipient = $2`, sending, recipient, t.now); err != nil {
			return err
		}
		_, err := t.exec(`UPDATE promises SET told = 1 WHERE `+itsPromise+` AND EXISTS (SELECT 1 FROM mailboxes b WHERE b.sending = $2)`, recipient, sending)
		return err
	})
}

// CancelDelivery ends a delivery that was not sent.
func (db *DB) CancelDelivery(ctx context.Context, id string) error {
	return db.changeDelivery(ctx, "cancel", id, func(t *tx, sending, recipient int64, state outbox.State) error {
		switch state {
		case outbox.Queued, outbox.Deferred, outbox.Doubt, outbox.Failed:
			return t.cancel(sending, recipient, "canceled by hand")
		case outbox.Sending:
			return refuse("the delivery %s is on its way just now", id)
		}
		return refuse("the delivery %s is %s already", id, state)
	})
}

func (db *DB) changeDelivery(ctx context.Context, verb, id string, change func(t *tx, sending, recipient int64, state outbox.State) error) error {
	left, right, _ := strings.Cut(id, "-")
	sending, wrong := strconv.ParseInt(left, 10, 64)
	recipient, wrong2 := strconv.ParseInt(right, 10, 64)
	if wrong != nil || wrong2 != nil {
		return refuse("%q is no delivery's id: they look like 1-42, as `deliveries list` shows them", id)
	}
	return db.write(ctx, verb+" the delivery "+id, func(t *tx) error {
		state, found, err := t.stateOf(sending, recipient)
		if err != nil {
			return err
		}
		if !found {
			return refuse("there is no delivery %s", id)
		}
		return change(t, sending, recipient, state)
	})
}

func (t *tx) stateOf(sending, recipient int64) (state outbox.State, found bool, err error) {
	states, err := rows(t.ctx, t, func(s scanner, state *outbox.State) error { return s.Scan(state) },
		`SELECT d.state FROM deliveries d WHERE d.sending = $1 AND d.recipient = $2 {{lock d}}`, sending, recipient)
	if err != nil || len(states) == 0 {
		return 0, false, err
	}
	return states[0], true, nil
}

// StaleAck is an acknowledgement that could not go out before its own promise passed.
type StaleAck struct {
	Sending, Recipient int64
	Occasion           []byte
	Created            time.Time // when it could first go out
}

// AcksToRefresh gives acknowledgements that could go out but are past their StaleAt, to be composed anew with another
// promise: those that are held back or pause before another attempt wait on. It gives up those that were attempted and
// could not go out for three days. What was never attempted is not given up: it was this program that did not run, or
// its clock that jumped.
func (db *DB) AcksToRefresh(ctx context.Context, now time.Time, limit int) ([]StaleAck, error) {
	type waiting struct {
		StaleAck
		attempts int
	}
	found, err := rows(ctx, db, func(s scanner, a *waiting) error {
		var since moment
		err := s.Scan(&a.Sending, &a.Recipient, &a.attempts, &a.Occasion, &since)
		a.Created = since.Time
		return err
	}, `SELECT d.sending, d.recipient, d.attempts, l.occasion, l.since
		FROM deliveries d JOIN letters l ON l.sending = d.sending AND l.recipient = d.recipient
		WHERE (d.due <= $1 OR d.due >= $3) AND l.stale <= $1 ORDER BY d.due, d.sending, d.recipient LIMIT $2`, stamp(now), limit, int64(shelf))
	if err != nil {
		return nil, fmt.Errorf("store: find acknowledgements to refresh in the database %s: %w", db.name, sentence(err))
	}
	var fresh []StaleAck
	var old [][2]int64
	for _, a := range found {
		if a.attempts > 0 && now.Sub(a.Created) > giveUpAfter {
			old = append(old, [2]int64{a.Sending, a.Recipient})
		} else {
			fresh = append(fresh, a.StaleAck)
		}
	}
	if len(old) == 0 {
		return fresh, nil
	}
	return fresh, db.write(ctx, "give up old acknowledgements", func(t *tx) error {
		for _, key := range old {
			if err := t.giveUp(key[0], key[1]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) giveUp(sending, recipient int64) error {
	state, found, err := t.stateOf(sending, recipient)
	if err != nil || !found || state != outbox.Queued && state != outbox.Deferred && state != outbox.Doubt {
		return err
	}
	return t.end(sending, recipient, outbox.Failed, gaveUp)
}

// RefreshAck replaces an acknowledgement that waits, and its promise. One that waits no more is left as it is.
func (db *DB) RefreshAck(ctx context.Context, sending, recipient int64, ack Ack, p Promise) error {
	return db.write(ctx, "refresh an acknowledgement", func(t *tx) error {
		due := t.dueOf(&ack)
		n, err := t.exec(`UPDATE deliveries SET due = $3, at = $4 WHERE sending = $1 AND recipient = $2 AND state IN `+waitingStates, sending, recipient, due, t.now)
		if err != nil || n == 0 {
			return err
		}
		// As long as it was not attempted, its age begins when it can be.
		if _, err := t.exec(`UPDATE letters SET stale = $3, envelope_from = $4, address = $5, occasion = $6, bytes = $7,
				since = CASE WHEN (SELECT d.attempts FROM deliveries d WHERE d.sending = $1 AND d.recipient = $2) = 0 THEN $8 ELSE since END
			WHERE sending = $1 AND recipient = $2`, sending, recipient, stamp(ack.StaleAt), clean(ack.From, maxLine), addressKey(ack.To),
			ack.Occasion, notNil(ack.Bytes), max(t.now, due)); err != nil {
			return err
		}
		if _, err := t.exec(`UPDATE arrivals SET ack_to = $2, letter = CASE WHEN $3 = '' THEN letter ELSE $3 END WHERE id = $1`,
			recipient, clean(ack.To, maxLine), clean(ack.Letter, maxText)); err != nil {
			return err
		}
		_, err = t.exec(`UPDATE promises SET promised = $2, follow_up = $3, rule = $4, alert = $5, basis = $6 WHERE `+itsPromise+` AND state = 0`,
			recipient, stamp(p.By), stamp(p.FollowUp), clean(p.Rule, maxText), clean(p.Alert, maxText), clean(p.Basis, maxText))
		return err
	})
}

// CancelAck ends an acknowledgement that waits, for a reason of ours. One that waits no more is left as it is.
func (db *DB) CancelAck(ctx context.Context, sending, recipient int64, reason string) error {
	return db.write(ctx, "cancel an acknowledgement", func(t *tx) error {
		state, found, err := t.stateOf(sending, recipient)
		if err != nil || !found || state != outbox.Queued && state != outbox.Deferred && state != outbox.Doubt {
			return err
		}
		return t.cancel(sending, recipient, reason)
	})
}
