package store

import (
	"crypto/sha256"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/returnpost/returnpost/mailbox"
)

// TestUsedUIDsAreGivenAnew: a mailbox was restored or exchanged under the same UIDVALIDITY, and its numbers now belong to
// other messages. None of them is taken for one that was recorded under its number.
func TestUsedUIDsAreGivenAnew(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		old := []Arrival{l.letter(1, "a@x.example", "A"), l.letter(2, "b@x.example", "B")}
		ids := l.acknowledge(old...)
		fresh := []Arrival{l.letter(1, "c@x.example", "C"), l.letter(2, "d@x.example", "D")}
		if got := reasons(l.acknowledge(fresh...)); !cmp.Equal(got, []string{"new-thread+", "new-thread+"}) {
			t.Error(got)
		}
		if got := reasons(l.acknowledge(fresh...)); !cmp.Equal(got, []string{"=new-thread+", "=new-thread+"}) {
			t.Error("the same batch again:", got)
		}
		if got := len(all(t, l.Arrivals(t.Context(), ArrivalFilter{}))); got != 4 {
			t.Errorf("%d arrivals", got)
		}
		if r, err := l.ArrivalByID(t.Context(), ids[0].Arrival); err != nil || r.UIDValidity != 0 || r.UID != 1 {
			t.Errorf("%+v %v", r, err)
		}
		// An answer still finds the thread of a letter that made room, and the letter itself is known when it turns up again.
		answer := l.letter(3, "a@x.example", "A")
		answer.Refs, answer.ThreadSubject = []string{old[0].Ack.MessageID}, ""
		moved := old[1]
		moved.UID = 4
		got := l.acknowledge(answer, moved)
		if !cmp.Equal(reasons(got), []string{"follow-up", "=new-thread+"}) || got[1].Arrival != ids[1].Arrival {
			t.Error(reasons(got), got)
		}
		// The other mailbox's numbers are its own.
		l.box("sales")
		other := fresh[0]
		other.Mailbox = "sales"
		if got := reasons(l.acknowledge(other)); !cmp.Equal(got, []string{"new-thread+"}) {
			t.Error(got)
		}
		consistent(t, l)
	})
}

// TestMessagesThatCannotBeRead have no content that could tell them from others.
func TestMessagesThatCannotBeRead(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		sum := sha256.Sum256(nil)
		broken := func(uid uint32) Arrival {
			return Arrival{Mailbox: "support", UIDValidity: 7, UID: uid, Hash: [16]byte(sum[:16]), Kind: "broken", Reason: "broken"}
		}
		letter := func(uid uint32) Arrival { return l.letter(uid, "a@x.example", "A") }
		steps := []struct {
			name  string
			batch []Arrival
			want  []string
		}{
			{"two faults are two messages", []Arrival{broken(1), broken(2)}, []string{"broken", "broken"}},
			{"again", []Arrival{broken(1), broken(2)}, []string{"=broken", "=broken"}},
			{"it can be read after all", []Arrival{letter(1)}, []string{"new-thread+"}},
			{"and again cannot", []Arrival{broken(1)}, []string{"=new-thread+"}},
			{"and can", []Arrival{letter(1)}, []string{"=new-thread+"}},
			{"another fault is another message", []Arrival{broken(3)}, []string{"broken"}},
		}
		for _, s := range steps {
			if got := reasons(l.acknowledge(s.batch...)); !cmp.Equal(got, s.want) {
				t.Errorf("%s: %v", s.name, got)
			}
		}
	})
}

// TestTheServerCountsLowerThanBefore: watching begins anew at a lower number, whatever was recorded above it.
func TestTheServerCountsLowerThanBefore(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		begin := func(p, want mailbox.Position) {
			t.Helper()
			if err := l.Begin(t.Context(), "support", p, 3); err != nil {
				t.Fatal(err)
			}
			if got, err := l.Resume(t.Context(), "support"); err != nil || got != want {
				t.Errorf("at %v instead of %v: %v", got, want, err)
			}
		}
		at := func(validity, uid uint32) mailbox.Position { return mailbox.Position{UIDValidity: validity, UID: uid} }
		begin(at(7, 40), at(7, 40))
		kept, gone := l.letter(41, "a@x.example", "A"), l.letter(44, "b@x.example", "B")
		l.acknowledge(kept, gone)
		begin(at(7, 42), at(7, 42))
		begin(at(7, 42), at(7, 42))
		fresh := l.letter(44, "c@x.example", "C")
		gone.UID = 45
		if got := reasons(l.acknowledge(kept, l.letter(43, "d@x.example", "D"), fresh, gone)); !cmp.Equal(got, []string{"=new-thread+", "new-thread+", "new-thread+", "=new-thread+"}) {
			t.Error(got)
		}
		// An old UIDVALIDITY comes back with its backup.
		begin(at(8, 5), at(8, 5))
		begin(at(7, 42), at(7, 42))
		consistent(t, l)
	})
}
