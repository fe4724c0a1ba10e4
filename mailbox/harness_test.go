package mailbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/returnpost/returnpost/internal/mailtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ledger is a receiver and a cursor in memory: like the store, it derives the position from what it has recorded.
type ledger struct {
	mu       sync.Mutex
	begun    Position
	begins   []Position
	history  uint32
	arrivals []Fetched
	batches  []int
	changed  chan struct{}

	refuse  func(batch []Fetched) error // the receiver's error, if any
	refused int
	noBegin error // what Begin answers, once
}

func newLedger() *ledger { return &ledger{changed: make(chan struct{})} }

func (l *ledger) announce() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *ledger) Resume(context.Context, string) (Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.begun
	for _, f := range l.arrivals {
		if f.UIDValidity == p.UIDValidity {
			p.UID = max(p.UID, f.UID)
		}
	}
	return p, nil
}

func (l *ledger) Begin(_ context.Context, _ string, p Position, messages uint32) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.noBegin; err != nil {
		l.noBegin = nil
		return err
	}
	if p.UIDValidity == l.begun.UIDValidity {
		for i := range l.arrivals { // those of the old numbering
			if f := &l.arrivals[i]; f.UIDValidity == p.UIDValidity && f.UID > p.UID {
				f.UIDValidity = 0
			}
		}
	}
	l.begun, l.history = p, messages
	l.begins = append(l.begins, p)
	l.announce()
	return nil
}

func (l *ledger) handle(_ context.Context, batch []Fetched) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.announce()
	if l.refuse != nil {
		if err := l.refuse(batch); err != nil {
			l.refused++
			return err
		}
	}
	l.arrivals = append(l.arrivals, batch...)
	l.batches = append(l.batches, len(batch))
	return nil
}

func (l *ledger) uids() []uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	uids := make([]uint32, len(l.arrivals))
	for i, f := range l.arrivals {
		uids[i] = f.UID
	}
	return uids
}

func (l *ledger) all() []Fetched {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.arrivals)
}

const patient = 20 * time.Second

// wait waits until the condition holds, looked at under the lock at each change.
func (l *ledger) wait(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(patient)
	for {
		l.mu.Lock()
		ok, changed := condition(), l.changed
		n := len(l.arrivals)
		l.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("waited in vain for %s; %d arrivals", what, n)
		}
	}
}

func (l *ledger) waitArrivals(t testing.TB, n int) {
	t.Helper()
	l.wait(t, fmt.Sprintf("%d arrivals", n), func() bool { return len(l.arrivals) >= n })
}

func (l *ledger) waitBegun(t testing.TB, n int) {
	t.Helper()
	l.wait(t, "watching to begin", func() bool { return len(l.begins) >= n })
}

const user, password = "shop@example.com", "correct horse"

func startServer(t testing.TB, opts mailtest.IMAPOptions) *mailtest.IMAP {
	t.Helper()
	s, err := mailtest.StartIMAP(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.AddUser(user, password)
	return s
}

func configOf(s *mailtest.IMAP) Config {
	return Config{Host: "127.0.0.1", Port: s.Port(), Security: "none", Username: user, Password: password, Poll: 20 * time.Second}
}

// hasty are options for tests: pauses are short, and patience is as short as a busy machine allows.
func hasty(t testing.TB) Options {
	return Options{
		Patience: 2 * time.Second, FirstPause: time.Millisecond, LastPause: 20 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

// watch runs a watcher until the test ends, or until the function it returns is called.
func watch(t testing.TB, cfg Config, l *ledger, opts Options) (*Watcher, func()) {
	t.Helper()
	w := New("support", cfg, l, l.handle, opts)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("Run: %v", err)
				}
			case <-time.After(patient):
				t.Error("Run does not end with its context")
			}
		})
	}
	t.Cleanup(stop)
	return w, stop
}

func letter(n int) []byte {
	return fmt.Appendf(nil, "From: Li <li%d@example.com>\r\nTo: shop@example.com\r\nSubject: Letter %d\r\nMessage-ID: <%d@example.com>\r\n\r\nWhere is my order %d?\r\n", n, n, n, n)
}

var today = time.Now().UTC().Truncate(time.Second)

func put(t testing.TB, s *mailtest.IMAP, raw []byte) uint32 {
	t.Helper()
	uid, err := s.Append(user, "INBOX", raw, today)
	if err != nil {
		t.Fatal(err)
	}
	return uid
}

// eventually polls a condition that announces nothing.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patient)
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func upTo(n uint32) []uint32 {
	var uids []uint32
	for uid := uint32(1); uid <= n; uid++ {
		uids = append(uids, uid)
	}
	return uids
}

var errDisk = errors.New("the disk is full")
