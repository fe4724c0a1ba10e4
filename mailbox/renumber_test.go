package mailbox

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
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

// The folder counts lower than before though its UIDVALIDITY is the same: restored from a copy, or another server's. What
// is there is found again, and what comes then is new, under numbers that others had.
func TestCountsLowerUnderTheSameUIDValidity(t *testing.T) {
	s := startServer(t, mailtest.IMAPOptions{})
	validity, _, _, err := s.Status(user, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	l := newLedger()
	opts := hasty(t)
	var log bytes.Buffer
	opts.Log = slog.New(slog.NewTextHandler(&log, nil))
	w, stop := watch(t, configOf(s), l, opts)
	l.waitBegun(t, 1)
	for n := range 6 {
		put(t, s, letter(n))
	}
	l.waitArrivals(t, 6)
	want := upTo(6)
	for round := range 2 { // the second by the same Watcher
		s.SetDown(true)
		eventually(t, "the outage to be noticed", func() bool { return w.Health() != nil })
		_, next, _, _ := s.Status(user, "INBOX")
		s.Expunge(user, "INBOX", upTo(next-3)...) // two are left
		put(t, s, letter(100+round))              // nobody is watching
		if err := s.SetUIDValidity(user, "INBOX", validity); err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			l.mu.Lock()
			l.noBegin = errDisk // as if killed before the new position was recorded
			l.mu.Unlock()
		}
		s.SetDown(false)
		l.waitBegun(t, round+2)
		if l.begun != (Position{validity, 3}) {
			t.Errorf("began again at %+v", l.begun)
		}
		put(t, s, letter(200+round))
		put(t, s, letter(300+round))
		want = append(want, 1, 2, 3, 4, 5)
		l.waitArrivals(t, len(want))
		eventually(t, "health", func() bool { return w.Health() == nil })
	}
	if got := l.uids(); !slices.Equal(got, want) {
		t.Errorf("arrivals %v, want %v", got, want)
	}
	for i, f := range l.all() {
		if f.Renumbered != (i >= 6 && f.UID <= 3) {
			t.Errorf("arrival %d, UID %d: renumbered %v", i, f.UID, f.Renumbered)
		}
	}
	stop()
	if n := strings.Count(log.String(), "level=WARN msg=\"the server counts lower"); n < 2 {
		t.Errorf("%d warnings:\n%s", n, &log)
	}
}

// That the last letter is gone is no renumbering where UIDNEXT is not told, nor is a UIDNEXT that belies what is there.
func TestCountsLowerOnlyByItsLooks(t *testing.T) {
	for name, mischief := range map[string]mailtest.Mischief{"no UIDNEXT": {NoUIDNext: true}, "a UIDNEXT too low": {LowUIDNext: true}} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, mailtest.IMAPOptions{})
			l := newLedger()
			_, stop := watch(t, configOf(s), l, hasty(t))
			l.waitBegun(t, 1)
			for n := range 3 {
				put(t, s, letter(n))
			}
			l.waitArrivals(t, 3)
			stop()
			if mischief.NoUIDNext {
				s.Expunge(user, "INBOX", 3)
			}
			s.SetMischief(mischief)
			watch(t, configOf(s), l, hasty(t))
			put(t, s, letter(4))
			l.waitArrivals(t, 4)
			if got := l.uids(); !slices.Equal(got, upTo(4)) || l.all()[3].Renumbered || len(l.begins) != 1 {
				t.Errorf("arrivals %v, begins %v", got, l.begins)
			}
		})
	}
}

func TestHistoryIsHistoryWhateverUIDNextSays(t *testing.T) {
	s := startServer(t, mailtest.IMAPOptions{})
	for n := range 3 {
		put(t, s, letter(n))
	}
	s.SetMischief(mailtest.Mischief{LowUIDNext: true})
	l := newLedger()
	watch(t, configOf(s), l, hasty(t))
	l.waitBegun(t, 1)
	put(t, s, letter(4))
	l.waitArrivals(t, 1)
	if got := l.uids(); !slices.Equal(got, []uint32{4}) {
		t.Errorf("arrivals %v", got)
	}
}

// unsearching is a connection to a server that knows no UID SEARCH.
type unsearching struct{ net.Conn }

func (c unsearching) Write(p []byte) (int, error) {
	return c.Conn.Write(bytes.ReplaceAll(p, []byte("UID SEARCH"), []byte("UID SNATCH")))
}

// A server that refuses to search is watched all the same after it has counted anew, and what came lately is found by its
// date, but for what has been there for long.
func TestRenumberedWithoutSearch(t *testing.T) {
	for _, lower := range []bool{false, true} {
		s := startServer(t, mailtest.IMAPOptions{})
		validity, _, _, err := s.Status(user, "INBOX")
		if err != nil {
			t.Fatal(err)
		}
		l := newLedger()
		opts := hasty(t)
		opts.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			var d net.Dialer
			c, err := d.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return unsearching{c}, nil
		}
		_, stop := watch(t, configOf(s), l, opts)
		l.waitBegun(t, 1)
		for n := range 6 {
			put(t, s, letter(n))
		}
		l.waitArrivals(t, 6)
		stop()
		if _, err := s.Append(user, "INBOX", letter(100), today.AddDate(0, 0, -10)); err != nil {
			t.Fatal(err)
		}
		put(t, s, letter(101))
		s.Expunge(user, "INBOX", upTo(5)...) // left: 6, the old one and the one that nobody has seen
		if !lower {
			validity = 4711
		}
		if err := s.SetUIDValidity(user, "INBOX", validity); err != nil {
			t.Fatal(err)
		}
		w, stop := watch(t, configOf(s), l, opts)
		l.waitBegun(t, 2)
		put(t, s, letter(102))
		l.waitArrivals(t, 9)
		eventually(t, "health", func() bool { return w.Health() == nil })
		if got, want := l.uids(), append(upTo(6), 1, 3, 4); !slices.Equal(got, want) {
			t.Errorf("arrivals %v, want %v", got, want)
		}
		for i, f := range l.all() {
			if f.Renumbered != (i == 6 || i == 7) || f.Fault != "" || f.Internal.IsZero() {
				t.Errorf("arrival %d, UID %d: renumbered %v, fault %q, %v", i, f.UID, f.Renumbered, f.Fault, f.Internal)
			}
		}
		if !slices.ContainsFunc(s.Commands(), func(c string) bool { return strings.HasPrefix(c, "UID SNATCH") }) {
			t.Errorf("nothing was searched for: %q", s.Commands())
		}
		stop()
	}
}
