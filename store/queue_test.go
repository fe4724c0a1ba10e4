package store

import (
	"testing"
)

func TestAQueueSeesOnlyItsSendings(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		support, sales := l.box("support"), l.box("sales")
		first := l.one(1)
		second := l.one(2, func(a *Arrival) { a.Mailbox = "sales" })
		q := l.Queue(sales.Sending)
		claimed, next, err := q.Settle(t.Context(), nil, 10)
		if err != nil || len(claimed) != 1 || claimed[0].Recipient != second || !next.IsZero() {
			t.Fatalf("claimed %+v, next %v, %v", claimed, next, err)
		}
		l.wantStatus(first, "queued 0")
		_, next, err = l.Queue(support.Sending).Settle(t.Context(), nil, 0)
		if err != nil || next.IsZero() {
			t.Errorf("the other queue waits for nothing: %v, %v", next, err)
		}
		if claimed, _ := l.settle(10); len(claimed) != 1 || claimed[0].Recipient != first {
			t.Errorf("the queue of all claimed %+v", claimed)
		}
	})
}
