package outbox

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestEngineSendsEverythingWithinItsBound(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 4, 100)
		s := &server{send: func(ctx context.Context, _ *fakeConn, d Delivery) (Reply, error) {
			return Reply{}, sleep(ctx, time.Duration(d.Recipient%7)*time.Millisecond)
		}}
		var told atomic.Int32
		o, _ := start(t, m, s, Options{OnOutcome: func(d Delivery, out Outcome) {
			told.Add(1)
			if out.State != Sent || out.Code != 250 || out.Words != "taken" || d.Recipient != out.Recipient || m.state(d.Recipient).state != Sent {
				t.Errorf("told of %+v before it was recorded, or wrongly", out)
			}
		}})
		pass(time.Second)
		dials, open, got := s.counts()
		if got != 100 || m.count(Sent) != 100 || told.Load() != 100 || m.most != 4 || dials != 4 || open != 4 {
			t.Errorf("%d sent, %d recorded, %d told, %d claimed at most, %d dials, %d open", got, m.count(Sent), told.Load(), m.most, dials, open)
		}
		if err := o.Health(); err != nil {
			t.Error(err)
		}
	})
}

func TestEngineIdleCostsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 4, 3)
		s := &server{}
		o, _ := start(t, m, s, Options{})
		pass(59 * time.Second)
		if _, open, _ := s.counts(); open == 0 {
			t.Error("the connection was not kept")
		}
		_, before, _ := m.seen()
		pass(2 * time.Second)
		if _, open, _ := s.counts(); open != 0 {
			t.Errorf("%d connections are open after the idle timeout", open)
		}
		pass(100 * time.Hour)
		if _, after, _ := m.seen(); after != before {
			t.Errorf("the queue was asked %d times while nothing happened", after-before)
		}
		m.add(10)
		o.Wake()
		synctest.Wait()
		if m.count(Sent) != 4 {
			t.Error("woken, it does not send")
		}
	})
}

func TestEngineUsesTheWarmConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 4, 1)
		s := &server{}
		o, _ := start(t, m, s, Options{})
		for i := range 20 {
			pass(30 * time.Second)
			m.add(int64(100 + i))
			o.Wake()
			synctest.Wait()
		}
		if dials, _, got := s.counts(); dials != 1 || got != 21 {
			t.Errorf("%d dials for %d letters", dials, got)
		}
	})
}

func TestEngineWakeIsNeverLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 2, 0)
		o, _ := start(t, m, &server{}, Options{Connections: 2})
		var writers sync.WaitGroup
		for w := range 4 {
			writers.Go(func() {
				for i := range 500 {
					m.add(int64(w*1000 + i + 1))
					o.Wake()
				}
			})
		}
		writers.Wait()
		synctest.Wait()
		if got := m.count(Sent); got != 2000 {
			t.Errorf("%d sent", got)
		}
	})
}

func TestEngineDefersWithGrowingPauses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 4, 1)
		s := &server{send: func(context.Context, *fakeConn, Delivery) (Reply, error) {
			return Reply{}, &Temporary{Stage: "RCPT", Reply: Reply{450, "4.2.0", "greylisted"}}
		}}
		begin := time.Now()
		o, _ := start(t, m, s, Options{})
		pass(80 * time.Hour)
		all := m.outcomes(1)
		for i, want := range []time.Duration{0, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 4 * time.Hour} {
			if i == 0 {
				continue
			}
			if pause := all[i].At.Sub(all[i-1].At); pause < want*9/10 || pause > want*11/10+recheck {
				t.Errorf("pause %d was %v, want about %v", i, pause, want)
			}
		}
		last := all[len(all)-1]
		if last.State != Failed || last.Code != 450 || last.Status != "4.2.0" || last.Words != "gave up after 3 days: greylisted" || !last.Due.IsZero() {
			t.Errorf("the end is %+v", last)
		}
		if age := last.At.Sub(begin); age < 72*time.Hour || age > 73*time.Hour {
			t.Errorf("gave up after %v", age)
		}
		if err := o.Health(); err != nil {
			t.Errorf("one letter's refusal is no trouble: %v", err)
		}
	})
}

func TestEngineSendsAgainWhatIsInDoubt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 4, 1)
		var answers atomic.Bool
		s := &server{send: func(context.Context, *fakeConn, Delivery) (Reply, error) {
			if answers.Load() {
				return Reply{}, nil
			}
			return Reply{}, &Doubtful{Err: context.DeadlineExceeded}
		}}
		o, _ := start(t, m, s, Options{})
		if err := o.Health(); err != nil {
			t.Errorf("one lost answer is no trouble: %v", err)
		}
		first := m.outcomes(1)[0]
		if first.State != Doubt || first.Due.Sub(first.At) < 50*time.Second || first.Due.Sub(first.At) > 70*time.Second {
			t.Errorf("the first outcome is %+v", first)
		}
		answers.Store(true)
		pass(2 * time.Minute)
		if m.count(Sent) != 1 || !m.state(1).Doubted {
			t.Errorf("it is %s", m.state(1).state)
		}
	})
}

func TestEngineHoldsDoubtWhereItIsTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 4, 2)
		s := &server{send: func(_ context.Context, _ *fakeConn, d Delivery) (Reply, error) {
			if d.Recipient == 2 {
				return Reply{}, &Temporary{Stage: "RCPT", Reply: Reply{450, "4.2.0", "greylisted"}}
			}
			return Reply{}, &Doubtful{Err: context.DeadlineExceeded}
		}}
		start(t, m, s, Options{HoldDoubt: true})
		pass(100 * time.Hour)
		all := m.outcomes(1)
		if len(all) != 1 || all[0].State != Doubt || !all[0].Due.IsZero() || !strings.HasSuffix(all[0].Words, "no answer came in time; it is held, not sent again") {
			t.Errorf("outcomes %+v", all)
		}
		if others := m.outcomes(2); len(others) < 5 {
			t.Errorf("what was refused for now had %d attempts", len(others))
		}
	})
}

func TestEngineLeavesDoubtInTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 4, 1)
		s := &server{send: func(context.Context, *fakeConn, Delivery) (Reply, error) { return Reply{}, errors.New("who knows") }}
		start(t, m, s, Options{MaxAge: time.Hour})
		pass(5 * time.Hour)
		all := m.outcomes(1)
		if last := all[len(all)-1]; len(all) != 5 || last.State != Doubt || !last.Due.IsZero() {
			t.Errorf("%d attempts, the last %+v", len(all), last)
		}
	})
}

func TestEnginePausesWhenThereIsNoSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 4, 10)
		var down atomic.Bool
		down.Store(true)
		s := &server{}
		s.dial = func(context.Context, int) error {
			if down.Load() {
				return &Unavailable{Words: "mail.example.com:587 does not answer"}
			}
			return nil
		}
		o, _ := start(t, m, s, Options{})
		if err := o.Health(); err == nil || err.Error() != "outbox: no letters can be sent: mail.example.com:587 does not answer" {
			t.Errorf("health: %v", err)
		}
		first, _, _ := s.counts()
		if first > 4 {
			t.Errorf("%d connections tried at once", first)
		}
		pass(time.Hour)
		dials, _, _ := s.counts()
		if dials-first > 25 || dials-first < 12 {
			t.Errorf("%d dials in an hour of trouble", dials-first)
		}
		if m.count(Queued) != 10 {
			t.Errorf("%d are queued", m.count(Queued))
		}
		log, _, _ := m.seen()
		for _, out := range log {
			if out.State != Queued || !out.Due.IsZero() {
				t.Fatalf("trouble of the server became %+v", out)
			}
		}
		down.Store(false)
		pass(6 * time.Minute)
		if m.count(Sent) != 10 || o.Health() != nil {
			t.Errorf("%d sent, %v", m.count(Sent), o.Health())
		}
	})
}

func TestEngineDoesNotHammerALogin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 1, 10)
		s := &server{dial: func(context.Context, int) error {
			return &Unavailable{Words: "refuses the password", Err: &Permanent{Reply: Reply{Code: 535}}}
		}}
		start(t, m, s, Options{Connections: 1})
		pass(20 * time.Minute)
		dialled := s.dialled()
		for i, at := range dialled[1:] {
			if pause := at.Sub(dialled[i]); pause < 27*time.Second {
				t.Errorf("a wrong password is tried again after %v", pause)
			}
		}
		if dials, _, _ := s.counts(); dials > 8 {
			t.Errorf("%d logins in 20 minutes", dials)
		}
	})
}

func TestEngineTakesTheConnectionsItIsGiven(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 5, 200)
		s := &server{send: func(ctx context.Context, _ *fakeConn, _ Delivery) (Reply, error) {
			return Reply{}, sleep(ctx, time.Second)
		}}
		s.dial = func(context.Context, int) error {
			if _, open, _ := s.counts(); open >= 2 {
				return &Unavailable{Words: "too many connections", Err: &Temporary{Reply: Reply{Code: 421}}}
			}
			return nil
		}
		o, _ := start(t, m, s, Options{Connections: 5})
		pass(50 * time.Second)
		dials, open, got := s.counts()
		if open != 2 || got < 90 || dials > 8 {
			t.Errorf("%d open, %d dials, %d sent", open, dials, got)
		}
		if err := o.Health(); err != nil {
			t.Error(err)
		}
		pass(100 * time.Second)
		if m.count(Sent) != 200 {
			t.Errorf("%d sent", m.count(Sent))
		}
	})
}

func TestEngineIdleConnectionClosedByTheServer(t *testing.T) {
	for name, ending := range map[string]error{
		"closed":       &Lost{Stage: "MAIL", Err: errors.New("EOF")},
		"told to go":   &Temporary{Stage: "MAIL", Reply: Reply{421, "4.4.2", "idle"}},
		"RSET refused": &Lost{Stage: "RSET", Err: errors.New("unexpected answer")},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := newMemory(t, 4, 1)
				s := &server{send: func(_ context.Context, c *fakeConn, _ Delivery) (Reply, error) {
					if c.carried > 0 {
						c.dead = true
						return Reply{}, ending
					}
					return Reply{}, nil
				}}
				o, _ := start(t, m, s, Options{})
				for i := range 5 {
					m.add(int64(10 + i))
					o.Wake()
					synctest.Wait()
				}
				dials, open, got := s.counts()
				log, _, _ := m.seen()
				if got != 6 || m.count(Sent) != 6 || len(log) != 6 || dials != 6 || open != 1 || o.Health() != nil {
					t.Errorf("%d sent, %d outcomes, %d dials, %d open, %v", got, len(log), dials, open, o.Health())
				}
			})
		})
	}
}

func TestEnginePutsOffALetterThatEndsEveryConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 2, 20)
		s := &server{send: func(_ context.Context, c *fakeConn, d Delivery) (Reply, error) {
			if d.Recipient == 3 {
				c.dead = true
				return Reply{}, &Lost{Stage: "message", Err: errors.New("EOF")}
			}
			return Reply{}, nil
		}}
		start(t, m, s, Options{Connections: 2})
		pass(30 * time.Second)
		if m.count(Sent) != 19 || m.count(Deferred) != 1 {
			t.Errorf("%d sent, %d deferred", m.count(Sent), m.count(Deferred))
		}
		all := m.outcomes(3)
		if len(all) != maxLosses || all[0].State != Queued || all[maxLosses-1].Due.IsZero() {
			t.Errorf("outcomes %+v", all)
		}
		pass(80 * time.Hour)
		if m.count(Failed) != 1 {
			t.Errorf("in the end it is %s", m.state(3).state)
		}
	})
}

func TestEngineKeepsToItsRate(t *testing.T) {
	for _, test := range []struct {
		rate    float64
		letters int
		after   time.Duration
		least   int
		most    int
	}{
		{10, 100, 5 * time.Second, 49, 51},
		{0.5, 10, 9 * time.Second, 5, 5},
		{200, 2000, 2 * time.Second, 395, 421},
	} {
		bubble(t, func(t *testing.T) {
			m := newMemory(t, 4, test.letters)
			s := &server{}
			start(t, m, s, Options{Rate: test.rate})
			pass(test.after)
			if _, _, got := s.counts(); got < test.least || got > test.most {
				t.Errorf("rate %v: %d letters in %v, want %d to %d", test.rate, got, test.after, test.least, test.most)
			}
			if _, _, claimed := m.seen(); claimed != 0 {
				t.Errorf("rate %v: %d letters are claimed while they wait", test.rate, claimed)
			}
		})
	}
}

func TestEngineKeepsOutcomesThatCannotBeRecorded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 4, 50)
		s := &server{}
		var failures atomic.Int32
		m.fail = func() error {
			if m.settles > 3 && failures.Load() < 8 {
				failures.Add(1)
				return errors.New("database is locked")
			}
			return nil
		}
		o, _ := start(t, m, s, Options{})
		_, _, got := s.counts()
		if err := o.Health(); err == nil || !strings.Contains(err.Error(), "cannot be recorded, so no more are sent: database is locked") {
			t.Errorf("health: %v", err)
		}
		pass(10 * time.Second)
		if _, _, now := s.counts(); now != got {
			t.Errorf("%d letters were sent while outcomes could not be recorded", now-got)
		}
		pass(5 * time.Minute)
		if log, _, _ := m.seen(); m.count(Sent) != 50 || len(log) != 50 || o.Health() != nil || failures.Load() != 8 {
			t.Errorf("%d sent, %d outcomes, %d failures, %v", m.count(Sent), len(log), failures.Load(), o.Health())
		}
		if _, _, got := s.counts(); got != 50 {
			t.Errorf("%d letters went out", got)
		}
	})
}

func TestEngineAQueueThatFailsFromTheStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 4, 5)
		var broken atomic.Bool
		broken.Store(true)
		m.fail = func() error {
			if broken.Load() {
				return errors.New("disk full")
			}
			return nil
		}
		o, _ := start(t, m, &server{}, Options{})
		pass(time.Hour)
		if _, settles, _ := m.seen(); o.Health() == nil || settles > 140 {
			t.Errorf("%v, asked %d times in an hour", o.Health(), settles)
		}
		broken.Store(false)
		pass(31 * time.Second)
		if m.count(Sent) != 5 || o.Health() != nil {
			t.Errorf("%d sent, %v", m.count(Sent), o.Health())
		}
	})
}
