package outbox

import (
	"context"
	"errors"
	"time"
)

// probeEvery is how often an outbox without letters looks whether its server still gives sessions.
const probeEvery = 5 * time.Minute

var errNotReached = errors.New("the SMTP server was not reached yet")

// reached says that the server has given a session. Whatever else troubles the outbox is for the engine to lift.
func (o *Outbox) reached() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if errors.Is(o.troubled, errNotReached) {
		o.troubled = nil
	}
}

// probe lets a worker dial while no letter waits or is on the wire: at the start, after trouble, and from time to time.
// Until it is back nothing is claimed: a letter would have to dial too, and takes the probe's connection instead. When it
// is not yet the time, next is when to ask again.
func (e *engine) probe(now time.Time) (next time.Time) {
	if e.draining || e.failures > 0 || e.look || e.inFlight() > 0 {
		return time.Time{}
	}
	next = e.probeAt
	if e.troubles > 0 {
		next = e.resume
	}
	if now.Before(next) {
		return next
	}
	last := len(e.free) - 1
	w := e.free[last]
	e.free = e.free[:last]
	e.probing = true
	e.workers[w].probes <- struct{}{}
	return time.Time{}
}

// probed draws from a probe what it says about the server.
func (e *engine) probed(r result) {
	e.probing = false
	switch {
	case r.untried:
	case r.err != nil:
		e.trouble(r)
	default:
		e.well()
	}
}

// well notes that the server speaks with us.
func (e *engine) well() {
	e.probeAt = e.opts.Now().Add(probeEvery)
	if e.troubles > 0 {
		e.troubles = 0
		e.set(&e.troubled, nil)
		e.opts.Log.Info("outbox: letters can be sent again")
	}
}

// probe dials afresh: a connection that stands may be one that the server has forgotten. The new one is kept for the next
// letter.
func (w *worker) probe(dialing context.Context) result {
	w.hangUp()
	err := w.dial(dialing)
	return result{worker: w.id, probe: true, err: err, undialed: err != nil, untried: err != nil && dialing.Err() != nil, warm: err == nil}
}

func (w *worker) dial(ctx context.Context) error {
	conn, err := w.outbox.transport.Dial(ctx)
	if err != nil {
		return err
	}
	w.conn = conn
	w.outbox.open.Add(1)
	w.outbox.reached()
	return nil
}
