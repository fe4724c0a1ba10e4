package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	recheck     = 100 * time.Millisecond // at least between two looks at a queue that says something is due and gives nothing
	maxGather   = 2 * time.Millisecond   // to wait for further outcomes before a commit
	settleGrace = 4 * time.Second        // to record the last outcomes after the drain
	maxLosses   = 3                      // connections that end in the middle of one letter before it is put off
	maxLost     = 1000                   // letters of which such connections are counted
	fewerFor    = time.Minute            // that a refused further connection is not asked for again
)

// queuePauses are between attempts to record outcomes that could not be.
var queuePauses = []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second, 30 * time.Second}

// key names a delivery.
type key struct{ sending, recipient int64 }

// engine is one Run: the coordinating goroutine's state. Workers see none of it.
type engine struct {
	*Outbox
	workers  []*worker
	free     []int // workers without a letter, those with a standing connection last: they are taken first
	results  chan result
	limiter  *rate.Limiter
	finished []result // not recorded yet
	outcomes []Outcome

	look     bool      // the queue may hold something that can be claimed
	due      time.Time // when it will; zero: nothing waits
	draining bool

	commit, carried time.Duration // what the last Settle and the last letter took

	failures int // of Settle, in a row
	retry    time.Time

	troubles int // pauses of the server's making, in a row; while not 0 one letter at a time tries
	resume   time.Time
	probing  bool      // a worker dials without a letter
	probeAt  time.Time // when to dial again without a letter while all is well
	few      int       // connections that the server lets us have, until fewUntil
	fewUntil time.Time
	lost     map[key]int // connections that ended in the middle of this letter
}

func newEngine(o *Outbox) *engine {
	n := o.opts.Connections
	e := &engine{Outbox: o, results: make(chan result, n), look: true, few: n, lost: map[key]int{}}
	if o.opts.Rate > 0 {
		e.limiter = rate.NewLimiter(rate.Limit(o.opts.Rate), max(1, int(o.opts.Rate/10)))
	}
	for i := range n {
		e.workers = append(e.workers, &worker{outbox: o, id: i, letters: make(chan Delivery, 1), probes: make(chan struct{}, 1)})
		e.free = append(e.free, i)
	}
	return e
}

func (e *engine) run(ctx context.Context) error {
	base := context.WithoutCancel(ctx)
	dialing, stopDialing := context.WithCancel(base)
	sending, cut := context.WithCancel(base)
	settling, giveUp := context.WithCancel(base)
	ended := make(chan struct{})
	var group sync.WaitGroup
	for _, w := range e.workers {
		group.Go(func() { w.work(dialing, sending, e.results) })
	}
	group.Go(func() { // the drain's bounds, kept even while the engine waits for the queue
		if !wait(ctx.Done(), ended) {
			return
		}
		stopDialing()
		if wait(time.After(e.opts.DrainTimeout), ended) {
			cut()
		}
		if wait(time.After(settleGrace), ended) {
			giveUp()
		}
	})
	err := e.loop(ctx, settling)
	close(ended)
	for _, w := range e.workers {
		close(w.letters)
	}
	group.Wait()
	stopDialing()
	cut()
	giveUp()
	return err
}

// wait returns true when event happens and false when the run ends before.
func wait[T any](event <-chan T, ended <-chan struct{}) bool {
	select {
	case <-event:
		return true
	case <-ended:
		return false
	}
}

// loop waits for an outcome, a wake-up or a due time, and settles. While there is nothing to do nothing moves but a probe
// every few minutes.
func (e *engine) loop(ctx, settling context.Context) error {
	done := ctx.Done()
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	for {
		if ctx.Err() != nil {
			e.draining, done = true, nil
		}
		now := e.opts.Now()
		room, next := e.room(now)
		switch {
		case e.draining && len(e.finished) == 0 && e.inFlight() == 0:
			return nil
		case settling.Err() != nil:
			return fmt.Errorf("outbox: the program stopped before %d outcomes could be recorded; those letters will be in doubt: %w",
				len(e.finished)+e.inFlight(), e.unrecorded())
		case e.failures > 0 && now.Before(e.retry):
			next = e.retry
		case len(e.finished) > 0 || room > 0 || e.failures > 0:
			e.settle(ctx, settling, room)
			continue
		}
		if at := e.probe(now); next.IsZero() || !at.IsZero() && at.Before(next) {
			next = at
		}
		var ring <-chan time.Time
		alarm.Stop()
		if !next.IsZero() {
			alarm.Reset(next.Sub(now))
			ring = alarm.C
		}
		select {
		case r := <-e.results:
			e.take(r)
			e.gather()
		case <-e.wake:
			e.look = true
		case <-ring:
		case <-done:
		case <-settling.Done():
		}
	}
}

// unrecorded is why the last outcomes were not recorded in time.
func (e *engine) unrecorded() error {
	if e.unsaved == nil || errors.Is(e.unsaved, context.Canceled) {
		return errors.New("the database took too long")
	}
	return e.unsaved
}

// gather takes what else has finished, so that one commit records it all. Where a commit takes longer than a letter it
// waits a little for the letters in flight: otherwise the connections fall into two groups whose commits take turns, and
// a third of the throughput is lost.
func (e *engine) gather() {
	var up <-chan time.Time
	if e.inFlight() > 0 && e.carried < e.commit {
		up = time.After(min(e.commit/2, maxGather))
	}
	for e.inFlight() > 0 {
		select {
		case r := <-e.results:
			e.take(r)
			continue
		default:
		}
		if up == nil {
			return
		}
		select {
		case r := <-e.results:
			e.take(r)
		case <-up:
			up = nil
		}
	}
}

func (e *engine) inFlight() int { return len(e.workers) - len(e.free) }

// room is how many more letters may be claimed now; when it is 0 because of the time, next is when to ask again.
func (e *engine) room(now time.Time) (room int, next time.Time) {
	if e.draining || e.failures > 0 || e.probing {
		return 0, time.Time{}
	}
	if !e.look {
		if e.due.IsZero() || now.Before(e.due) {
			return 0, e.due
		}
		e.look = true
	}
	if now.Before(e.resume) {
		return 0, e.resume
	}
	limit := len(e.workers)
	if now.Before(e.fewUntil) {
		limit = e.few
		next = e.fewUntil
	}
	if e.troubles > 0 {
		limit = 1
	}
	room = limit - e.inFlight()
	if room <= 0 {
		return 0, next
	}
	if e.limiter != nil {
		tokens := e.limiter.TokensAt(now)
		if tokens < 1 {
			wait := time.Duration((1-tokens)/e.opts.Rate*float64(time.Second)) + time.Microsecond
			return 0, now.Add(wait)
		}
		room = min(room, int(tokens))
	}
	return room, time.Time{}
}

// settle records what is finished and claims up to room letters, in one commit; only then are the letters handed out.
func (e *engine) settle(ctx, settling context.Context, room int) {
	e.outcomes = e.outcomes[:0]
	for _, r := range e.finished {
		e.outcomes = append(e.outcomes, r.outcome)
	}
	began := e.opts.Now()
	claimed, next, err := e.queue.Settle(settling, e.outcomes, room)
	now := e.opts.Now()
	e.commit = now.Sub(began)
	if err != nil {
		pause := queuePauses[min(e.failures, len(queuePauses)-1)]
		e.failures++
		e.retry = now.Add(pause)
		e.set(&e.unsaved, err)
		e.opts.Log.Warn("outbox: outcomes cannot be recorded", "outcomes", len(e.finished), "again_in", pause, "error", err)
		return
	}
	if e.failures > 0 {
		e.failures = 0
		e.set(&e.unsaved, nil)
	}
	for _, r := range e.finished {
		e.tell(r)
	}
	clear(e.finished) // their letters' bytes are not held any longer
	e.finished = e.finished[:0]
	e.due = next
	if room > 0 {
		e.look = len(claimed) >= room
		if !next.IsZero() && !next.After(now) {
			e.due = now.Add(recheck)
		}
	}
	if e.limiter != nil {
		e.limiter.ReserveN(now, min(len(claimed), room)) // room was no more than there is, so nothing has to wait
	}
	for _, d := range claimed {
		e.handOut(ctx, d)
	}
}

// handOut gives a claimed letter to a worker, the one with the freshest connection first. A letter claimed while the
// program was told to stop, or beyond the room that the queue was given, goes back.
func (e *engine) handOut(ctx context.Context, d Delivery) {
	if ctx.Err() != nil || len(e.free) == 0 {
		r := result{worker: -1, delivery: d, untried: true}
		r.outcome = e.judge(r, Reply{}, e.opts.Now())
		e.finished = append(e.finished, r)
		return
	}
	last := len(e.free) - 1
	w := e.free[last]
	e.free = e.free[:last]
	e.workers[w].letters <- d
}

// take accepts a worker's report and draws from it what it says about the server.
func (e *engine) take(r result) {
	if r.warm {
		e.free = append(e.free, r.worker)
	} else {
		e.free = slices.Insert(e.free, 0, r.worker)
	}
	if r.probe {
		e.probed(r)
		return
	}
	e.carried = r.took
	var lost *Lost
	var doubtful *Doubtful
	var unavailable *Unavailable
	id := key{r.delivery.Sending, r.delivery.Recipient}
	switch {
	case r.untried:
	case errors.As(r.err, &lost):
		e.trouble(r)
		if len(e.lost) > maxLost { // letters that were canceled before their next attempt
			clear(e.lost)
		}
		if e.lost[id]++; e.lost[id] >= maxLosses {
			// A letter that ends every connection must not hold up all others for ever.
			delete(e.lost, id)
			r.outcome.State = Deferred
			r.outcome = e.postpone(r.outcome, r.delivery)
		}
	case r.undialed || errors.As(r.err, &unavailable) || errors.As(r.err, &doubtful):
		e.trouble(r)
	default: // the server speaks with us
		delete(e.lost, id)
		e.well()
	}
	e.look = e.look || r.outcome.State == Queued
	e.finished = append(e.finished, r)
}

// trouble pauses the outbox, longer each time. Where other connections stand the server only wants fewer of them.
func (e *engine) trouble(r result) {
	if e.draining {
		return // connections that the drain cut
	}
	now := e.opts.Now()
	if open := int(e.open.Load()); r.undialed && !r.probe && open > 0 {
		e.few, e.fewUntil = open, now.Add(fewerFor)
		e.opts.Log.Info("outbox: the server wants fewer connections", "connections", open, "error", r.err)
		return
	}
	if now.Before(e.resume) {
		return // the same trouble, met by several connections
	}
	var permanent *Permanent
	if errors.As(r.err, &permanent) { // asking again and again with a wrong password locks accounts
		e.troubles = max(e.troubles, 4)
	}
	var lost *Lost
	var doubtful *Doubtful
	once := errors.As(r.err, &lost) || errors.As(r.err, &doubtful) // a single connection that ended is no news for Health
	if !once || e.troubles > 0 {
		e.set(&e.troubled, r.err)
	}
	pause := jitter(e.opts.Troubles[min(e.troubles, len(e.opts.Troubles)-1)])
	e.troubles++
	e.resume = now.Add(pause)
	e.opts.Log.Warn("outbox: letters cannot be sent", "again_in", pause.Round(time.Millisecond), "error", r.err)
}

// tell reports a recorded outcome.
func (e *engine) tell(r result) {
	if e.opts.OnOutcome != nil {
		e.opts.OnOutcome(r.delivery, r.outcome)
	}
	if !e.opts.Log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	e.opts.Log.Debug("outbox: "+r.outcome.State.String(), "sending", r.delivery.Sending, "recipient", r.delivery.Recipient,
		"to", Redact(r.delivery.To), "code", r.outcome.Code, "status", r.outcome.Status, "words", Redact(r.outcome.Words), "due", r.outcome.Due)
}
