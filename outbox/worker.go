package outbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
	"unicode/utf8"
)

// worker is the goroutine of one connection. The connection is dialled with a probe or the first letter and kept for the
// next ones.
type worker struct {
	outbox  *Outbox
	id      int
	letters chan Delivery // of capacity 1: the engine never waits
	probes  chan struct{} // of capacity 1 too
	conn    Conn
}

// result is what a worker reports of a letter or of a probe.
type result struct {
	worker   int  // -1: no worker had it
	probe    bool // there was no letter
	delivery Delivery
	outcome  Outcome
	err      error // nil when the server accepted the letter, or when it was not tried at all
	undialed bool  // err came from dialling
	untried  bool
	warm     bool // the worker's connection stands
	took     time.Duration
}

// work carries letters until the channel is closed. Dialling ends with dialing, transactions with sending.
func (w *worker) work(dialing, sending context.Context, results chan<- result) {
	idle := time.NewTimer(w.outbox.opts.IdleTimeout)
	defer idle.Stop()
	defer w.hangUp()
	for {
		var expired <-chan time.Time
		if w.conn != nil {
			idle.Reset(w.outbox.opts.IdleTimeout)
			expired = idle.C
		}
		select {
		case d, ok := <-w.letters:
			if !ok {
				return
			}
			results <- w.carry(dialing, sending, d)
		case <-w.probes:
			results <- w.probe(dialing)
		case <-expired:
			w.hangUp()
		}
	}
}

// carry makes one attempt.
func (w *worker) carry(dialing, sending context.Context, d Delivery) result {
	began := w.outbox.opts.Now()
	r := result{worker: w.id, delivery: d}
	var reply Reply
	for {
		if dialing.Err() != nil {
			r.untried = true
			break
		}
		kept := w.conn != nil
		if !kept {
			if err := w.dial(dialing); err != nil {
				r.err, r.undialed, r.untried = err, true, dialing.Err() != nil
				break
			}
		}
		reply, r.err = w.conn.Send(sending, d)
		if ended(r.err) || !w.conn.Alive() {
			w.hangUp()
		}
		// A kept connection may have been closed by the server while it was idle: that says nothing about the letter.
		if kept && ended(r.err) && sending.Err() == nil {
			continue
		}
		break
	}
	r.warm = w.conn != nil
	now := w.outbox.opts.Now()
	r.took = now.Sub(began)
	r.outcome = w.outbox.judge(r, reply, now)
	return r
}

// ended reports whether a session ended without a word about the letter: lost, or told to go (421) before the message.
func ended(err error) bool {
	var lost *Lost
	var later *Temporary
	return errors.As(err, &lost) || errors.As(err, &later) && later.Code == 421 && later.Stage != "message"
}

func (w *worker) hangUp() {
	if w.conn == nil {
		return
	}
	if err := w.conn.Close(); err != nil {
		w.outbox.opts.Log.Debug("outbox: a connection did not close well", "error", err)
	}
	w.conn = nil
	w.outbox.open.Add(-1)
}

// judge turns what happened to a letter into its outcome.
func (o *Outbox) judge(r result, reply Reply, now time.Time) Outcome {
	d := r.delivery
	out := Outcome{Sending: d.Sending, Recipient: d.Recipient, At: now.UTC()}
	say := func(state State, reply Reply, words string) Outcome {
		out.State, out.Code, out.Status, out.Words = state, reply.Code, reply.Status, cutWords(words)
		return out
	}
	var temporary *Temporary
	var permanent *Permanent
	var lost *Lost
	var unavailable *Unavailable
	switch {
	case r.untried:
		return say(Queued, Reply{}, "not sent: the program is stopping")
	case r.err == nil:
		return say(Sent, reply, reply.Words)
	case r.undialed || errors.As(r.err, &lost) || errors.As(r.err, &unavailable):
		return say(Queued, Reply{}, r.err.Error())
	case errors.As(r.err, &temporary):
		return o.postpone(say(Deferred, temporary.Reply, temporary.Words), d)
	case errors.As(r.err, &permanent):
		return say(Failed, permanent.Reply, permanent.Words)
	}
	if o.opts.HoldDoubt {
		return say(Doubt, Reply{}, r.err.Error()+"; it is held, not sent again")
	}
	return o.postpone(say(Doubt, Reply{}, r.err.Error()), d) // also what a Transport has no type for: unknown is doubt
}

// postpone sets when the next attempt is due. The last one is at the letter's MaxAge; after it what is Deferred has
// failed, and what is in doubt stays so.
func (o *Outbox) postpone(out Outcome, d Delivery) Outcome {
	last := d.Created.Add(o.opts.MaxAge).UTC()
	if !out.At.Before(last) {
		if out.State == Deferred {
			out.State = Failed
		}
		out.Words = cutWords(fmt.Sprintf("gave up after %s: %s", readable(o.opts.MaxAge), out.Words))
		return out
	}
	pause := o.opts.Pauses[min(max(d.Attempts, 0), len(o.opts.Pauses)-1)]
	out.Due = out.At.Add(jitter(pause))
	if out.Due.After(last) {
		out.Due = last
	}
	return out
}

// jitter spreads a pause by a tenth either way, so that what failed together does not come back together.
func jitter(pause time.Duration) time.Duration {
	return pause*9/10 + rand.N(pause/5+1)
}

func readable(d time.Duration) string {
	if d >= 48*time.Hour && d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return d.String()
}

// Redact shortens the addresses in a text for logs: l…@example.com.
func Redact(text string) string {
	words := strings.Fields(text)
	for i, word := range words {
		if at := strings.LastIndexByte(word, '@'); at > 0 {
			start := strings.LastIndexAny(word[:at], `<("':;,=`) + 1
			_, size := utf8.DecodeRuneInString(word[start:at])
			words[i] = word[:start+size] + "…" + word[at:]
		}
	}
	return strings.Join(words, " ")
}
