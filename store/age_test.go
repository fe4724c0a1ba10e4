package store

import (
	"testing"
	"time"

	"github.com/returnpost/returnpost/outbox"
)

// toRefresh is what AcksToRefresh gives, and wants no error.
func (l *ledger) toRefresh() []StaleAck {
	l.t.Helper()
	stale, err := l.AcksToRefresh(l.t.Context(), l.clock.now(), 10)
	if err != nil {
		l.t.Fatal(err)
	}
	return stale
}

// TestOldAcknowledgementsAreGivenUp once they were attempted in vain.
func TestOldAcknowledgementsAreGivenUp(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		id := l.one(1)
		claimed, _ := l.settle(5)
		o := l.outcome(claimed[0], outbox.Deferred)
		o.Due = l.clock.now().Add(giveUpAfter)
		l.settle(0, o)
		l.clock.turn(giveUpAfter)
		if found := l.toRefresh(); len(found) != 1 {
			t.Error("given up too early", found)
		}
		l.clock.turn(time.Minute)
		if found := l.toRefresh(); len(found) != 0 {
			t.Error(found)
		}
		l.wantStatus(id, "failed 1 gave up after three days")
		if claimed, next := l.settle(5); len(claimed) != 0 || !next.IsZero() {
			t.Error(claimed, next)
		}
		// An operator may want it all the same.
		d := all(t, l.Deliveries(t.Context(), DeliveryFilter{}))
		if err := l.RetryDelivery(t.Context(), d[0].ID); err != nil {
			t.Fatal(err)
		}
		if found := l.toRefresh(); len(found) != 1 || !found[0].Created.Equal(l.clock.now()) {
			t.Error("its age does not begin anew:", found)
		}
	})
}

// TestAClockThatJumpsAheadEndsNothing: what was never attempted is as good as new when the clock is right again.
func TestAClockThatJumpsAheadEndsNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		box := l.box("support")
		stale := l.one(1)
		timeless := l.one(2, func(a *Arrival) { a.Ack.StaleAt = time.Time{} })
		l.clock.turn(30 * 24 * time.Hour)
		claimed, _ := l.settle(5)
		if len(claimed) != 1 || claimed[0].Recipient != timeless {
			t.Errorf("%+v", claimed)
		}
		found := l.toRefresh()
		if len(found) != 1 || found[0].Recipient != stale {
			t.Fatalf("%+v", found)
		}
		// Composed anew, it has its three days before it.
		ack := Ack{To: "a@x", Bytes: []byte("anew"), StaleAt: l.clock.now().Add(time.Hour)}
		if err := l.RefreshAck(t.Context(), box.Sending, stale, ack, Promise{}); err != nil {
			t.Fatal(err)
		}
		claimed, _ = l.settle(5)
		if len(claimed) != 1 || claimed[0].Recipient != stale || !claimed[0].Created.Equal(l.clock.now()) {
			t.Errorf("%+v", claimed)
		}
	})
}

// TestAHoldIsKept: an acknowledgement that is held back longer than its promise lasts, and than three days, waits until
// then, is composed anew, and only then begins to grow old.
func TestAHoldIsKept(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		box := l.box("support")
		const hold = 7 * 24 * time.Hour
		due := l.clock.now().Add(hold)
		id := l.one(1, func(a *Arrival) { a.Ack.Due = due })
		l.clock.turn(hold - time.Minute)
		if found := l.toRefresh(); len(found) != 0 {
			t.Error("the hold is overridden:", found)
		}
		if claimed, next := l.settle(5); len(claimed) != 0 || !next.Equal(due) {
			t.Error(claimed, next)
		}
		l.clock.turn(time.Minute)
		found := l.toRefresh()
		if len(found) != 1 || !found[0].Created.Equal(due) {
			t.Fatal(found)
		}
		ack := Ack{To: "a@x", Bytes: []byte("anew"), StaleAt: l.clock.now().Add(time.Hour)}
		if err := l.RefreshAck(t.Context(), box.Sending, id, ack, Promise{}); err != nil {
			t.Fatal(err)
		}
		claimed, _ := l.settle(5)
		if len(claimed) != 1 || !claimed[0].Created.Equal(due) {
			t.Fatalf("%+v", claimed)
		}
		// The same for a pause before another attempt.
		o := l.outcome(claimed[0], outbox.Deferred)
		o.Due = l.clock.now().Add(4 * time.Hour)
		l.settle(0, o)
		l.clock.turn(2 * time.Hour)
		if found := l.toRefresh(); len(found) != 0 {
			t.Error("the pause is overridden:", found)
		}
		l.clock.turn(2 * time.Hour)
		if found := l.toRefresh(); len(found) != 1 || found[0].Recipient != id {
			t.Error(found)
		}
	})
}
