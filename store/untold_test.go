package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/returnpost/returnpost/outbox"
)

// TestAnUntoldPromiseIsNoAcknowledgement: whoever was told nothing is told with their next letter in the thread, and the
// promise then is what they were told.
func TestAnUntoldPromiseIsNoAcknowledgement(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		box := l.box("support")
		total := []Fuse{{"total", 1, time.Hour, "limit-total"}}
		other, first := l.letter(1, "b@x.example", "B"), l.letter(2, "a@x.example", "A")
		other.Fuses, first.Fuses = total, total
		l.clock.turn(5 * time.Hour)
		second := l.letter(3, "a@x.example", "A")
		second.Fuses, second.Refs, second.Promise.Basis = total, []string{first.MessageID}, "the second letter"
		third := l.letter(4, "a@x.example", "A")
		third.Refs = []string{second.MessageID}
		l.clock.turn(-5 * time.Hour)

		opened := l.acknowledge(other, first)[1]
		spoken := func(want bool) {
			t.Helper()
			h, err := l.Histories(t.Context(), []Query{{Mailbox: "support", From: "a@x.example", Refs: second.Refs}})
			if err != nil || h[0].ThreadAcknowledged != want {
				t.Errorf("%+v %v", h, err)
			}
		}
		promise := func(told bool, want Promise) {
			t.Helper()
			p := all(t, l.Promises(t.Context(), PromiseFilter{}))
			if len(p) != 2 || p[1].Arrival != opened.Arrival || p[1].Told != told || !cmp.Equal(p[1].Promise, want) {
				t.Errorf("%+v", p)
			}
		}
		spoken(false)
		promise(false, first.Promise)
		l.clock.turn(5 * time.Hour)
		got := l.acknowledge(second, third)
		if !cmp.Equal(reasons(got), []string{"new-thread+", "follow-up"}) {
			t.Error(reasons(got))
		}
		spoken(true)
		promise(true, second.Promise)

		// The acknowledgement's fate is the promise's, although another letter opened it.
		told := got[0].Arrival
		anew := Promise{By: l.clock.now().Add(time.Hour), Basis: "anew"}
		if err := l.RefreshAck(t.Context(), box.Sending, told, *second.Ack, anew); err != nil {
			t.Fatal(err)
		}
		promise(true, anew)
		claimed, _ := l.settle(5)
		for _, d := range claimed {
			l.settle(0, l.outcome(d, outbox.Failed))
		}
		promise(false, anew)
		for _, d := range all(t, l.Deliveries(t.Context(), DeliveryFilter{})) {
			if err := l.RetryDelivery(t.Context(), d.ID); err != nil {
				t.Fatal(err)
			}
		}
		promise(true, anew)
		consistent(t, l)
	})
}
