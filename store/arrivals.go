package store

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"time"
)

// ArrivalRecord is an arrival in the ledger.
type ArrivalRecord struct {
	ID               int64
	Mailbox          string
	UIDValidity, UID uint32 // UIDVALIDITY 0: the server has given its number to another message, or to none
	Seen, Internal   time.Time
	MessageID        string
	From, FromName   string
	Subject          string

	Kind, Reason, Rule, Evidence, Language string

	MemberID      int64 // 0: nobody on the list
	Thread, Round int64
	Acknowledged  bool   // an acknowledgement was queued with it
	Letter        string // of the acknowledgement
	AckTo, AckID  string // its recipient and Message-ID
	Raw           []byte // of a broken message, from ArrivalByID only
}

// ArrivalFilter chooses arrivals; the zero value all of them.
type ArrivalFilter struct {
	Reason  string
	Mailbox string
	From    string
	Limit   int // 0: no limit
}

const arrivalColumns = `a.id, b.name, CASE WHEN a.uidvalidity < 0 THEN 0 ELSE a.uidvalidity END, a.uid, a.seen, a.internal, a.message_id, a.sender, a.sender_name, a.subject, a.kind, a.reason,
	a.rule, a.evidence, a.language, coalesce(a.member, 0), a.thread, a.round, a.acknowledged, a.letter, a.ack_to, a.ack_id`

func (r *ArrivalRecord) scan(s scanner, more ...any) error {
	var seen, internal moment
	err := s.Scan(append([]any{&r.ID, &r.Mailbox, &r.UIDValidity, &r.UID, &seen, &internal, &r.MessageID, &r.From, &r.FromName, &r.Subject, &r.Kind, &r.Reason,
		&r.Rule, &r.Evidence, &r.Language, &r.MemberID, &r.Thread, &r.Round, &r.Acknowledged, &r.Letter, &r.AckTo, &r.AckID}, more...)...)
	r.Seen, r.Internal = seen.Time, internal.Time
	return err
}

// Arrivals goes through the arrivals, the newest first.
func (db *DB) Arrivals(ctx context.Context, filter ArrivalFilter) iter.Seq2[ArrivalRecord, error] {
	all := pages(func(last *ArrivalRecord) ([]ArrivalRecord, error) {
		var w where
		if last != nil {
			w.and("a.id < %s", last.ID)
		}
		if filter.Reason != "" {
			w.and("a.reason = %s", filter.Reason)
		}
		if filter.Mailbox != "" {
			w.and("b.name = %s", filter.Mailbox)
		}
		if filter.From != "" {
			w.and("lower(a.sender) = %s", addressKey(filter.From))
		}
		return rows(ctx, db, func(s scanner, r *ArrivalRecord) error { return r.scan(s) }, `SELECT `+arrivalColumns+`
			FROM arrivals a JOIN mailboxes b ON b.id = a.mailbox `+w.text+` ORDER BY a.id DESC LIMIT `+strconv.Itoa(pageSize), w.args...)
	})
	if filter.Limit == 0 {
		return all
	}
	return func(yield func(ArrivalRecord, error) bool) {
		n := 0
		for r, err := range all {
			if !yield(r, err) || err != nil {
				return
			}
			if n++; n == filter.Limit {
				return
			}
		}
	}
}

// ArrivalByID is one arrival, with the bytes of a broken message; nil if there is none.
func (db *DB) ArrivalByID(ctx context.Context, id int64) (*ArrivalRecord, error) {
	found, err := rows(ctx, db, func(s scanner, r *ArrivalRecord) error { return r.scan(s, &r.Raw) }, `SELECT `+arrivalColumns+`, q.raw
		FROM arrivals a JOIN mailboxes b ON b.id = a.mailbox LEFT JOIN quarantine q ON q.arrival = a.id WHERE a.id = $1`, id)
	if err != nil {
		return nil, fmt.Errorf("store: read the arrival %d: %w", id, sentence(err))
	}
	if len(found) == 0 {
		return nil, nil
	}
	return &found[0], nil
}
