package outbox

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestDrainFinishesWhatIsOnTheWire(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 4, 10)
		s := &server{send: func(ctx context.Context, _ *fakeConn, d Delivery) (Reply, error) {
			return Reply{}, sleep(ctx, time.Duration(d.Recipient)*5*time.Second)
		}}
		_, stop := start(t, m, s, Options{})
		begin := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took != 20*time.Second {
			t.Errorf("took %v", took)
		}
		if m.count(Sent) != 4 || m.count(Queued) != 6 || m.claimed != 0 {
			t.Errorf("%d sent, %d queued, %d claimed", m.count(Sent), m.count(Queued), m.claimed)
		}
		if _, open, _ := s.counts(); open != 0 {
			t.Errorf("%d connections left open", open)
		}
	})
}

func TestDrainIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 4, 10)
		s := &server{send: func(ctx context.Context, c *fakeConn, d Delivery) (Reply, error) {
			<-ctx.Done() // the real connection is cut then
			c.dead = true
			if d.Recipient == 1 {
				return Reply{}, &Lost{Stage: "message", Err: ctx.Err()}
			}
			return Reply{}, &Doubtful{Err: ctx.Err()}
		}}
		_, stop := start(t, m, s, Options{DrainTimeout: 7 * time.Second})
		begin := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took != 7*time.Second {
			t.Errorf("took %v", took)
		}
		if m.count(Doubt) != 3 || m.count(Queued) != 7 || m.claimed != 0 {
			t.Errorf("%d in doubt, %d queued, %d claimed", m.count(Doubt), m.count(Queued), m.claimed)
		}
	})
}

func TestDrainEndsDialling(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 4, 10)
		s := &server{dial: func(ctx context.Context, _ int) error {
			<-ctx.Done()
			return &Unavailable{Words: "stopping", Err: ctx.Err()}
		}}
		o, stop := start(t, m, s, Options{})
		begin := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if time.Since(begin) != 0 || m.count(Queued) != 10 || !errors.Is(o.Health(), errNotReached) {
			t.Errorf("took %v, %d queued, %v", time.Since(begin), m.count(Queued), o.Health())
		}
	})
}

func TestDrainReturnsWhatWasClaimedMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 4, 10)
		ctx, cancel := context.WithCancel(context.Background())
		m.fail = func() error { cancel(); return nil } // told to stop within the first commit
		s := &server{}
		if err := New(m, s, Options{}).Run(ctx); err != nil {
			t.Error(err)
		}
		if dials, _, _ := s.counts(); dials != 0 || m.count(Queued) != 10 || m.most != 4 {
			t.Errorf("%d dials, %d queued, %d claimed at most", dials, m.count(Queued), m.most)
		}
	})
}

func TestDrainGivesUpOnAQueueThatFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 4, 4)
		broken := errors.New("disk full")
		m.fail = func() error {
			if m.settles > 1 {
				return broken
			}
			return nil
		}
		o := New(m, &server{}, Options{})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- o.Run(ctx) }()
		synctest.Wait()
		begin := time.Now()
		cancel()
		err := <-ended
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), "4 outcomes") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begin); took != 29*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestRunCanBeStartedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 4, 2)
		s := &server{}
		o := New(m, s, Options{})
		for range 3 {
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error)
			go func() { ended <- o.Run(ctx) }()
			synctest.Wait()
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			_, settles, _ := m.seen()
			m.add(int64(settles + 1000))
		}
		if m.count(Sent) != 4 {
			t.Errorf("%d sent", m.count(Sent))
		}
	})
}

func TestLogsShortenAddresses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 4, 1)
		s := &server{send: func(_ context.Context, _ *fakeConn, d Delivery) (Reply, error) {
			return Reply{}, &Permanent{Stage: "RCPT", Reply: Reply{550, "5.1.1", "<LI@example.com> is unknown"}}
		}}
		var logged bytes.Buffer
		_, stop := start(t, m, s, Options{Log: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if text := logged.String(); strings.Contains(strings.ToLower(text), "li@example.com") || !strings.Contains(text, "l…@example.com") || !strings.Contains(text, "5.1.1") {
			t.Errorf("logged %s", text)
		}
	})
}

func TestRedact(t *testing.T) {
	for text, want := range map[string]string{
		"li@example.com":                        "l…@example.com",
		"李@example.com":                         "李…@example.com",
		"<a.b@x.example>: no, to=<c@y.example>": "<a…@x.example>: no, to=<c…@y.example>",
		"no address @ all, @home":               "no address @ all, @home",
		`"quoted"@x.example`:                    `"quoted"…@x.example`,
		"":                                      "",
	} {
		if got := Redact(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestStates(t *testing.T) {
	for i, word := range strings.Fields("queued sending sent deferred failed doubt skipped canceled bounced complained expired") {
		s, err := ParseState(word)
		if err != nil || int(s) != i || s.String() != word {
			t.Errorf("%s: %d %v", word, s, err)
		}
		text, _ := s.MarshalText()
		if err := s.UnmarshalText(text); err != nil || int(s) != i {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := ParseState("lost"); err == nil {
		t.Error("a word that is none is taken")
	}
	if State(99).String() != "state 99" {
		t.Error(State(99).String())
	}
}
