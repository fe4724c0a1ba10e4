package mailbox

import (
	"bytes"
	"context"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/returnpost/returnpost/internal/mailtest"
)

func TestWhatIsThereAtTheFirstStartIsHistory(t *testing.T) {
	s := startServer(t, mailtest.IMAPOptions{})
	for n := range 3 {
		put(t, s, letter(n))
	}
	l := newLedger()
	w, stop := watch(t, configOf(s), l, hasty(t))
	l.waitBegun(t, 1)
	uid := put(t, s, letter(4))
	l.waitArrivals(t, 1)
	got := l.all()[0]
	if got.UID != uid || !bytes.Equal(got.Raw, letter(4)) || got.Truncated || got.Fault != "" || got.Renumbered ||
		!got.Internal.Equal(today) || got.Size != int64(len(letter(4))) || got.Noticed.IsZero() || got.UIDValidity != l.begun.UIDValidity {
		t.Errorf("arrival: %+v", got)
	}
	if l.begun.UID != 3 || l.history != 3 {
		t.Errorf("began at %+v with %d messages", l.begun, l.history)
	}
	eventually(t, "health", func() bool { return w.Health() == nil })
	stop()
	for n := uint32(1); n <= 4; n++ {
		if flags, err := s.Flags(user, "INBOX", n); err != nil || len(flags) > 0 {
			t.Errorf("message %d was touched: %q (%v)", n, flags, err)
		}
	}
	for _, command := range s.Commands() {
		if strings.Contains(command, "SELECT") || strings.Contains(command, "STORE") || strings.Contains(command, "BODY[") {
			t.Errorf("the watcher sent %q", command)
		}
	}
}

func TestEmptyMailboxAndNoUIDNext(t *testing.T) {
	for _, test := range []struct {
		name     string
		mischief mailtest.Mischief
		before   int
	}{
		{"empty", mailtest.Mischief{}, 0},
		{"empty, no UIDNEXT", mailtest.Mischief{NoUIDNext: true}, 0},
		{"no UIDNEXT", mailtest.Mischief{NoUIDNext: true}, 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startServer(t, mailtest.IMAPOptions{Mischief: test.mischief})
			for n := range test.before {
				put(t, s, letter(n))
			}
			l := newLedger()
			watch(t, configOf(s), l, hasty(t))
			l.waitBegun(t, 1)
			uid := put(t, s, letter(9))
			l.waitArrivals(t, 1)
			if got := l.uids(); !slices.Equal(got, []uint32{uid}) || l.begun.UID != uint32(test.before) {
				t.Errorf("arrivals %v, begun at %v", got, l.begun)
			}
		})
	}
}

func TestBurstComesInOrderInBatches(t *testing.T) {
	s := startServer(t, mailtest.IMAPOptions{})
	l := newLedger()
	_, stop := watch(t, configOf(s), l, hasty(t))
	l.waitBegun(t, 1)
	stop()
	const waiting = 1500
	for n := range waiting {
		put(t, s, letter(n))
	}
	for range 10 { // ten of half a MiB: no batch has more than 4 MiB
		put(t, s, append(letter(0), bytes.Repeat([]byte("long line\r\n"), 50_000)...))
	}
	l.refuse = func(batch []Fetched) error {
		size := 0
		for _, f := range batch {
			size += len(f.Raw)
		}
		if len(batch) > maxBatch || size > maxBatchBytes {
			t.Errorf("a batch of %d messages with %d bytes", len(batch), size)
		}
		return nil
	}
	watch(t, configOf(s), l, hasty(t))
	l.waitArrivals(t, waiting+10)
	put(t, s, letter(0))
	l.waitArrivals(t, waiting+11)
	if got := l.uids(); !slices.Equal(got, upTo(waiting+11)) {
		t.Errorf("arrivals out of order, lost or doubled: %v", got)
	}
}

func TestOutageLosesNothing(t *testing.T) {
	s := startServer(t, mailtest.IMAPOptions{})
	l := newLedger()
	w, _ := watch(t, configOf(s), l, hasty(t))
	l.waitBegun(t, 1)
	n := 0
	for range 5 {
		put(t, s, letter(n))
		s.SetDown(true)
		put(t, s, letter(n+1))
		eventually(t, "the outage to be noticed", func() bool { return w.Health() != nil })
		s.SetDown(false)
		put(t, s, letter(n+2))
		n += 3
		l.waitArrivals(t, n)
	}
	if got := l.uids(); !slices.Equal(got, upTo(uint32(n))) {
		t.Errorf("arrivals: %v", got)
	}
	eventually(t, "health", func() bool { return w.Health() == nil })
}

func TestCutsAtRandomLoseNothing(t *testing.T) {
	s := startServer(t, mailtest.IMAPOptions{})
	l := newLedger()
	watch(t, configOf(s), l, hasty(t))
	l.waitBegun(t, 1)
	const letters = 400
	for n := range letters {
		put(t, s, letter(n))
		if n%7 == 0 {
			s.Cut()
		}
	}
	l.waitArrivals(t, letters)
	if got := l.uids(); !slices.Equal(got, upTo(letters)) {
		t.Errorf("arrivals: %v", got)
	}
	for _, f := range l.all() {
		if f.Fault != "" {
			t.Errorf("UID %d was given up: %s", f.UID, f.Fault)
		}
	}
}

func TestGapsAndExpungedMessages(t *testing.T) {
	s := startServer(t, mailtest.IMAPOptions{})
	l := newLedger()
	_, stop := watch(t, configOf(s), l, hasty(t))
	l.waitBegun(t, 1)
	stop()
	for n := range 6 {
		put(t, s, letter(n))
	}
	s.Expunge(user, "INBOX", 2, 3)
	s.SkipUIDs(user, "INBOX", 1_000_000)
	last := put(t, s, letter(7))
	watch(t, configOf(s), l, hasty(t))
	l.waitArrivals(t, 5)
	if got, want := l.uids(), []uint32{1, 4, 5, 6, last}; !slices.Equal(got, want) {
		t.Errorf("arrivals %v, want %v", got, want)
	}
}

func TestReceiverThatFailsGetsTheSameBatchAgain(t *testing.T) {
	s := startServer(t, mailtest.IMAPOptions{})
	l := newLedger()
	opts := hasty(t)
	w, _ := watch(t, configOf(s), l, opts)
	l.waitBegun(t, 1)
	var seen []uint32
	l.mu.Lock()
	l.refuse = func(batch []Fetched) error {
		seen = append(seen, batch[0].UID)
		if len(seen) < 4 {
			return errDisk
		}
		return nil
	}
	l.mu.Unlock()
	put(t, s, letter(1))
	l.wait(t, "an error", func() bool { return l.refused > 0 })
	eventually(t, "it to show, or to pass", func() bool {
		err := w.Health()
		l.mu.Lock()
		defer l.mu.Unlock()
		return err != nil && strings.Contains(err.Error(), "the disk is full") || len(l.arrivals) > 0
	})
	l.waitArrivals(t, 1)
	put(t, s, letter(2))
	l.waitArrivals(t, 2)
	if !slices.Equal(l.uids(), upTo(2)) || !slices.Equal(seen, []uint32{1, 1, 1, 1, 2}) {
		t.Errorf("arrivals %v, offered %v", l.uids(), seen)
	}
	eventually(t, "health", func() bool { return w.Health() == nil })
}

func TestUIDValidityChanges(t *testing.T) {
	s := startServer(t, mailtest.IMAPOptions{})
	l := newLedger()
	_, stop := watch(t, configOf(s), l, hasty(t))
	l.waitBegun(t, 1)
	for n := range 3 { // long past
		if _, err := s.Append(user, "INBOX", letter(n), today.AddDate(0, 0, -30)); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 3 {
		put(t, s, letter(10+n))
	}
	l.waitArrivals(t, 6)
	stop()
	unseen := put(t, s, letter(20)) // nobody was watching
	if err := s.SetUIDValidity(user, "INBOX", 4711); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	l.noBegin = errDisk // as if killed before the new position was recorded
	l.mu.Unlock()
	watch(t, configOf(s), l, hasty(t))
	l.waitBegun(t, 2)
	put(t, s, letter(30))
	l.wait(t, "the new letter", func() bool { return !l.arrivals[len(l.arrivals)-1].Renumbered })
	if l.begun != (Position{4711, unseen}) {
		t.Errorf("began again at %+v", l.begun)
	}
	var again []uint32
	for _, f := range l.all()[6:] {
		if f.UIDValidity != 4711 {
			t.Errorf("arrival under the old UIDVALIDITY: %+v", f)
		}
		if f.Renumbered {
			again = append(again, f.UID)
		} else if f.UID != unseen+1 {
			t.Errorf("UID %d is taken for new", f.UID)
		}
	}
	if !slices.Equal(again, []uint32{4, 5, 6, 7}) { // the old three are history wholesale
		t.Errorf("found again: %v", again)
	}
}

func TestLargeMessageIsCutShort(t *testing.T) {
	s := startServer(t, mailtest.IMAPOptions{})
	l := newLedger()
	watch(t, configOf(s), l, hasty(t))
	l.waitBegun(t, 1)
	large := append(letter(1), bytes.Repeat([]byte("0123456789abcdef"), 60<<20/16)...)
	var before, after runtime.MemStats
	put(t, s, large)
	runtime.ReadMemStats(&before)
	l.waitArrivals(t, 1)
	runtime.ReadMemStats(&after)
	put(t, s, letter(2))
	put(t, s, bytes.Repeat([]byte{'x'}, MaxRaw)) // exactly as much as is kept
	l.waitArrivals(t, 3)
	got := l.all()
	if f := got[0]; !f.Truncated || len(f.Raw) != MaxRaw || f.Size != int64(len(large)) || !bytes.Equal(f.Raw, large[:MaxRaw]) {
		t.Errorf("large: truncated %v, %d bytes of %d", f.Truncated, len(f.Raw), f.Size)
	}
	if f := got[2]; f.Truncated || len(f.Raw) != MaxRaw {
		t.Errorf("just fitting: truncated %v, %d bytes", f.Truncated, len(f.Raw))
	}
	// What the server in this process holds for an instant counts here too.
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 20<<20 {
		t.Errorf("a message of 60 MB cost %d MB", grown>>20)
	}
}

func TestAnyBytesComeAsTheyAre(t *testing.T) {
	s := startServer(t, mailtest.IMAPOptions{})
	l := newLedger()
	watch(t, configOf(s), l, hasty(t))
	l.waitBegun(t, 1)
	odd := [][]byte{
		[]byte("Subject: NUL\x00\x00\r\n\r\n\x00body\x00"), []byte("no header, no line break"), {}, []byte("\r\n"),
		[]byte("a1 OK done\r\n* BYE\r\n)\r\n{5}\r\n"), bytes.Repeat([]byte{0xff, 0xfe, 0x00}, 5000), []byte(strings.Repeat("x", 100_000)),
	}
	for _, raw := range odd {
		put(t, s, raw)
	}
	l.waitArrivals(t, len(odd))
	for i, f := range l.all() {
		if !bytes.Equal(f.Raw, odd[i]) || f.Fault != "" {
			t.Errorf("%d: got %.60q, want %.60q (%s)", i, f.Raw, odd[i], f.Fault)
		}
	}
}

func TestStopsWhileTheReceiverFails(t *testing.T) {
	s := startServer(t, mailtest.IMAPOptions{})
	l := newLedger()
	opts := hasty(t)
	opts.FirstPause, opts.LastPause = time.Hour, time.Hour
	_, stop := watch(t, configOf(s), l, opts)
	l.waitBegun(t, 1)
	l.mu.Lock()
	l.refuse = func([]Fetched) error { return errDisk }
	l.mu.Unlock()
	for n := range 500 {
		put(t, s, letter(n))
	}
	l.wait(t, "a refusal", func() bool { return l.refused > 0 })
	began := time.Now()
	stop()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v to stop", took)
	}
}

func TestOneMailboxDoesNotDisturbAnother(t *testing.T) {
	s := startServer(t, mailtest.IMAPOptions{})
	bad := configOf(s)
	bad.Password = "wrong"
	good, broken := newLedger(), newLedger()
	failing, _ := watch(t, bad, broken, hasty(t))
	watch(t, configOf(s), good, hasty(t))
	good.waitBegun(t, 1)
	for n := range 20 {
		put(t, s, letter(n))
	}
	good.waitArrivals(t, 20)
	eventually(t, "the reason", func() bool { return strings.Contains(failing.Health().Error(), "wrong user name or password") })
	s.SetPassword(user, "wrong") // as the owner would mend it, from the other end
	broken.waitBegun(t, 1)
}

func TestCanceledBeforeItBegins(t *testing.T) {
	s := startServer(t, mailtest.IMAPOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l := newLedger()
	if err := New("support", configOf(s), l, l.handle, hasty(t)).Run(ctx); err != nil {
		t.Error(err)
	}
}
