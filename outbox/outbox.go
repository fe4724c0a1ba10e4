// Package outbox sends letters: it composes them, claims them from the store, carries them to an SMTP server and brings
// back one outcome for each.
//
// It obeys RFC 5322 and RFC 2045 to 2047 (the letter), RFC 5321 (the transaction), RFC 2920 (pipelining), RFC 1870 (SIZE),
// RFC 2034 and 3463 (status codes), RFC 3207 and 8314 (TLS), RFC 4954 (AUTH), RFC 6531 (addresses beyond ASCII),
// RFC 6376 and 8463 (DKIM).
//
// On failure: what the server refuses for now is tried again with growing pauses, what it refuses for good has failed, and
// where a whole letter was written and the answer lost the outcome is doubt, never a guess. Trouble that is no letter's
// fault (no connection, no login) returns the letters to the queue and pauses the outbox; Health tells it in a sentence.
// Outcomes that the store cannot take are kept and offered again. At most Options.Connections letters are claimed at any
// instant, so that is the most that a kill can leave in doubt.
package outbox

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Options are the outbox's settings; zero fields get the defaults named.
type Options struct {
	Connections  int             // 4: connections at most, and letters claimed at most
	Rate         float64         // letters a second over all connections; 0: no limit
	Pauses       []time.Duration // 1, 5, 15 min, 1, 2, 4 h: before the second, third, … attempt; the last one repeats
	Troubles     []time.Duration // 1 s growing to 5 min: pauses of the whole outbox while the server gives no session
	MaxAge       time.Duration   // 72 h: a letter older than this has no further attempt
	IdleTimeout  time.Duration   // 60 s: a connection without work is closed after it
	DrainTimeout time.Duration   // 25 s: what is on the wire when Run's context ends has this long to finish
	HoldDoubt    bool            // a letter in doubt gets no further attempt: it is left for a person to decide
	Log          *slog.Logger    // debugging; addresses are shortened
	Now          func() time.Time
	// OnOutcome is called after each outcome has been recorded, by one goroutine; it must not block for long.
	OnOutcome func(Delivery, Outcome)
}

// Outbox carries the letters of one queue to one server.
type Outbox struct {
	queue     Queue
	transport Transport
	opts      Options
	wake      chan struct{}
	open      atomic.Int32 // connections that stand

	mu       sync.Mutex
	troubled error // of the server
	unsaved  error // of the queue
}

// New returns an Outbox, in trouble until Run has reached the server.
func New(queue Queue, transport Transport, opts Options) *Outbox {
	opts.Connections = max(cmp.Or(opts.Connections, 4), 1)
	opts.MaxAge = cmp.Or(opts.MaxAge, 72*time.Hour)
	opts.IdleTimeout = cmp.Or(opts.IdleTimeout, time.Minute)
	opts.DrainTimeout = cmp.Or(opts.DrainTimeout, 25*time.Second)
	if len(opts.Pauses) == 0 {
		opts.Pauses = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour}
	}
	if len(opts.Troubles) == 0 {
		opts.Troubles = []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute}
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Outbox{queue: queue, transport: transport, opts: opts, wake: make(chan struct{}, 1), troubled: errNotReached}
}

// Wake says that there is something new to send. It never blocks and is never lost.
func (o *Outbox) Wake() {
	select {
	case o.wake <- struct{}{}:
	default: // one is waiting already, and will look at all there is
	}
}

// Health is nil while letters can be sent and recorded, else a sentence. It is not nil before the server has given a first
// session; an outbox without letters asks it for one at the start and every few minutes.
func (o *Outbox) Health() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.unsaved != nil:
		return fmt.Errorf("outbox: what became of letters cannot be recorded, so no more are sent: %w", o.unsaved)
	case o.troubled != nil:
		return fmt.Errorf("outbox: no letters can be sent: %w", o.troubled)
	}
	return nil
}

func (o *Outbox) set(what *error, err error) {
	o.mu.Lock()
	*what = err
	o.mu.Unlock()
}

// Run sends what the queue holds until ctx ends. Then it drains: nothing more is claimed, what is on the wire finishes
// within DrainTimeout, the rest goes back to the queue, and Run returns nil; or an error that says how many outcomes could
// not be recorded in the end. Their letters will be in doubt.
func (o *Outbox) Run(ctx context.Context) error {
	o.set(&o.troubled, errNotReached)
	e := newEngine(o)
	return e.run(ctx)
}
