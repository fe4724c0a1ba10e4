package store

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"time"
)

// Promise is what an acknowledgement says about when a person will answer.
type Promise struct {
	By       time.Time // zero: no basis for a time
	FollowUp time.Time // then: the date by which we say more
	Rule     string    // the rule of the configuration that it was made by
	Alert    string    // who is told before it breaks
	Basis    string    // what the time rests on
}

// The states of a promise, as commands and reports call them. The order is how they are stored.
var promiseStates = [...]string{"open", "kept", "late", "extended", "withdrawn"}

const (
	promiseOpen = 0
	promiseLate = 2
)

// openPromise records the promise that an arrival opens.
func (t *tx) openPromise(p *Promise, box int64, th *thread, v *Verdict) error {
	_, err := t.exec(`INSERT INTO promises (arrival, mailbox, thread, round, promised, follow_up, told, state, rule, alert, basis)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, $10)`, v.Arrival, box, th.id, th.round, stamp(p.By), stamp(p.FollowUp),
		truth(v.Acknowledged), clean(p.Rule, maxText), clean(p.Alert, maxText), clean(p.Basis, maxText))
	return err
}

// tellPromise lets the round's promise be what the acknowledgement of a later letter says: at first the writer was told
// nothing.
func (t *tx) tellPromise(p *Promise, th *thread) error {
	_, err := t.exec(`UPDATE promises SET told = 1, promised = $3, follow_up = $4, rule = $5, alert = $6, basis = $7
		WHERE thread = $1 AND round = $2 AND state = 0`,
		th.id, th.round, stamp(p.By), stamp(p.FollowUp), clean(p.Rule, maxText), clean(p.Alert, maxText), clean(p.Basis, maxText))
	return err
}

// itsPromise is the condition that a promise is of the round that an arrival belongs to: the acknowledgement that tells of
// it may be of a later letter than the one that opened it.
const itsPromise = `(thread, round) IN (SELECT a.thread, a.round FROM arrivals a WHERE a.id = $1)`

// PromiseRecord is a promise in the ledger.
type PromiseRecord struct {
	ID       string // the arrival that opened it
	Arrival  int64
	Mailbox  string
	Member   string // the address of the member; "": not on the list
	From     string
	FromName string
	Subject  string
	Arrived  time.Time
	Told     bool   // the writer was told
	State    string // open, kept, late, extended, withdrawn; an open one is late as soon as its time has passed
	Open     bool   // nobody has answered yet
	Ended    time.Time
	Promise
}

// PromiseFilter chooses promises; the zero value those that are open.
type PromiseFilter struct {
	All     bool // also those that ended
	Mailbox string
}

// Promises goes through the promises, the oldest first.
func (db *DB) Promises(ctx context.Context, filter PromiseFilter) iter.Seq2[PromiseRecord, error] {
	now := db.now()
	return pages(func(last *PromiseRecord) ([]PromiseRecord, error) {
		var w where
		if last != nil {
			w.and("p.arrival > %s", last.Arrival)
		}
		if !filter.All {
			w.and("p.state = 0")
		}
		if filter.Mailbox != "" {
			w.and("b.name = %s", filter.Mailbox)
		}
		return rows(ctx, db, func(s scanner, p *PromiseRecord) error { return p.scan(s, now) }, `SELECT p.arrival, b.name, coalesce(m.email, ''),
				a.sender, a.sender_name, a.subject, a.seen, p.told, p.state, p.ended, p.promised, p.follow_up, p.rule, p.alert, p.basis
			FROM promises p JOIN arrivals a ON a.id = p.arrival JOIN mailboxes b ON b.id = p.mailbox LEFT JOIN members m ON m.id = a.member
			`+w.text+` ORDER BY p.arrival LIMIT `+strconv.Itoa(pageSize), w.args...)
	})
}

func (p *PromiseRecord) scan(s scanner, now time.Time) error {
	var arrived, ended, by, follow moment
	var state int
	err := s.Scan(&p.Arrival, &p.Mailbox, &p.Member, &p.From, &p.FromName, &p.Subject, &arrived, &p.Told, &state, &ended, &by, &follow,
		&p.Rule, &p.Alert, &p.Basis)
	p.ID = strconv.FormatInt(p.Arrival, 10)
	p.Arrived, p.Ended, p.By, p.FollowUp = arrived.Time, ended.Time, by.Time, follow.Time
	if p.Open = state == promiseOpen; p.Open && !p.By.IsZero() && now.After(p.By) {
		state = promiseLate
	}
	if state < len(promiseStates) {
		p.State = promiseStates[state]
	}
	return err
}

// Answer records that a person here has answered: refs are the ids their letter answers, nearest first. It ends the
// thread's round, so that a new question in it is a new letter; keeps its promise, or ends it late; and cancels an
// acknowledgement that has not gone out. A message that is answered before it is recorded is known as answered then.
// found says whether a recorded message was meant. A second answer to the same message changes nothing.
func (db *DB) Answer(ctx context.Context, name string, refs []string, at time.Time) (found bool, err error) {
	box, err := db.box(ctx, name)
	if err != nil {
		return false, err
	}
	tr := newTrail(box.ID, refs, [16]byte{}, "", "", at)
	tr.unseen = true
	if len(tr.refs) == 0 {
		return false, nil
	}
	err = db.write(ctx, "record an answer", func(t *tx) error {
		fresh, err := t.exec(`INSERT INTO answers (mailbox, id, at) VALUES ($1, $2, $3) ON CONFLICT (mailbox, id) DO NOTHING`,
			box.ID, tr.refs[0], stamp(at))
		if err != nil {
			return err
		}
		threads, err := findThreads(t.ctx, t, []trail{tr})
		if err != nil {
			return err
		}
		if found = threads[0] != nil; !found || fresh == 0 {
			return nil
		}
		return t.endRound(box, threads[0], at)
	})
	return found, err
}

func (t *tx) endRound(box Mailbox, th *thread, at time.Time) error {
	waiting, err := rows(t.ctx, t, func(s scanner, recipient *int64) error { return s.Scan(recipient) }, `SELECT d.recipient
		FROM arrivals a JOIN deliveries d ON d.sending = $3 AND d.recipient = a.id
		WHERE a.thread = $1 AND a.round = $2 AND a.acknowledged = 1 AND d.state IN (0, 3)`, th.id, th.round, box.Sending)
	if err != nil {
		return err
	}
	for _, recipient := range waiting {
		if err := t.cancel(box.Sending, recipient, "a person has answered"); err != nil {
			return err
		}
	}
	if _, err := t.exec(`UPDATE promises SET ended = $3, state = CASE WHEN promised < $3 THEN 2 ELSE 1 END
		WHERE thread = $1 AND round = $2 AND state = 0`, th.id, th.round, stamp(at)); err != nil {
		return err
	}
	_, err = t.exec(`UPDATE threads SET round = round + 1, last = CASE WHEN last < $2 THEN $2 ELSE last END WHERE id = $1`, th.id, stamp(at))
	return err
}

// where gathers the conditions of a filter.
type where struct {
	text string
	args []any
}

// and adds a condition, with %s where its value goes.
func (w *where) and(condition string, values ...any) {
	places := make([]any, len(values))
	for i, v := range values {
		w.args = append(w.args, v)
		places[i] = "$" + strconv.Itoa(len(w.args))
	}
	if w.text == "" {
		w.text = "WHERE "
	} else {
		w.text += " AND "
	}
	w.text += fmt.Sprintf(condition, places...)
}

// pageSize is how many rows a listing reads at a time: no list is held in memory, and no reading holds up the shrinking
// of SQLite's log.
const pageSize = 500

// pages goes through a listing page by page. next reads the page behind a row; nil asks for the first.
func pages[T any](next func(last *T) ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var last *T
		for {
			page, err := next(last)
			if err != nil {
				yield(*new(T), fmt.Errorf("store: read a list: %w", sentence(err)))
				return
			}
			for i := range page {
				if !yield(page[i], nil) {
					return
				}
			}
			if len(page) < pageSize {
				return
			}
			last = &page[len(page)-1]
		}
	}
}
