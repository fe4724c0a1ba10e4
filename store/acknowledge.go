package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"time"
)

// Arrival is a message seen in a mailbox, what was decided on it, and what shall follow if the ledger agrees.
type Arrival struct {
	Mailbox          string
	UIDValidity, UID uint32
	Renumbered       bool // found again after UIDVALIDITY changed: may be known by its content
	Seen, Internal   time.Time
	Hash             [16]byte // of the content, the same when a server renumbers or delivers it again

	MessageID     string
	Refs          []string // ids it answers, nearest first
	From          string   // address of the person who wrote
	FromName      string
	Subject       string
	ThreadSubject string // message.NormalSubject; "" never matches

	Kind, Reason, Rule, Evidence, Language string
	RuleOf                                 func(reason string) string // the rule behind a reason that the ledger gives itself; nil: none
	MemberID                               int64                      // 0: nobody on the list

	Acknowledge bool    // the decision so far
	Waits       bool    // a person waits: a promise is opened, told only if acknowledged
	Promise     Promise // where somebody waits
	Ack         *Ack    // nil when silent, and in observe mode
	Fuses       []Fuse  // claimed in order where Acknowledge stands
	Raw         []byte  // kept for broken messages
}

// Ack is a finished acknowledgement.
type Ack struct {
	From      string // envelope sender; "" is the null path
	To        string
	MessageID string
	Letter    string // the letter's name, for reports; "": acknowledgement
	Bytes     []byte
	Due       time.Time // zero: now
	StaleAt   time.Time // not sent unchanged after this; zero: never stale
	Occasion  []byte    // what it is composed anew from
}

// Verdict is what the ledger made of an arrival.
type Verdict struct {
	Arrival      int64
	Known        bool // recorded before: this very UID, or the same content renumbered
	Acknowledged bool // an acknowledgement is queued or was
	Reason       string
	Evidence     string
	Muted        bool // with this arrival the robot fuse has muted its sender, for thirty days
}

// The reasons that the ledger gives by itself; those of fuses come with them.
const (
	reasonFollowUp  = "follow-up"
	reasonRobotFuse = "robot-fuse"
	kindPerson      = "person"
)

// Acknowledge records a batch of arrivals, in order and in one transaction, each with its thread, its promise and its
// queued acknowledgement. The ledger can say no where a decision said yes: to a second acknowledgement in a thread's
// round, to a blown fuse, to a muted robot. The same batch may come again, whole or in part: what is known stays as it is.
func (db *DB) Acknowledge(ctx context.Context, batch []Arrival) ([]Verdict, error) {
	boxes := make([]Mailbox, len(batch))
	for i := range batch {
		box, err := db.box(ctx, batch[i].Mailbox)
		if err != nil {
			return nil, err
		}
		boxes[i] = box
	}
	verdicts := make([]Verdict, len(batch))
	err := db.write(ctx, fmt.Sprintf("record %d arrivals", len(batch)), func(t *tx) (err error) {
		in := intake{tx: t}
		if in.muted, err = t.muted(batch); err != nil {
			return err
		}
		if in.fuses, err = t.openFuses(batch); err != nil {
			return err
		}
		for i := range batch {
			if verdicts[i], err = in.acknowledge(&batch[i], boxes[i]); err != nil {
				return fmt.Errorf("arrival %d/%d of the mailbox %q: %w", batch[i].UIDValidity, batch[i].UID, batch[i].Mailbox, err)
			}
		}
		return t.closeFuses(in.fuses)
	})
	if err != nil {
		return nil, err
	}
	return verdicts, nil
}

// intake is a batch on its way into the ledger.
type intake struct {
	*tx
	fuses *fusebox
	muted map[string]string // sender → why
}

// acknowledge is the life of one arrival in the ledger.
func (in *intake) acknowledge(a *Arrival, box Mailbox) (v Verdict, err error) {
	known, again, err := in.recognise(a, box)
	if err != nil || known.Known {
		return known, err
	}
	seen := a.Seen
	if seen.IsZero() {
		seen = time.UnixMilli(in.now)
	}
	tr := newTrail(box.ID, a.Refs, a.Hash, a.From, a.ThreadSubject, seen)
	tr.unseen = !again
	threads, err := findThreads(in.ctx, in, []trail{tr})
	if err != nil {
		return v, err
	}
	th := threads[0]
	if th == nil {
		th = &thread{round: 1}
	}
	v = Verdict{Reason: clean(a.Reason, maxText), Evidence: clean(a.Evidence, maxLine)}
	if !again { // delivered twice, an answer is one answer
		if v.Muted, err = in.strikeAnswer(a, box, tr, seen); err != nil {
			return v, err
		}
	}
	wants := a.Acknowledge
	if wants {
		if no := in.objection(a, th, again); no != nil {
			wants, v.Reason, v.Evidence = false, no.reason, no.evidence
		}
	}
	waits := a.Waits && th.promised != th.round && !again
	if wants && a.Ack != nil {
		th.acknowledged = th.round
	}
	if waits {
		th.promised = th.round
	}
	if th.id, err = in.keepThread(th, box.ID, seen); err != nil {
		return v, err
	}
	v.Acknowledged = wants && a.Ack != nil
	return v, in.record(a, box, th, &v, tr, seen, waits)
}

// nothing is the hash of no content: a message that the server could not give. It says nothing of what the message is.
var nothing = func() (hash [16]byte) {
	sum := sha256.Sum256(nil)
	copy(hash[:], sum[:])
	return hash
}()

// recognise finds an arrival that was recorded before: by its UID, or after a change of UIDVALIDITY by its content, and
// then the old row gets the new number. again says that the same content is there already under another number.
//
// A UID that now bears other content was given anew: in a mailbox that was restored, or exchanged for another under the
// same UIDVALIDITY. Then the old row makes room for the new message (RFC 9051 §2.3.1.1 forbids such servers; there are some).
func (t *tx) recognise(a *Arrival, box Mailbox) (v Verdict, again bool, err error) {
	type row struct {
		v    Verdict
		uid  bool // it is this UID's
		hash []byte
	}
	scan := func(s scanner, r *row) error {
		return s.Scan(&r.v.Arrival, &r.v.Acknowledged, &r.v.Reason, &r.uid, &r.hash)
	}
	// The row of this UID, and one with this content.
	found, err := rows(t.ctx, t, scan, `SELECT id, acknowledged, reason, 1, hash FROM arrivals
			WHERE mailbox = $1 AND uidvalidity = $2 AND uid = $3
		UNION ALL SELECT id, acknowledged, reason, 0, hash FROM
			(SELECT id, acknowledged, reason, hash FROM arrivals WHERE mailbox = $1 AND hash = $4 LIMIT 1) b`,
		box.ID, int64(a.UIDValidity), int64(a.UID), a.Hash[:])
	if err != nil || len(found) == 0 {
		return Verdict{}, false, err
	}
	for _, r := range found {
		switch {
		case !r.uid:
			again = a.Hash != nothing
		case a.Hash == nothing || bytes.Equal(r.hash, a.Hash[:]):
			r.v.Known = true
			return r.v, true, nil
		default:
			if _, err := t.exec(`UPDATE arrivals SET uidvalidity = -id WHERE id = $1`, r.v.Arrival); err != nil {
				return Verdict{}, false, err
			}
		}
	}
	if !again {
		return Verdict{}, false, nil
	}
	// What made room for another message is found again wherever it is.
	found, err = rows(t.ctx, t, scan, `SELECT id, acknowledged, reason, 0, hash FROM arrivals
		WHERE mailbox = $1 AND hash = $2 AND (uidvalidity < 0 OR $3 = 1 AND uidvalidity <> $4) LIMIT 1`,
		box.ID, a.Hash[:], truth(a.Renumbered), int64(a.UIDValidity))
	if err != nil || len(found) == 0 {
		return Verdict{}, true, err
	}
	v = found[0].v
	v.Known = true
	_, err = t.exec(`UPDATE arrivals SET uidvalidity = $2, uid = $3 WHERE id = $1`, v.Arrival, int64(a.UIDValidity), int64(a.UID))
	return v, true, err
}

// objection is the ledger's own reason against an acknowledgement.
type objection struct{ reason, evidence string }

// objection finds what speaks against an acknowledgement; nil: nothing, and only then are the fuses claimed.
func (in *intake) objection(a *Arrival, th *thread, again bool) *objection {
	// The same content a second time is the same letter, even when the thread has gone on since.
	if again {
		return &objection{reasonFollowUp, "the same letter came before"}
	}
	// In observe mode the promise stands for the acknowledgement that nobody gets: whoever was only observed is still
	// answered once the mailbox answers.
	if th.spoken() || a.Ack == nil && th.promised == th.round {
		return &objection{reasonFollowUp, "the thread has had its acknowledgement"}
	}
	if why := in.muted[addressKey(a.From)]; why != "" {
		return &objection{reasonRobotFuse, why}
	}
	if blown := in.fuses.claim(a.Fuses); blown != nil {
		return &objection{clean(blown.Reason, maxText), fmt.Sprintf("%d in %s are used up for %s", blown.N, blown.Per, clean(blown.Key, maxText))}
	}
	return nil
}

// strikeAnswer notes a strike against the sender of an answer to one of our acknowledgements that came within two minutes
// of its sending. Automatic mail that says so is no strike: it is silenced by its marks, and a person's vacation notice
// must not mute the person.
func (in *intake) strikeAnswer(a *Arrival, box Mailbox, tr trail, seen time.Time) (muted bool, err error) {
	if len(tr.refs) == 0 || a.Kind != kindPerson {
		return false, nil
	}
	wanted := make([][]any, len(tr.refs))
	for i, ref := range tr.refs {
		wanted[i] = []any{ref}
	}
	sent, err := rows(in.ctx, in, func(s scanner, at *moment) error { return s.Scan(at) },
		`SELECT d.at FROM {{set $1 id:bigint}} x CROSS JOIN message_ids m JOIN deliveries d ON d.sending = $3 AND d.recipient = m.arrival
		WHERE m.mailbox = $2 AND m.id = x.id AND m.ours = 1 AND d.state IN (1, 2, 5)`, set(wanted), box.ID, box.Sending)
	fast := false
	for _, at := range sent {
		came := seen // the server's own clock says better when the answer came, unless it runs behind ours
		if !a.Internal.IsZero() && a.Internal.Before(seen) && !a.Internal.Before(at.Time) {
			came = a.Internal
		}
		fast = fast || came.Before(at.Add(robotAnswers))
	}
	if err != nil || !fast {
		return false, err
	}
	key := addressKey(a.From)
	if muted, err = in.strike(key); muted {
		in.muted[key] = robotWords
	}
	return muted, err
}

func (t *tx) keepThread(th *thread, box int64, seen time.Time) (id int64, err error) {
	if th.id != 0 {
		_, err := t.exec(`UPDATE threads SET acknowledged = $2, promised = $3, last = CASE WHEN last < $4 THEN $4 ELSE last END WHERE id = $1`,
			th.id, th.acknowledged, th.promised, stamp(seen))
		return th.id, err
	}
	err = t.row(`INSERT INTO threads (mailbox, last, round, acknowledged, promised) VALUES ($1, $2, $3, $4, $5) RETURNING id`,
		box, stamp(seen), th.round, th.acknowledged, th.promised).Scan(&id)
	return id, err
}

// record writes the arrival and all that follows from it.
func (t *tx) record(a *Arrival, box Mailbox, th *thread, v *Verdict, tr trail, seen time.Time, waits bool) error {
	var ack Ack
	if v.Acknowledged {
		if ack = *a.Ack; ack.Letter == "" {
			ack.Letter = "acknowledgement"
		}
	}
	rule := a.Rule
	if v.Reason != clean(a.Reason, maxText) { // the rule was the decision's, not the ledger's
		rule = ""
		if a.RuleOf != nil {
			rule = a.RuleOf(v.Reason)
		}
	}
	var likeness, member any
	if tr.likeness != 0 {
		likeness = tr.likeness
	}
	if a.MemberID != 0 {
		member = a.MemberID
	}
	err := t.row(`INSERT INTO arrivals (mailbox, uidvalidity, uid, hash, thread, round, likeness, seen, internal, message_id,
			sender, sender_name, subject, kind, reason, rule, evidence, language, member, acknowledged, letter, ack_to, ack_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23) RETURNING id`,
		box.ID, int64(a.UIDValidity), int64(a.UID), a.Hash[:], th.id, th.round, likeness, stamp(seen), stamp(a.Internal), clean(a.MessageID, maxLine),
		clean(a.From, maxText), clean(a.FromName, maxText), clean(a.Subject, maxLine), clean(a.Kind, maxText), v.Reason, clean(rule, maxText),
		v.Evidence, clean(a.Language, maxText), member, truth(v.Acknowledged), clean(ack.Letter, maxText),
		clean(ack.To, maxLine), clean(ack.MessageID, maxLine)).Scan(&v.Arrival)
	if err != nil {
		return err
	}
	if err := t.keepIDs(box.ID, th.id, v.Arrival, messageKey(a.MessageID), messageKey(ack.MessageID)); err != nil {
		return err
	}
	if waits {
		if err := t.openPromise(&a.Promise, box.ID, th, v); err != nil {
			return err
		}
	} else if v.Acknowledged && a.Waits {
		if err := t.tellPromise(&a.Promise, th); err != nil {
			return err
		}
	}
	if len(a.Raw) > 0 {
		if _, err := t.exec(`INSERT INTO quarantine (arrival, raw) VALUES ($1, $2)`, v.Arrival, a.Raw); err != nil {
			return err
		}
	}
	if v.Acknowledged {
		return t.queue(box.Sending, v.Arrival, &ack)
	}
	return nil
}

// keepIDs makes the Message-IDs of an arrival and of its acknowledgement known; 0 is none.
func (t *tx) keepIDs(box, thread, arrival, own, ack int64) error {
	const conflict = ` ON CONFLICT (mailbox, id) DO UPDATE SET thread = excluded.thread, arrival = excluded.arrival, ours = excluded.ours
		WHERE message_ids.ours = 0`
	var err error
	switch {
	case own != 0 && ack != 0 && own != ack:
		_, err = t.exec(`INSERT INTO message_ids (mailbox, id, thread, arrival, ours) VALUES ($1, $2, $3, $4, 0), ($1, $5, $3, $4, 1)`+conflict,
			box, own, thread, arrival, ack)
	case own != 0 || ack != 0:
		_, err = t.exec(`INSERT INTO message_ids (mailbox, id, thread, arrival, ours) VALUES ($1, $2, $3, $4, $5)`+conflict,
			box, own|ack, thread, arrival, truth(ack != 0))
	}
	return err
}
