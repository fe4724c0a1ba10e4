package store

import (
	"context"
	"sync"
	"time"

	"github.com/returnpost/returnpost/outbox"
)

// queue is the outbox's view of the deliveries: of all of them, or of those sendings that leave by one way.
type queue struct {
	db       *DB
	sendings string // made by set; anySending: all

	settling sync.Mutex
	settled  int64   // when the last Settle was, as stored
	unsure   [][]any // claims of a Settle whose commit failed, perhaps after it was kept
}

// anySending is set's answer to no rows.
const anySending = "[]"

// Queue is the deliveries of some sendings, for an outbox that has an SMTP server of its own.
func (db *DB) Queue(sendings ...int64) outbox.Queue {
	rows := make([][]any, len(sendings))
	for i, s := range sendings {
		rows[i] = []any{s}
	}
	return &queue{db: db, sendings: set(rows)}
}

// ofSendings is the condition that a column is one of a queue's sendings.
func ofSendings(column, parameter string) string {
	return `(` + parameter + ` = '` + anySending + `' OR ` + column + ` IN (SELECT x.sending FROM {{set ` + parameter + ` sending:bigint}} x))`
}

// Settle records finished deliveries and claims up to room more, those first that have been due longest, all in one
// durable commit: what it claims is on the wire from then on, and in doubt if the process dies. It implements outbox.Queue.
//
// An outcome counts only while the delivery is on the wire by this process: a late or repeated one changes nothing.
// At the claim an address that has died meanwhile is skipped, and an acknowledgement whose own promise has passed is
// shelved until RefreshAck. None is given up for its age, or a clock that jumps ahead would end all that is queued: that
// follows an attempt, by the outbox's outcome or by AcksToRefresh.
func (q *queue) Settle(ctx context.Context, finished []outbox.Outcome, room int) (claimed []outbox.Delivery, next time.Time, err error) {
	q.settling.Lock()
	defer q.settling.Unlock()
	finished = inOrder(finished)
	var at int64
	err = q.db.write(ctx, "settle deliveries", func(t *tx) error {
		// Run again, the commit of the first run may have been kept and only its answer lost.
		q.doubt(claimed)
		claimed, next, at = nil, time.Time{}, t.now
		if err := t.unclaim(q.unsure); err != nil {
			return err
		}
		if at < q.settled-clockSlack {
			if err := t.hasten(); err != nil {
				return err
			}
		}
		if err := t.finish(finished); err != nil {
			return err
		}
		for len(claimed) < room {
			due, err := t.due(room-len(claimed), q.sendings)
			if err != nil {
				return err
			}
			taken, err := t.take(due)
			if err != nil {
				return err
			}
			claimed = append(claimed, taken...)
			if len(due) == 0 {
				break
			}
		}
		next, err = t.nextDue(q.sendings)
		return err
	})
	if err != nil {
		q.doubt(claimed)
		return nil, time.Time{}, err
	}
	q.settled, q.unsure = at, nil
	return claimed, next, nil
}

// doubt notes claims that were handed to nobody: where a connection breaks during the commit, they may have been kept.
func (q *queue) doubt(claimed []outbox.Delivery) {
	for _, d := range claimed {
		q.unsure = append(q.unsure, []any{d.Sending, d.Recipient})
	}
}
