package mailbox

import (
	"slices"
	"testing"

	"github.com/returnpost/returnpost/internal/mailtest"
)

// One message that cannot be listed does not keep a renumbered mailbox from being watched: all are found again.
func TestRenumberedWithAMessageThatCannotBeListed(t *testing.T) {
	for _, trick := range []mailtest.Trick{mailtest.TrickBadDate, mailtest.TrickNoList, mailtest.TrickByeList} {
		t.Run(string(trick), func(t *testing.T) {
			s := startServer(t, mailtest.IMAPOptions{})
			l := newLedger()
			_, stop := watch(t, configOf(s), l, hasty(t))
			l.waitBegun(t, 1)
			stop()
			const letters = 600 // more than one command asks for
			for n := range letters {
				put(t, s, letter(n))
			}
			if err := s.SetUIDValidity(user, "INBOX", 4711); err != nil {
				t.Fatal(err)
			}
			s.SetMischief(mailtest.Mischief{UIDs: map[uint32]mailtest.Trick{3: trick}})
			watch(t, configOf(s), l, hasty(t))
			l.waitBegun(t, 2)
			put(t, s, letter(letters))
			l.waitArrivals(t, letters+1)
			if got := l.uids(); !slices.Equal(got, upTo(letters+1)) {
				t.Fatalf("arrivals: %v", got)
			}
			for _, f := range l.all() {
				if f.Fault != "" || f.Renumbered != (f.UID <= letters) || f.Internal.IsZero() && f.UID > 500 {
					t.Errorf("UID %d: fault %q, renumbered %v, %v", f.UID, f.Fault, f.Renumbered, f.Internal)
				}
			}
		})
	}
}

func TestRenumberedAndEmpty(t *testing.T) {
	s := startServer(t, mailtest.IMAPOptions{})
	l := newLedger()
	_, stop := watch(t, configOf(s), l, hasty(t))
	l.waitBegun(t, 1)
	stop()
	if err := s.SetUIDValidity(user, "INBOX", 4711); err != nil {
		t.Fatal(err)
	}
	watch(t, configOf(s), l, hasty(t))
	l.waitBegun(t, 2)
	put(t, s, letter(1))
	l.waitArrivals(t, 1)
	if slices.ContainsFunc(s.Commands(), func(c string) bool { return len(c) > 9 && c[:10] == "UID SEARCH" }) {
		t.Errorf("an empty folder was searched, which some servers refuse: %q", s.Commands())
	}
}
