package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/returnpost/returnpost/mailbox"
	"github.com/returnpost/returnpost/outbox"
)

func TestFirstLetterIsAcknowledged(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		box := l.box("support")
		a := l.letter(1, "li@example.com", "发票")
		a.Rule, a.Evidence = "a rule", "a line"
		v := l.acknowledge(a)[0]
		if v.Known || !v.Acknowledged || v.Reason != "new-thread" || v.Arrival == 0 {
			t.Fatalf("verdict %+v", v)
		}
		got, err := l.ArrivalByID(t.Context(), v.Arrival)
		if err != nil {
			t.Fatal(err)
		}
		want := &ArrivalRecord{
			ID: v.Arrival, Mailbox: "support", UIDValidity: 7, UID: 1, Seen: a.Seen, Internal: a.Internal, MessageID: a.MessageID,
			From: "li@example.com", FromName: "Li", Subject: "发票", Kind: "person", Reason: "new-thread", Rule: "a rule", Evidence: "a line", Language: "zh",
			Thread: got.Thread, Round: 1, Acknowledged: true, Letter: "acknowledgement", AckTo: "li@example.com", AckID: a.Ack.MessageID,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		promises := all(t, l.Promises(t.Context(), PromiseFilter{}))
		wantPromise := []PromiseRecord{{
			ID: fmt.Sprint(v.Arrival), Arrival: v.Arrival, Mailbox: "support", From: "li@example.com", FromName: "Li", Subject: "发票",
			Arrived: a.Seen, Told: true, State: "open", Open: true, Promise: a.Promise,
		}}
		if diff := cmp.Diff(wantPromise, promises); diff != "" {
			t.Error(diff)
		}
		claimed, next := l.settle(10)
		wantClaimed := []outbox.Delivery{{
			Sending: box.Sending, Recipient: v.Arrival, From: "support@shop.example", To: "li@example.com", MessageID: a.Ack.MessageID,
			Bytes: a.Ack.Bytes, Created: l.clock.now(),
		}}
		if diff := cmp.Diff(wantClaimed, claimed); diff != "" || !next.IsZero() {
			t.Error(diff, next)
		}
	})
}

// TestThreads pins what ties a message to a thread. Each case is one earlier letter and one later, and what the later is.
func TestThreads(t *testing.T) {
	const tied, apart = "follow-up", "new-thread+"
	cases := []struct {
		name  string
		later func(l *ledger, earlier Arrival, a *Arrival)
		want  string
	}{
		{"nothing in common", func(l *ledger, _ Arrival, a *Arrival) {}, apart},
		{"answers the letter's id", func(l *ledger, e Arrival, a *Arrival) { a.Refs = []string{"<unknown@x>", e.MessageID} }, tied},
		{"answers the acknowledgement", func(l *ledger, e Arrival, a *Arrival) { a.Refs = []string{e.Ack.MessageID} }, tied},
		{"the id of another mailbox's letter", func(l *ledger, e Arrival, a *Arrival) { a.Mailbox, a.Refs = "sales", []string{e.MessageID} }, apart},
		{"the same content again", func(l *ledger, e Arrival, a *Arrival) { a.Hash = e.Hash }, tied},
		{"the same content in another mailbox", func(l *ledger, e Arrival, a *Arrival) { a.Mailbox, a.Hash = "sales", e.Hash }, apart},
		{"the same Message-ID with other content", func(l *ledger, e Arrival, a *Arrival) { a.MessageID = e.MessageID }, apart},
		{"no Message-ID, answers nobody", func(l *ledger, e Arrival, a *Arrival) { a.MessageID, a.Refs = "", []string{""} }, apart},
		{"same sender and subject", func(l *ledger, e Arrival, a *Arrival) { a.From, a.ThreadSubject = "Li@Example.com", e.ThreadSubject }, tied},
		{"same subject of another sender", func(l *ledger, e Arrival, a *Arrival) { a.ThreadSubject = e.ThreadSubject }, apart},
		{"same sender, both without subject", func(l *ledger, e Arrival, a *Arrival) { a.From, a.ThreadSubject = e.From, "" }, apart},
		{"same sender and subject after 14 days", func(l *ledger, e Arrival, a *Arrival) {
			l.clock.turn(14 * 24 * time.Hour)
			a.From, a.ThreadSubject, a.Seen = e.From, e.ThreadSubject, l.clock.now()
		}, tied},
		{"same sender and subject later than that", func(l *ledger, e Arrival, a *Arrival) {
			l.clock.turn(14*24*time.Hour + time.Millisecond)
			a.From, a.ThreadSubject, a.Seen = e.From, e.ThreadSubject, l.clock.now()
		}, apart},
		{"too many ids are not all looked up", func(l *ledger, e Arrival, a *Arrival) {
			a.Refs = append(make([]string, maxRefs), e.MessageID)
		}, apart},
	}
	onBoth(t, func(t *testing.T, l *ledger) {
		for i, c := range cases {
			mailbox := "support"
			l.box(mailbox)
			l.box("sales")
			earlier := l.letter(uint32(100+2*i), fmt.Sprintf("li%d@example.com", i), fmt.Sprint("Question ", i))
			if i == 8 {
				earlier.From = "li@example.com"
			}
			later := l.letter(uint32(101+2*i), fmt.Sprintf("wang%d@example.com", i), fmt.Sprint("Other ", i))
			first := l.acknowledge(earlier)
			c.later(l, earlier, &later)
			// Histories and Acknowledge must see the same thread.
			histories, err := l.Histories(t.Context(), []Query{{
				Mailbox: later.Mailbox, From: later.From, ThreadSubject: later.ThreadSubject, MessageID: later.MessageID, Refs: later.Refs, Hash: later.Hash,
			}})
			if err != nil {
				t.Fatal(err)
			}
			second := l.acknowledge(later)
			if got := reasons(append(first, second...)); !cmp.Equal(got, []string{apart, c.want}) {
				t.Errorf("%s: %v", c.name, got)
			}
			if histories[0].ThreadAcknowledged != (c.want == tied) {
				t.Errorf("%s: the history says %v", c.name, histories[0].ThreadAcknowledged)
			}
		}
	})
}

func TestNearestAnswerDecidesTheThread(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		a, b := l.letter(1, "a@x.example", "A"), l.letter(2, "b@x.example", "B")
		l.acknowledge(a, b)
		c := l.letter(3, "c@x.example", "C")
		c.Refs = []string{"<unknown>", b.MessageID, a.MessageID}
		v := l.acknowledge(c)
		got, _ := l.ArrivalByID(t.Context(), v[0].Arrival)
		want, _ := l.ArrivalByID(t.Context(), v[0].Arrival-1)
		if got.Thread != want.Thread {
			t.Errorf("thread %d instead of %d", got.Thread, want.Thread)
		}
	})
}

// TestOwnIDsCannotBeTaken: a letter that bears the id of our acknowledgement does not draw its answers to itself.
func TestOwnIDsCannotBeTaken(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		a := l.letter(1, "a@x.example", "A")
		thief := l.letter(2, "thief@x.example", "T")
		thief.MessageID = a.Ack.MessageID
		thief.Acknowledge, thief.Waits, thief.Ack, thief.Reason = false, false, nil, "own"
		answer := l.letter(3, "a@x.example", "B")
		answer.Refs = []string{a.Ack.MessageID}
		if got := reasons(l.acknowledge(a, thief, answer)); !cmp.Equal(got, []string{"new-thread+", "own", "follow-up"}) {
			t.Error(got)
		}
	})
}

func TestTheSameBatchAgainChangesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		batch := []Arrival{l.letter(1, "a@x.example", "A"), l.letter(2, "b@x.example", "B"), l.letter(2, "b@x.example", "B")}
		first := l.acknowledge(batch...)
		if got := reasons(first); !cmp.Equal(got, []string{"new-thread+", "new-thread+", "=new-thread+"}) {
			t.Error(got)
		}
		again := l.acknowledge(append(batch, l.letter(3, "c@x.example", "C"))...)
		if got := reasons(again); !cmp.Equal(got, []string{"=new-thread+", "=new-thread+", "=new-thread+", "new-thread+"}) {
			t.Error(got)
		}
		if again[0].Arrival != first[0].Arrival || again[2].Arrival != first[1].Arrival {
			t.Errorf("other arrivals: %v %v", first, again)
		}
		for table, want := range map[string]int{"arrivals": 3, "threads": 3, "promises": 3, "deliveries": 3, "letters": 3} {
			if n := l.count("SELECT count(*) FROM " + table); n != want {
				t.Errorf("%d %s", n, table)
			}
		}
	})
}

func TestRenumbering(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		old := []Arrival{l.letter(1, "a@x.example", "A"), l.letter(2, "b@x.example", "B")}
		ids := l.acknowledge(old...)
		renumbered := func(uid uint32, a Arrival) Arrival {
			a.UIDValidity, a.UID, a.Renumbered = 8, uid, true
			return a
		}
		silent := renumbered(4, old[1])
		silent.Acknowledge, silent.Waits, silent.Ack, silent.Reason = false, false, nil, "stale"
		batch := []Arrival{
			renumbered(1, old[1]), renumbered(2, old[0]), // the same in another order
			renumbered(3, old[0]), // a copy: the old row has its new number already
			silent,
			renumbered(5, l.letter(9, "c@x.example", "C")), // never seen before
		}
		want := []string{"=new-thread+", "=new-thread+", "follow-up", "stale", "new-thread+"}
		got := l.acknowledge(batch...)
		if !cmp.Equal(reasons(got), want) || got[0].Arrival != ids[1].Arrival || got[1].Arrival != ids[0].Arrival {
			t.Errorf("%v %v", reasons(got), got)
		}
		if !cmp.Equal(reasons(l.acknowledge(batch...)), []string{"=new-thread+", "=new-thread+", "=follow-up", "=stale", "=new-thread+"}) {
			t.Error("the same batch again is not known")
		}
		if err := l.Begin(t.Context(), "support", mailbox.Position{UIDValidity: 8, UID: 5}, 5); err != nil {
			t.Fatal(err)
		}
		if p, err := l.Resume(t.Context(), "support"); err != nil || p != (mailbox.Position{UIDValidity: 8, UID: 5}) {
			t.Error(p, err)
		}
		if n := l.count("SELECT count(*) FROM deliveries"); n != 3 {
			t.Errorf("%d deliveries", n)
		}
	})
}

func TestOneAcknowledgementAndOnePromiseARound(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		// Silenced by a wish: the person waits, and was told nothing before their next letter.
		quiet := l.letter(1, "a@x.example", "A")
		quiet.Acknowledge, quiet.Ack, quiet.Reason = false, nil, "member-wish"
		more := l.letter(2, "a@x.example", "A")
		more.Refs = []string{quiet.MessageID}
		still := l.letter(3, "a@x.example", "A")
		still.Acknowledge, still.Ack, still.Reason = false, nil, "member-wish"
		last := l.letter(4, "a@x.example", "A")
		last.Refs, last.Rule = []string{more.MessageID}, "a rule"
		if got := reasons(l.acknowledge(quiet, more, still, last)); !cmp.Equal(got, []string{"member-wish", "new-thread+", "member-wish", "follow-up"}) {
			t.Error(got)
		}
		promises := all(t, l.Promises(t.Context(), PromiseFilter{}))
		if len(promises) != 1 || !promises[0].Told || promises[0].Arrival != 1 {
			t.Errorf("%+v", promises)
		}
		if n := l.count("SELECT count(*) FROM deliveries"); n != 1 {
			t.Errorf("%d deliveries", n)
		}
		// The follow-up says in the ledger what it follows, not the rule it was first decided by.
		got, _ := l.ArrivalByID(t.Context(), 4)
		if got.Rule != "" || !strings.Contains(got.Evidence, "thread") {
			t.Errorf("%+v", got)
		}
	})
}

func TestObserving(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		a, b := l.letter(1, "a@x.example", "A"), l.letter(2, "a@x.example", "A")
		a.Ack, b.Ack = nil, nil
		if got := reasons(l.acknowledge(a, b)); !cmp.Equal(got, []string{"new-thread", "follow-up"}) {
			t.Error(got)
		}
		if claimed, next := l.settle(10); len(claimed) != 0 || !next.IsZero() {
			t.Error(claimed, next)
		}
		if p := all(t, l.Promises(t.Context(), PromiseFilter{})); len(p) != 1 || p[0].Told {
			t.Errorf("%+v", p)
		}
	})
}

func TestAnAnswerEndsTheRound(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		letter := func(uid uint32, refs ...string) Arrival {
			a := l.letter(uid, "a@x.example", "A")
			a.Refs = refs
			return a
		}
		first := letter(1)
		first.Ack.Due = l.clock.now().Add(10 * time.Minute) // held back
		l.acknowledge(first)
		l.clock.turn(5 * time.Minute)
		for range 2 { // seen twice, counted once
			if found, err := l.Answer(t.Context(), "support", []string{first.MessageID}, l.clock.now()); err != nil || !found {
				t.Fatal(found, err)
			}
		}
		if claimed, next := l.settle(10); len(claimed) != 0 || !next.IsZero() {
			t.Error("the held acknowledgement goes out although a person has answered", claimed, next)
		}
		if d := all(t, l.Deliveries(t.Context(), DeliveryFilter{})); d[0].State != outbox.Canceled || !strings.Contains(d[0].Reason, "person") {
			t.Errorf("%+v", d)
		}
		second, third := letter(2, first.MessageID), letter(3, first.MessageID)
		if got := reasons(l.acknowledge(second, third)); !cmp.Equal(got, []string{"new-thread+", "follow-up"}) {
			t.Error(got)
		}
		l.clock.turn(9 * time.Hour)
		if p := all(t, l.Promises(t.Context(), PromiseFilter{})); len(p) != 1 || p[0].State != "late" || !p[0].Open {
			t.Errorf("%+v", p)
		}
		l.Answer(t.Context(), "support", []string{third.MessageID}, l.clock.now())
		var states []string
		for _, p := range all(t, l.Promises(t.Context(), PromiseFilter{All: true})) {
			states = append(states, p.State)
		}
		if !cmp.Equal(states, []string{"kept", "late"}) {
			t.Error(states)
		}
		// Answered before it was recorded: the daemon was not running.
		if found, err := l.Answer(t.Context(), "support", []string{"<not.yet@x>"}, l.clock.now()); err != nil || found {
			t.Error(found, err)
		}
		h, err := l.Histories(t.Context(), []Query{{Mailbox: "support", MessageID: "<not.yet@x>"}, {Mailbox: "support", MessageID: "<other@x>"}})
		if err != nil || !h[0].Answered || h[1].Answered {
			t.Error(h, err)
		}
	})
}

// TestAnythingCanBeRecorded: no message can make the ledger fail, or it would stop its mailbox for good.
func TestAnythingCanBeRecorded(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		bad := "a\x00b\xff\xfe\xed\xa0\x80" + strings.Repeat("界", 3000)
		a := l.letter(4294967295, "x@y", "")
		a.UIDValidity = 4294967295
		a.MessageID, a.From, a.FromName, a.Subject, a.ThreadSubject = bad, bad, bad, bad, bad
		a.Kind, a.Reason, a.Rule, a.Evidence, a.Language = bad, bad, bad, bad, bad
		a.Refs = []string{bad, bad, "", "\x00"}
		a.Raw = []byte(bad)
		a.Internal = time.Date(99999, 1, 1, 0, 0, 0, 0, time.UTC)
		a.Seen = time.Date(-3000, 1, 1, 0, 0, 0, 0, time.UTC)
		a.Promise = Promise{By: a.Internal, FollowUp: a.Seen, Rule: bad, Alert: bad, Basis: bad}
		a.Ack = &Ack{From: bad, To: bad, MessageID: bad, Letter: bad, Due: time.Time{}, Bytes: []byte(bad), Occasion: []byte(bad), StaleAt: a.Internal}
		a.Fuses = []Fuse{{bad, 3, time.Nanosecond, "r"}, {bad, 3, time.Nanosecond, "r"}, {"", 3, 0, "r"}}
		v := l.acknowledge(a, Arrival{Mailbox: "support", UID: 1}, Arrival{Mailbox: "support", UID: 2, Hash: [16]byte{1}, Acknowledge: true, Waits: true, Ack: &Ack{}})
		got, err := l.ArrivalByID(t.Context(), v[0].Arrival)
		if err != nil || string(got.Raw) != bad || len(got.Subject) > maxLine || !strings.HasPrefix(got.Subject, "ab\uFFFD") || got.Internal.Year() != 9999 {
			t.Errorf("%.300v %v", got, err)
		}
		if claimed, _ := l.settle(10); len(claimed) != 2 || string(claimed[0].Bytes) != bad {
			t.Errorf("%d claimed", len(claimed))
		}
		o := outbox.Outcome{Sending: 1, Recipient: v[0].Arrival, State: outbox.Failed, Code: 550, Status: bad, Words: bad}
		l.settle(0, o)
		if _, err := l.Histories(t.Context(), []Query{{Mailbox: "support", From: bad, ThreadSubject: bad, MessageID: bad, Refs: a.Refs}}); err != nil {
			t.Error(err)
		}
		if err := l.Suppress(t.Context(), bad, ScopeDead, bad); err != nil {
			t.Error(err)
		}
		all(t, l.Deliveries(t.Context(), DeliveryFilter{}))
		all(t, l.Promises(t.Context(), PromiseFilter{}))
		all(t, l.Arrivals(t.Context(), ArrivalFilter{From: bad, Reason: "x"}))
	})
}

func TestUnregisteredMailbox(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		var refusal *Refusal
		_, err := l.Acknowledge(t.Context(), []Arrival{{Mailbox: "nowhere"}})
		if !errors.As(err, &refusal) || !strings.Contains(err.Error(), `"nowhere"`) {
			t.Error(err)
		}
		if err := l.Begin(t.Context(), "nowhere", mailbox.Position{}, 0); !errors.As(err, &refusal) {
			t.Error(err)
		}
		if p, err := l.Resume(t.Context(), "nowhere"); err != nil || p != (mailbox.Position{}) {
			t.Error(p, err)
		}
	})
}

func TestCursor(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		resume := func() mailbox.Position {
			t.Helper()
			p, err := l.Resume(t.Context(), "support")
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		if p := resume(); p != (mailbox.Position{}) {
			t.Error("never watched, but at", p)
		}
		if err := l.Begin(t.Context(), "support", mailbox.Position{UIDValidity: 7, UID: 40}, 40); err != nil {
			t.Fatal(err)
		}
		if p := resume(); p != (mailbox.Position{UIDValidity: 7, UID: 40}) {
			t.Error(p)
		}
		l.acknowledge(l.letter(41, "a@x.example", "A"), l.letter(44, "b@x.example", "B"))
		if p := resume(); p != (mailbox.Position{UIDValidity: 7, UID: 44}) {
			t.Error(p)
		}
		l.Begin(t.Context(), "support", mailbox.Position{UIDValidity: 9, UID: 0}, 3)
		if p := resume(); p != (mailbox.Position{UIDValidity: 9, UID: 0}) {
			t.Error(p)
		}
	})
}

func TestMailboxes(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		first := l.box("support")
		l.clock.turn(time.Hour)
		if second := l.box("support"); second != first || first.Started.IsZero() || first.Subaddress != nil {
			t.Errorf("%+v %+v", first, second)
		}
		other := l.box("sales")
		if other.Sending == first.Sending || other.ID == first.ID {
			t.Errorf("%+v %+v", first, other)
		}
		if err := l.SetSubaddress(t.Context(), "support", true); err != nil {
			t.Fatal(err)
		}
		box, err := l.RegisterMailbox(t.Context(), "support", "help@shop.example")
		if err != nil || box.Address != "help@shop.example" || !*box.Subaddress || box.Started != first.Started || box.Sending != first.Sending {
			t.Errorf("%+v %v", box, err)
		}
	})
}

// TestLimitHoldsAcrossMailboxes: whoever comes at once, no more acknowledgements go out than the fuse allows.
func TestLimitHoldsAcrossMailboxes(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		l.box("sales")
		var wg sync.WaitGroup
		var lock sync.Mutex
		counted := map[string]int{}
		for i := range 50 {
			wg.Go(func() {
				a := l.letter(uint32(i+1), "li@example.com", fmt.Sprint("Question ", i))
				a.Mailbox = []string{"support", "sales"}[i%2]
				a.Fuses = []Fuse{{"total", 600, time.Hour, "limit-total"}, {"sender:li@example.com", 3, 24 * time.Hour, "limit-sender"}}
				v, err := l.Acknowledge(t.Context(), []Arrival{a})
				lock.Lock()
				defer lock.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
				counted[reasons(v)[0]]++
			})
		}
		wg.Wait()
		if want := map[string]int{"new-thread+": 3, "limit-sender": 47}; !cmp.Equal(counted, want) {
			t.Error(counted)
		}
		if n := l.count("SELECT count(*) FROM deliveries"); n != 3 {
			t.Errorf("%d deliveries", n)
		}
		promises := all(t, l.Promises(t.Context(), PromiseFilter{}))
		told := 0
		for _, p := range promises {
			if p.Told {
				told++
			}
		}
		if len(promises) != 50 || told != 3 {
			t.Errorf("%d promises, %d told", len(promises), told)
		}
	})
}
