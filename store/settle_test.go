package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/returnpost/returnpost/outbox"
)

// status is a delivery as a line: state, attempts, reason.
func (l *ledger) status(recipient int64) string {
	l.t.Helper()
	for _, d := range all(l.t, l.Deliveries(l.t.Context(), DeliveryFilter{})) {
		if d.Recipient == recipient {
			return strings.TrimSpace(fmt.Sprintf("%s %d %s", d.State, d.Attempts, d.Reason))
		}
	}
	return "none"
}

func (l *ledger) wantStatus(recipient int64, want string) {
	l.t.Helper()
	if got := l.status(recipient); got != want {
		l.t.Errorf("delivery to arrival %d: %q instead of %q", recipient, got, want)
	}
}

// one queues one acknowledgement and gives its arrival.
func (l *ledger) one(uid uint32, change ...func(*Arrival)) int64 {
	l.t.Helper()
	a := l.letter(uid, fmt.Sprintf("person%d@example.com", uid), fmt.Sprint("Question ", uid))
	for _, c := range change {
		c(&a)
	}
	return l.acknowledge(a)[0].Arrival
}

func (l *ledger) letters() int { return l.count("SELECT count(*) FROM letters") }

func TestDeliveryIsSent(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		id := l.one(1)
		l.wantStatus(id, "queued 0")
		claimed, _ := l.settle(1)
		l.wantStatus(id, "sending 1")
		if more, next := l.settle(5); len(more) != 0 || !next.IsZero() {
			t.Error("claimed twice", more, next)
		}
		o := l.outcome(claimed[0], outbox.Sent)
		o.Code, o.Status, o.Words = 250, "2.0.0", "Ok: queued as 4F1A"
		l.settle(0, o)
		l.wantStatus(id, "sent 1")
		d := all(t, l.Deliveries(t.Context(), DeliveryFilter{Mailbox: "support"}))[0]
		want := DeliveryRecord{ID: fmt.Sprintf("%d-%d", d.Sending, id), Sending: d.Sending, Recipient: id, Mailbox: "support", To: "person1@example.com",
			MessageID: "<ack.1.person1@example.com>", Letter: "acknowledgement", State: outbox.Sent, Attempts: 1, Code: 250, Status: "2.0.0",
			Words: "Ok: queued as 4F1A", At: l.clock.now()}
		if diff := cmp.Diff(want, d); diff != "" {
			t.Error(diff)
		}
		if l.letters() != 0 {
			t.Error("the bytes of a sent letter are kept")
		}
		// Late or repeated outcomes change nothing.
		for _, state := range []outbox.State{outbox.Failed, outbox.Queued, outbox.Doubt, outbox.Sent} {
			l.settle(5, l.outcome(claimed[0], state))
			l.wantStatus(id, "sent 1")
		}
	})
}

func TestDeliveriesGoInTheOrderTheyAreDue(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		now := l.clock.now()
		due := func(d time.Duration) func(*Arrival) { return func(a *Arrival) { a.Ack.Due = now.Add(d) } }
		late, early, held := l.one(1, due(-time.Second)), l.one(2, due(-time.Minute)), l.one(3, due(time.Minute))
		claimed, next := l.settle(1)
		if len(claimed) != 1 || claimed[0].Recipient != early || next.After(now) || next.IsZero() {
			t.Error(claimed, next)
		}
		claimed, next = l.settle(5)
		if len(claimed) != 1 || claimed[0].Recipient != late || !next.Equal(now.Add(time.Minute)) {
			t.Error(claimed, next)
		}
		l.clock.turn(time.Minute)
		if claimed, next = l.settle(5); len(claimed) != 1 || claimed[0].Recipient != held || !next.IsZero() {
			t.Error(claimed, next)
		}
	})
}

func TestOutcomes(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		id := l.one(1)
		claim := func() outbox.Delivery {
			t.Helper()
			claimed, _ := l.settle(5)
			if len(claimed) != 1 {
				t.Fatalf("claimed %v", claimed)
			}
			return claimed[0]
		}
		d := claim()
		put := l.outcome(d, outbox.Queued)
		if _, next := l.settle(0, put); !next.Equal(l.clock.now()) {
			t.Error("put back, and due at", next)
		}
		l.wantStatus(id, "queued 0")

		d = claim()
		o := l.outcome(d, outbox.Deferred)
		o.Code, o.Words, o.Due = 451, "try again later", l.clock.now().Add(5*time.Minute)
		if _, next := l.settle(5, o); !next.Equal(o.Due) {
			t.Error(next)
		}
		l.wantStatus(id, "deferred 1 try again later")

		l.clock.turn(5 * time.Minute)
		if d = claim(); d.Attempts != 1 || d.Doubted || string(d.Bytes) == "" {
			t.Errorf("%+v", d)
		}
		o = l.outcome(d, outbox.Doubt)
		o.Words, o.Due = "no answer to the final dot", l.clock.now().Add(time.Minute)
		l.settle(0, o)
		l.wantStatus(id, "doubt 2 no answer to the final dot")

		l.clock.turn(time.Minute)
		if d = claim(); d.Attempts != 2 || !d.Doubted {
			t.Errorf("%+v", d)
		}
		o = l.outcome(d, outbox.Failed)
		o.Code, o.Status, o.Words = 550, "5.1.1", "no such user"
		if _, next := l.settle(5, o); !next.IsZero() {
			t.Error(next)
		}
		l.wantStatus(id, "failed 3 no such user")
		if l.letters() != 1 {
			t.Error("the letter of a failed delivery is not kept for a retry")
		}
		if p := all(t, l.Promises(t.Context(), PromiseFilter{})); len(p) != 1 || p[0].Told {
			t.Errorf("nobody was told, but %+v", p)
		}
	})
}

func TestManyOutcomesAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		for uid := range uint32(300) {
			l.one(uid + 1)
		}
		claimed, _ := l.settle(250)
		if len(claimed) != 250 {
			t.Fatal(len(claimed))
		}
		var finished []outbox.Outcome
		for i, d := range claimed {
			o := l.outcome(d, []outbox.State{outbox.Sent, outbox.Deferred, outbox.Failed, outbox.Doubt, outbox.Queued}[i%5])
			if o.State == outbox.Deferred {
				o.Due = l.clock.now().Add(time.Hour)
			}
			finished = append(finished, o, o) // each twice
		}
		finished = append(finished, outbox.Outcome{Sending: 1, Recipient: 100000, State: outbox.Sent}) // no such delivery
		claimed, next := l.settle(1000, finished...)
		if len(claimed) != 100 || !next.Equal(l.clock.now().Add(time.Hour)) { // 50 new ones, 50 put back
			t.Error(len(claimed), next)
		}
		for state, want := range map[outbox.State]int{outbox.Sent: 50, outbox.Deferred: 50, outbox.Failed: 50, outbox.Doubt: 50, outbox.Sending: 100} {
			if n := len(all(t, l.Deliveries(t.Context(), DeliveryFilter{State: &state}))); n != want {
				t.Errorf("%d %s", n, state)
			}
		}
		if n := l.letters(); n != 250 {
			t.Errorf("%d letters", n)
		}
	})
}

func TestDeadAddressIsSkippedAtTheClaim(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		dead := l.one(1, func(a *Arrival) { a.Ack.To = "Dead@Example.com" })
		fine := l.one(2)
		complained := l.one(3)
		l.Suppress(t.Context(), "dead@example.COM", ScopeDead, "550 no such user")
		l.Suppress(t.Context(), "person3@example.com", ScopeComplained, "about a newsletter")
		claimed, next := l.settle(2)
		if len(claimed) != 2 || claimed[0].Recipient != fine || claimed[1].Recipient != complained || !next.IsZero() {
			t.Errorf("%v %v", claimed, next)
		}
		l.wantStatus(dead, "skipped 0 the address is dead: 550 no such user")
		if l.letters() != 2 {
			t.Errorf("%d letters", l.letters())
		}
	})
}

func TestStaleAcknowledgementsAreRefreshed(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		box := l.box("support")
		id := l.one(1)
		claimed, _ := l.settle(5)
		o := l.outcome(claimed[0], outbox.Deferred)
		o.Words, o.Due = "greylisted", l.clock.now().Add(9*time.Hour)
		l.settle(0, o)
		refresh := func() []StaleAck {
			t.Helper()
			stale, err := l.AcksToRefresh(t.Context(), l.clock.now(), 10)
			if err != nil {
				t.Fatal(err)
			}
			return stale
		}
		l.clock.turn(7 * time.Hour)
		if stale := refresh(); len(stale) != 0 {
			t.Errorf("%v is not stale yet", stale)
		}
		l.clock.turn(2 * time.Hour)
		for range 2 { // it is due, but is not sent with a promise that has passed; asking again is the same
			if claimed, next := l.settle(5); len(claimed) != 0 || !next.IsZero() {
				t.Errorf("%v %v", claimed, next)
			}
			stale := refresh()
			if len(stale) != 1 || stale[0].Recipient != id || string(stale[0].Occasion) != `{"to":"person1@example.com"}` {
				t.Errorf("%+v", stale)
			}
		}
		l.wantStatus(id, "deferred 1 greylisted")
		fresh := Ack{From: "support@shop.example", To: "person1@example.com", MessageID: "<ack.1.person1@example.com>", Bytes: []byte("anew"),
			StaleAt: l.clock.now().Add(time.Hour), Occasion: []byte("{}")}
		promise := Promise{By: l.clock.now().Add(time.Hour), Basis: "anew"}
		if err := l.RefreshAck(t.Context(), box.Sending, id, fresh, promise); err != nil {
			t.Fatal(err)
		}
		if stale := refresh(); len(stale) != 0 {
			t.Errorf("%v is fresh", stale)
		}
		claimed, _ = l.settle(5)
		if len(claimed) != 1 || string(claimed[0].Bytes) != "anew" || claimed[0].Attempts != 1 || claimed[0].MessageID != fresh.MessageID {
			t.Fatalf("%+v", claimed)
		}
		if p := all(t, l.Promises(t.Context(), PromiseFilter{})); len(p) != 1 || p[0].Promise != promise || !p[0].Told {
			t.Errorf("%+v", p)
		}
		// On the wire or done, it is left alone.
		fresh.Bytes = []byte("too late")
		if err := l.RefreshAck(t.Context(), box.Sending, id, fresh, Promise{}); err != nil {
			t.Error(err)
		}
		if err := l.CancelAck(t.Context(), box.Sending, id, "too late"); err != nil {
			t.Error(err)
		}
		l.wantStatus(id, "sending 2 greylisted")
	})
}

func TestRetryAndCancel(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		box := l.box("support")
		id := l.one(1)
		key := fmt.Sprintf("%d-%d", box.Sending, id)
		refused := func(err error, part string) {
			t.Helper()
			var refusal *Refusal
			if !errors.As(err, &refusal) || !strings.Contains(err.Error(), part) {
				t.Errorf("%v does not say %q", err, part)
			}
		}
		claimed, _ := l.settle(5)
		refused(l.RetryDelivery(t.Context(), key), "on its way")
		refused(l.CancelDelivery(t.Context(), key), "on its way")
		o := l.outcome(claimed[0], outbox.Failed)
		o.Words = "no"
		l.settle(0, o)
		if err := l.RetryDelivery(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if p := all(t, l.Promises(t.Context(), PromiseFilter{})); !p[0].Told {
			t.Error("queued again, but the promise counts as untold")
		}
		claimed, _ = l.settle(5)
		o = l.outcome(claimed[0], outbox.Deferred)
		o.Due = l.clock.now().Add(time.Hour)
		l.settle(0, o)
		l.RetryDelivery(t.Context(), key)
		if claimed, _ = l.settle(5); len(claimed) != 1 {
			t.Error("a retry does not make the next attempt come now")
		}
		l.settle(0, o)
		if err := l.CancelDelivery(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		l.wantStatus(id, "canceled 3 canceled by hand")
		if l.letters() != 0 {
			t.Error("the letter is kept")
		}
		refused(l.CancelDelivery(t.Context(), key), "canceled already")
		refused(l.RetryDelivery(t.Context(), key), "nothing to send")
		refused(l.RetryDelivery(t.Context(), "1-999"), "no delivery 1-999")
		refused(l.CancelDelivery(t.Context(), "the last one"), "no delivery's id")
		if claimed, next := l.settle(5); len(claimed) != 0 || !next.IsZero() {
			t.Error(claimed, next)
		}
	})
}

func TestDoubtAfterADeadDaemon(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		id, other := l.one(1), l.one(2)
		claimed, _ := l.settle(1)
		if n, err := l.Recover(t.Context(), true); err != nil || n != 0 {
			t.Error("its own claims are not in doubt:", n, err)
		}
		next := &ledger{DB: l.another(), t: t, clock: l.clock}
		if n, err := next.Recover(t.Context(), true); err != nil || n != 1 {
			t.Error(n, err)
		}
		next.wantStatus(id, "doubt 1 the program ended while this was on its way: the server may have it")
		// What the dead one might still say counts no more.
		l.settle(0, l.outcome(claimed[0], outbox.Failed))
		again, _ := next.settle(5)
		if len(again) != 2 || again[0].Recipient != other && again[0].Recipient != id {
			t.Fatalf("%+v", again)
		}
		for _, d := range again {
			if d.Doubted != (d.Recipient == id) || d.Doubted && (d.MessageID != claimed[0].MessageID || string(d.Bytes) != string(claimed[0].Bytes)) {
				t.Errorf("%+v", d)
			}
			next.settle(0, next.outcome(d, outbox.Sent))
		}
		next.wantStatus(id, "sent 2 resent from doubt")
		next.wantStatus(other, "sent 1")
	})
}

// TestClaimsOfAFailedCommitAreTakenBack: when the commit of a Settle fails although the database kept it, its claims were
// handed to nobody.
func TestClaimsOfAFailedCommitAreTakenBack(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		id := l.one(1)
		claimed, _ := l.settle(5)
		l.unsure = [][]any{{claimed[0].Sending, claimed[0].Recipient}}
		if claimed, _ = l.settle(5); len(claimed) != 1 || claimed[0].Attempts != 0 {
			t.Errorf("%+v", claimed)
		}
		l.wantStatus(id, "sending 1")
		if l.unsure != nil {
			t.Error(l.unsure)
		}
	})
}

// TestNothingWaitsForAClockThatWasAhead: after the clock is set right, no letter waits until the wrong time comes true.
func TestNothingWaitsForAClockThatWasAhead(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		right := l.one(1)
		claimed, _ := l.settle(1)
		o := l.outcome(claimed[0], outbox.Deferred)
		o.Due = l.clock.now().Add(time.Hour)
		l.settle(0, o)
		l.clock.turn(30 * 24 * time.Hour)
		ahead := l.one(2, func(a *Arrival) { a.Ack.Due = l.clock.now().Add(time.Minute) })
		l.settle(0)
		l.clock.turn(-30 * 24 * time.Hour)
		claimed, next := l.settle(5)
		if len(claimed) != 1 || claimed[0].Recipient != ahead || !next.Equal(o.Due) {
			t.Errorf("%v, next %v", claimed, next)
		}
		l.wantStatus(right, "deferred 1")
		// The same when the daemon did not run meanwhile.
		l.clock.turn(30 * 24 * time.Hour)
		ahead = l.one(3, func(a *Arrival) { a.Ack.Due = l.clock.now().Add(time.Minute) })
		l.clock.turn(-30 * 24 * time.Hour)
		next2 := &ledger{DB: l.another(), t: t, clock: l.clock}
		if _, err := next2.Recover(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		// With it comes the one that the daemon before had on the wire.
		if claimed, _ = next2.settle(5); len(claimed) != 2 || claimed[0].Recipient != ahead && claimed[1].Recipient != ahead {
			t.Error("the letter waits for the wrong time", claimed)
		}
	})
}

// TestListings go page by page, by any filter, and stop when they are told to.
func TestListings(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		l.box("sales")
		const n = 2*pageSize + 50
		batch := make([]Arrival, n)
		for i := range batch {
			batch[i] = l.letter(uint32(i+1), fmt.Sprintf("p%d@x.example", i%10), fmt.Sprint("Question ", i))
			batch[i].ThreadSubject = ""
			if i%2 == 1 {
				batch[i].Mailbox = "sales"
			}
			if i%5 == 0 {
				batch[i].Acknowledge, batch[i].Ack, batch[i].Reason = false, nil, "member-wish"
			}
		}
		l.acknowledge(batch...)
		last := int64(n + 1)
		for _, r := range all(t, l.Arrivals(t.Context(), ArrivalFilter{})) {
			if r.ID != last-1 {
				t.Fatalf("%d after %d", r.ID, last)
			}
			last = r.ID
		}
		if last != 1 {
			t.Errorf("the last is %d", last)
		}
		for _, c := range []struct {
			filter ArrivalFilter
			want   int
		}{
			{ArrivalFilter{Reason: "member-wish"}, n / 5},
			{ArrivalFilter{Mailbox: "sales"}, n / 2},
			{ArrivalFilter{Mailbox: "sales", Reason: "member-wish"}, n / 10},
			{ArrivalFilter{From: "P3@x.example"}, n / 10},
			{ArrivalFilter{Limit: 7}, 7},
			{ArrivalFilter{Limit: pageSize + 1}, pageSize + 1},
			{ArrivalFilter{Reason: "none"}, 0},
		} {
			if got := len(all(t, l.Arrivals(t.Context(), c.filter))); got != c.want {
				t.Errorf("%+v: %d instead of %d", c.filter, got, c.want)
			}
		}
		seen := 0
		for range l.Arrivals(t.Context(), ArrivalFilter{}) {
			if seen++; seen == pageSize+3 {
				break
			}
		}
		queued, sent := outbox.Queued, outbox.Sent
		if got := len(all(t, l.Deliveries(t.Context(), DeliveryFilter{State: &queued}))); got != n/5*4 {
			t.Errorf("%d deliveries", got)
		}
		if got := len(all(t, l.Deliveries(t.Context(), DeliveryFilter{State: &sent}))); got != 0 {
			t.Errorf("%d sent", got)
		}
		if got := len(all(t, l.Deliveries(t.Context(), DeliveryFilter{Mailbox: "sales"}))); got != n/5*2 {
			t.Errorf("%d deliveries of one mailbox", got)
		}
		if got := len(all(t, l.Promises(t.Context(), PromiseFilter{Mailbox: "support"}))); got != n/2 {
			t.Errorf("%d promises", got)
		}
	})
}

func TestDoubtThatIsHeldIsLeftToAPerson(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		id := l.one(1)
		claimed, _ := l.settle(1)
		o := l.outcome(claimed[0], outbox.Doubt)
		o.Due = l.clock.now().Add(time.Minute) // the daemon was still told to send again
		l.settle(0, o)
		next := &ledger{DB: l.another(), t: t, clock: l.clock}
		if _, err := next.Recover(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		l.clock.turn(time.Hour)
		if claimed, due := next.settle(5); len(claimed) != 0 || !due.IsZero() {
			t.Errorf("sent again: %v, %v", claimed, due)
		}
		d := all(t, next.Deliveries(t.Context(), DeliveryFilter{}))[0]
		if err := next.RetryDelivery(t.Context(), d.ID); err != nil {
			t.Fatal(err)
		}
		// What a person asked for survives a restart.
		last := &ledger{DB: l.another(), t: t, clock: l.clock}
		if _, err := last.Recover(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		if claimed, _ := last.settle(5); len(claimed) != 1 || claimed[0].Recipient != id || !claimed[0].Doubted {
			t.Errorf("claimed %+v", claimed)
		}
	})
}
