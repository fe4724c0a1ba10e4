package store

import (
	"context"
	"fmt"

	"github.com/returnpost/returnpost/members"
)

// Query asks what the ledger and the member list know that bears on one message.
type Query struct {
	Mailbox       string
	From          string // address of the person who wrote
	ThreadSubject string // message.NormalSubject
	MessageID     string
	Refs          []string // ids it answers, nearest first
	Hash          [16]byte
}

// History is the answer. The zero value is a stranger's first letter.
type History struct {
	Member             *members.Member // nil: not on the list
	MemberID           int64
	Suppressed         string // why the address gets no acknowledgements: dead or complained-ack
	Muted              string // why the robot fuse has muted the sender
	ThreadAcknowledged bool   // the thread's round has had its acknowledgement
	Answered           bool   // a person has answered this very message already
}

// Histories answers a batch of queries, in order, with one statement for each kind of knowledge. It reads beside the
// writer; what matters for doubles is asked again inside Acknowledge.
func (db *DB) Histories(ctx context.Context, queries []Query) ([]History, error) {
	histories := make([]History, len(queries))
	if len(queries) == 0 {
		return histories, nil
	}
	fail := func(err error) ([]History, error) {
		return nil, fmt.Errorf("store: read the history of %d messages in the database %s: %w", len(queries), db.name, sentence(err))
	}
	now := db.now()
	trails := make([]trail, len(queries))
	var senders, ids [][]any
	for i, q := range queries {
		box, err := db.box(ctx, q.Mailbox)
		if err != nil {
			return nil, err
		}
		trails[i] = newTrail(box.ID, q.Refs, q.Hash, q.From, q.ThreadSubject, now)
		senders = append(senders, []any{i, addressKey(q.From)})
		if id := messageKey(q.MessageID); id != 0 {
			ids = append(ids, []any{i, box.ID, id})
		}
	}
	threads, err := findThreads(ctx, db, trails)
	if err != nil {
		return fail(err)
	}
	for i, th := range threads {
		histories[i].ThreadAcknowledged = th != nil && th.spoken()
	}
	if err := db.recallSenders(ctx, histories, set(senders)); err != nil {
		return fail(err)
	}
	answered, err := rows(ctx, db, func(s scanner, i *int) error { return s.Scan(i) }, `SELECT x.i
		FROM {{set $1 i:bigint mailbox:bigint id:bigint}} x CROSS JOIN answers a WHERE a.mailbox = x.mailbox AND a.id = x.id`, set(ids))
	if err != nil {
		return fail(err)
	}
	for _, i := range answered {
		histories[i].Answered = true
	}
	return histories, nil
}

// recallSenders fills in what is known of the senders, given as rows of index and address.
func (db *DB) recallSenders(ctx context.Context, histories []History, senders string) error {
	type word struct {
		i    int
		said string
	}
	scanWord := func(s scanner, w *word) error { return s.Scan(&w.i, &w.said) }
	const from = ` FROM {{set $1 i:bigint address:text}} x CROSS JOIN `

	suppressed, err := rows(ctx, db, scanWord, `SELECT x.i, p.scope`+from+`suppressions p
		WHERE p.address = x.address AND p.scope IN ($2, $3)`, senders, ScopeDead, ScopeComplainedAck)
	if err != nil {
		return err
	}
	for _, w := range suppressed {
		if h := &histories[w.i]; h.Suppressed != ScopeDead {
			h.Suppressed = w.said
		}
	}
	begun, until := muteBounds(db.now().UnixMilli())
	muted, err := rows(ctx, db, scanWord, `SELECT x.i, r.why`+from+`robots r WHERE r.key = x.address AND r.muted BETWEEN $2 AND $3`, senders, begun, until)
	if err != nil {
		return err
	}
	for _, w := range muted {
		histories[w.i].Muted = w.said
	}
	found, err := rows(ctx, db, scanHeld, findMember, senders)
	for _, h := range found {
		m := h.member
		histories[h.i].Member, histories[h.i].MemberID = &m, m.ID
	}
	return err
}
