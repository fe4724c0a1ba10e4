package outbox

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestANewOutboxIsNotHealthyBeforeItHasReachedTheServer(t *testing.T) {
	const want = "outbox: no letters can be sent: the SMTP server was not reached yet"
	if err := New(newMemory(t, 4, 0), &server{}, Options{}).Health(); err == nil || err.Error() != want {
		t.Errorf("before Run: %v", err)
	}
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 4, 0)
		s := &server{dial: func(ctx context.Context, _ int) error { return sleep(ctx, time.Second) }}
		o, _ := start(t, m, s, Options{})
		if err := o.Health(); err == nil || err.Error() != want {
			t.Errorf("while it dials: %v", err)
		}
		pass(time.Second)
		if dials, open, _ := s.counts(); o.Health() != nil || dials != 1 || open != 1 {
			t.Errorf("after it: %v, %d dials, %d open", o.Health(), dials, open)
		}
		m.add(1)
		o.Wake()
		pass(time.Second)
		if dials, _, got := s.counts(); dials != 1 || got != 1 {
			t.Errorf("%d dials, %d sent: the first letter did not use the connection", dials, got)
		}
		pass(time.Minute)
		if _, open, _ := s.counts(); open != 0 || o.Health() != nil {
			t.Errorf("%d are open after the idle timeout, %v", open, o.Health())
		}
	})
}

func TestALetterThatComesWhileTheOutboxDialsUsesThatDial(t *testing.T) {
	for _, connections := range []int{1, 4} {
		bubble(t, func(t *testing.T) {
			m := newMemory(t, connections, 0)
			s := &server{dial: func(ctx context.Context, _ int) error { return sleep(ctx, 10*time.Second) }}
			o, _ := start(t, m, s, Options{Connections: connections})
			m.add(1)
			o.Wake()
			pass(5 * time.Second)
			if _, _, claimed := m.seen(); claimed != 0 {
				t.Errorf("%d letters are claimed before there is a session", claimed)
			}
			pass(5 * time.Second)
			if dials, _, got := s.counts(); dials != 1 || got != 1 {
				t.Errorf("%d dials, %d sent", dials, got)
			}
		})
	}
}

func TestLettersThatWaitAtTheStartAreTheFirstDial(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMemory(t, 1, 3)
		s := &server{send: func(ctx context.Context, _ *fakeConn, _ Delivery) (Reply, error) {
			return Reply{}, sleep(ctx, time.Hour)
		}}
		o, _ := start(t, m, s, Options{Connections: 1, DrainTimeout: 10 * time.Hour})
		if dials, _, _ := s.counts(); dials != 1 || o.Health() != nil {
			t.Errorf("%d dials, %v: the server was reached, whatever becomes of the letter", dials, o.Health())
		}
		pass(2*time.Hour + time.Minute)
		if dials, _, _ := s.counts(); dials != 1 {
			t.Errorf("%d dials while letters were on the wire", dials)
		}
	})
}

func TestAServerThatIsDownAtTheStartIsDialledUntilItComes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var up atomic.Bool
		s := &server{dial: func(context.Context, int) error {
			if up.Load() {
				return nil
			}
			return &Unavailable{Words: "mail.example.com:587 takes no connection"}
		}}
		m := newMemory(t, 4, 0)
		o, _ := start(t, m, s, Options{})
		if err := o.Health(); err == nil || !strings.HasSuffix(err.Error(), "no letters can be sent: mail.example.com:587 takes no connection") {
			t.Errorf("health: %v", err)
		}
		pass(time.Hour)
		dialled := s.dialled()
		if len(dialled) < 12 || len(dialled) > 25 {
			t.Fatalf("%d dials in an hour", len(dialled))
		}
		if first := dialled[1].Sub(dialled[0]); first < 900*time.Millisecond || first > 1100*time.Millisecond {
			t.Errorf("the first pause was %v", first)
		}
		up.Store(true)
		pass(6 * time.Minute)
		if o.Health() != nil || m.settles != 1 {
			t.Errorf("%v; the queue was asked %d times", o.Health(), m.settles)
		}
	})
}

func TestAnIdleOutboxNoticesThatItsServerDied(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var down atomic.Bool
		s := &server{dial: func(context.Context, int) error {
			if down.Load() {
				return &Unavailable{Words: "mail.example.com:587 takes no connection"}
			}
			return nil
		}}
		m := newMemory(t, 4, 1)
		o, _ := start(t, m, s, Options{})
		pass(time.Hour)
		if dials, _, _ := s.counts(); dials < 10 || dials > 13 {
			t.Errorf("%d dials in an idle hour", dials)
		}
		down.Store(true)
		pass(6 * time.Minute)
		if o.Health() == nil {
			t.Error("idle, it does not notice that the server died")
		}
		down.Store(false)
		pass(6 * time.Minute)
		if o.Health() != nil {
			t.Errorf("the server is back: %v", o.Health())
		}
	})
}

func TestTheFirstDialDoesNotHoldUpTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &server{dial: func(ctx context.Context, _ int) error {
			<-ctx.Done()
			return &Unavailable{Words: "stopping", Err: ctx.Err()}
		}}
		o, stop := start(t, newMemory(t, 4, 0), s, Options{})
		begin := time.Now()
		if err := stop(); err != nil || time.Since(begin) != 0 {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		if dials, open, _ := s.counts(); dials != 1 || open != 0 || o.Health() == nil {
			t.Errorf("%d dials, %d open, %v", dials, open, o.Health())
		}
	})
}
