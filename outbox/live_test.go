package outbox

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/returnpost/returnpost/internal/mailtest"
)

// TestOutboxOnBadDays sends through a real connection to a server that refuses, cuts and goes at every stage, and holds
// what the outbox says against what the server knows.
func TestOutboxOnBadDays(t *testing.T) {
	const letters = 300
	for _, alone := range []bool{false, true} {
		t.Run(fmt.Sprintf("one by one %v", alone), func(t *testing.T) {
			var mu sync.Mutex
			dice := rand.New(rand.NewPCG(1, 2))
			bad := func(stage mailtest.Stage, _ mailtest.Session) *mailtest.Reply {
				mu.Lock()
				defer mu.Unlock()
				if stage == mailtest.StageQuit || dice.IntN(20) > 0 {
					return nil
				}
				return []*mailtest.Reply{{Code: 451}, {Cut: true}, {Cut: true, Keep: true}, {Code: 421, Close: true}, {Code: 452, Go: true}, {Hang: true}, {Hang: true, Keep: true}}[dice.IntN(7)]
			}
			s := startSMTP(t, mailtest.SMTPOptions{NoPipelining: alone, Script: bad})
			transport, err := NewTransport(settings(t, s, "none"), quick)
			if err != nil {
				t.Fatal(err)
			}
			m := newMemory(t, 8, letters)
			for _, r := range m.rows {
				r.To = fmt.Sprintf("member%d@example.com", r.Recipient)
			}
			done := make(chan struct{})
			ended := 0
			o := New(m, transport, Options{Connections: 8, Pauses: []time.Duration{time.Millisecond}, Troubles: []time.Duration{time.Millisecond}, OnOutcome: func(_ Delivery, out Outcome) {
				if out.State == Sent || out.State == Failed {
					if ended++; ended == letters {
						close(done)
					}
				}
			}})

			ctx, cancel := context.WithCancel(t.Context())
			stopped := make(chan error)
			go func() { stopped <- o.Run(ctx) }()
			select {
			case <-done:
			case <-time.After(60 * time.Second):
				t.Errorf("only %d letters ended", m.count(Sent))
			}
			cancel()
			if err := <-stopped; err != nil {
				t.Error(err)
			}
			check(t, m, s)
		})
	}
}

func check(t *testing.T, m *memory, s *mailtest.SMTP) {
	t.Helper()
	arrivals := map[string]int{}
	for _, got := range s.Messages() {
		arrivals[got.To]++
		if string(got.Data) != arrived {
			t.Fatalf("the letter to %s is %q", got.To, got.Data)
		}
	}
	twice, doubted := 0, 0
	for _, r := range m.rows {
		if r.state != Sent {
			t.Errorf("the letter to %s is %s", r.To, r.state)
		}
		if arrivals[r.To] == 0 {
			t.Errorf("the letter to %s is said to be sent and never came", r.To)
		}
		if r.Doubted {
			doubted++
		}
		if arrivals[r.To] > 1 {
			twice++
			if !r.Doubted {
				t.Errorf("the letter to %s came %d times and was never in doubt", r.To, arrivals[r.To])
			}
		}
	}
	states := map[State]int{}
	for _, o := range m.log {
		states[o.State]++
	}
	t.Logf("outcomes %v; %d letters were in doubt, %d of them came twice", states, doubted, twice)
	if doubted == 0 || states[Deferred] == 0 || states[Queued] == 0 {
		t.Error("the server was not bad enough for this test")
	}
}

// TestOutboxServerClosesIdleConnections cuts the kept connections between letters.
func TestOutboxServerClosesIdleConnections(t *testing.T) {
	s := startSMTP(t, mailtest.SMTPOptions{Security: "starttls"})
	transport, err := NewTransport(settings(t, s, "starttls"), Timeouts{})
	if err != nil {
		t.Fatal(err)
	}
	m := newMemory(t, 2, 0)
	told := make(chan Outcome, 1)
	o := New(m, transport, Options{Connections: 2, OnOutcome: func(_ Delivery, out Outcome) { told <- out }})
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error)
	go func() { stopped <- o.Run(ctx) }()
	for i := range 10 {
		m.add(int64(i + 1))
		o.Wake()
		if out := <-told; out.State != Sent {
			t.Errorf("letter %d: %+v", i+1, out)
		}
		s.Cut()
	}
	cancel()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if s.Count() != 10 {
		t.Errorf("%d letters came", s.Count())
	}
}

// endless is a queue of n equal letters, as cheap as can be.
type endless struct {
	letter  Delivery
	n, sent int
	commits int
	commit  time.Duration // what a durable commit takes
	done    chan struct{}
}

func (q *endless) Settle(_ context.Context, finished []Outcome, room int) ([]Delivery, time.Time, error) {
	q.commits++
	if q.commit > 0 {
		<-time.After(q.commit)
	}
	q.sent += len(finished)
	claimed := make([]Delivery, 0, room)
	for ; q.n > 0 && len(claimed) < room; q.n-- {
		d := q.letter
		d.Recipient = int64(q.n)
		claimed = append(claimed, d)
	}
	if q.n == 0 && len(claimed) == 0 && len(finished) > 0 && q.sent == cap(q.done) {
		close(q.done)
	}
	return claimed, time.Time{}, nil
}

// letter56 is a letter of 5.6 KB.
func letter56() Delivery {
	d := delivery()
	d.Bytes = []byte("Subject: x\r\n\r\n" + strings.Repeat("seventy characters of a letter as they come out of the encoder, say it so\r\n", 75))
	return d
}

func BenchmarkTransaction(b *testing.B) {
	for _, alone := range []bool{false, true} {
		b.Run(fmt.Sprintf("one by one %v", alone), func(b *testing.B) {
			s := startSMTP(b, mailtest.SMTPOptions{CountOnly: true, NoPipelining: alone})
			c := session(b, settings(b, s, "none"), Timeouts{})
			d := letter56()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Send(context.Background(), d); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "letters/s")
		})
	}
}

func BenchmarkOutbox(b *testing.B) {
	for _, test := range []struct {
		connections int
		commit      time.Duration
	}{{4, 0}, {4, time.Millisecond}, {10, time.Millisecond}, {50, 0}, {50, time.Millisecond}} {
		b.Run(fmt.Sprintf("%d connections, commit %v", test.connections, test.commit), func(b *testing.B) {
			s := startSMTP(b, mailtest.SMTPOptions{CountOnly: true})
			transport, err := NewTransport(settings(b, s, "none"), Timeouts{})
			if err != nil {
				b.Fatal(err)
			}
			q := &endless{letter: letter56(), n: b.N, commit: test.commit, done: make(chan struct{}, b.N)}
			o := New(q, transport, Options{Connections: test.connections})
			ctx, cancel := context.WithCancel(context.Background())
			stopped := make(chan error)
			b.ResetTimer()
			go func() { stopped <- o.Run(ctx) }()
			<-q.done
			b.StopTimer()
			cancel()
			if err := <-stopped; err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "letters/s")
			b.ReportMetric(float64(b.N)/float64(q.commits), "letters/commit")
		})
	}
}
