package outbox

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// memory is a Queue in memory that holds the engine to its promises.
type memory struct {
	t     testing.TB
	bound int
	fail  func() error // what Settle answers; nil: it works

	mu      sync.Mutex
	rows    []*row
	index   map[key]*row
	claimed int
	most    int // claimed at one time
	settles int
	log     []Outcome
}

type row struct {
	Delivery
	state State
	due   time.Time
}

func newMemory(t testing.TB, bound, letters int) *memory {
	m := &memory{t: t, bound: bound, index: map[key]*row{}}
	for i := range letters {
		m.add(int64(i + 1))
	}
	return m
}

func (m *memory) add(recipient int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := delivery()
	d.Recipient = recipient
	r := &row{Delivery: d}
	m.rows = append(m.rows, r)
	m.index[key{d.Sending, recipient}] = r
}

func (m *memory) Settle(_ context.Context, finished []Outcome, room int) ([]Delivery, time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settles++
	if m.fail != nil {
		if err := m.fail(); err != nil {
			return nil, time.Time{}, err
		}
	}
	now := time.Now()
	for _, o := range finished {
		r := m.index[key{o.Sending, o.Recipient}]
		if r.state != Sending {
			m.t.Errorf("letter %d: outcome %s, but it is %s", o.Recipient, o.State, r.state)
		}
		m.claimed--
		r.state, r.due = o.State, o.Due
		if o.State != Queued {
			r.Attempts++
			r.Doubted = r.Doubted || o.State == Doubt
		}
		m.log = append(m.log, o)
	}
	var claimed []Delivery
	var next time.Time
	for _, r := range m.rows {
		waits := r.state == Queued || (r.state == Deferred || r.state == Doubt) && !r.due.IsZero()
		switch {
		case waits && !r.due.After(now) && len(claimed) < room:
			r.state = Sending
			claimed = append(claimed, r.Delivery)
		case waits && (next.IsZero() || r.due.Before(next)):
			next = cmp.Or(r.due, now)
		}
	}
	m.claimed += len(claimed)
	m.most = max(m.most, m.claimed)
	if m.claimed > m.bound {
		m.t.Errorf("%d letters are claimed, the bound is %d", m.claimed, m.bound)
	}
	return claimed, next, nil
}

// seen is a copy of all outcomes, the number of Settle calls and of letters claimed now.
func (m *memory) seen() (log []Outcome, settles, claimed int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.log), m.settles, m.claimed
}

// state is where a letter stands.
func (m *memory) state(recipient int64) row {
	m.mu.Lock()
	defer m.mu.Unlock()
	return *m.index[key{1, recipient}]
}

// count is how many letters are in a state.
func (m *memory) count(s State) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rows {
		if r.state == s {
			n++
		}
	}
	return n
}

func (m *memory) outcomes(recipient int64) (all []Outcome) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range m.log {
		if o.Recipient == recipient {
			all = append(all, o)
		}
	}
	return all
}

// server is a Transport in memory.
type server struct {
	dial func(ctx context.Context, number int) error
	send func(ctx context.Context, s *fakeConn, d Delivery) (Reply, error)

	mu    sync.Mutex
	dials []time.Time
	open  int
	got   int
}

type fakeConn struct {
	server  *server
	carried int
	dead    bool
}

func (s *server) Dial(ctx context.Context) (Conn, error) {
	s.mu.Lock()
	s.dials = append(s.dials, time.Now())
	number := len(s.dials)
	s.mu.Unlock()
	if s.dial != nil {
		if err := s.dial(ctx, number); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	s.open++
	s.mu.Unlock()
	return &fakeConn{server: s}, nil
}

func (c *fakeConn) Send(ctx context.Context, d Delivery) (Reply, error) {
	if c.dead {
		return Reply{}, &Lost{Stage: "MAIL", Err: errors.New("dead")}
	}
	s := c.server
	if s.send != nil {
		if reply, err := s.send(ctx, c, d); err != nil || reply.Code != 0 {
			return reply, err
		}
	}
	c.carried++
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got++
	return Reply{250, "2.0.0", "taken"}, nil
}

func (c *fakeConn) Alive() bool { return !c.dead }

func (c *fakeConn) Close() error {
	c.server.mu.Lock()
	c.server.open--
	c.server.mu.Unlock()
	return nil
}

func (s *server) counts() (dials, open, got int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.dials), s.open, s.got
}

func (s *server) dialled() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.dials)
}

// sleep waits in the bubble's time.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pass lets the bubble's clock run.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// start runs an outbox in the bubble and returns how to end it.
func start(t *testing.T, q Queue, s Transport, opts Options) (*Outbox, func() error) {
	o := New(q, s, opts)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- o.Run(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	return o, stop
}

// bubble is a test in synctest whose cleanups run inside.
func bubble(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }
