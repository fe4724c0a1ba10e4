package main

import (
	"log/slog"
	"time"

	"github.com/returnpost/returnpost/outbox"
	"github.com/returnpost/returnpost/responder"
)

// mailLog is the log of what happened to the mail, one line an event, apart
// from the log for debugging. It holds no content and no whole addresses.
type mailLog struct {
	log       *slog.Logger
	onEvent   func(responder.Event)                 // the demo listens here
	onOutcome func(outbox.Delivery, outbox.Outcome) // and here
}

// Decided logs what was decided on one arrival.
func (l *mailLog) Decided(e responder.Event) {
	attrs := []any{"mailbox", e.Mailbox, "arrival", e.Arrival, "from", outbox.Redact(e.From.Addr), "kind", e.Kind, "reason", e.Reason}
	switch {
	case e.Acknowledged:
		attrs = append(attrs, "language", e.Language, "ms", e.At.Sub(e.Noticed).Milliseconds())
		if !e.Promise.By.IsZero() {
			attrs = append(attrs, "promised", e.Promise.By.Format(time.RFC3339))
		}
		l.log.Info("acknowledged", attrs...)
	case e.Reason == responder.Broken:
		l.log.Warn("quarantined", append(attrs, "why", e.Evidence)...)
	case e.Reason == responder.NewThread && e.Evidence != "":
		l.log.Error("not acknowledged", append(attrs, "why", e.Evidence)...)
	case e.Reason == responder.NewThread:
		l.log.Info("observed", attrs...)
	default:
		l.log.Info("silent", append(attrs, "rule", e.Rule, "evidence", e.Evidence)...)
	}
	if e.Muted {
		l.log.Warn("muted", "mailbox", e.Mailbox, "from", outbox.Redact(e.From.Addr), "why", "it answers acknowledgements as fast as a robot; `returnpost arrivals unmute ADDRESS` lets it be answered again")
	}
	if l.onEvent != nil {
		l.onEvent(e)
	}
}

// Outcome logs what became of one delivery.
func (l *mailLog) Outcome(d outbox.Delivery, o outbox.Outcome) {
	attrs := []any{"to", outbox.Redact(d.To), "message_id", d.MessageID, "state", o.State.String()}
	if o.Words != "" {
		attrs = append(attrs, "code", o.Code, "status", o.Status, "words", outbox.Redact(o.Words))
	}
	switch o.State {
	case outbox.Sent:
		l.log.Info("sent", attrs...)
	case outbox.Queued:
		l.log.Info("put back", attrs...)
	default:
		attrs = append(attrs, "attempts", d.Attempts+1)
		if !o.Due.IsZero() {
			attrs = append(attrs, "again", o.Due)
		}
		l.log.Warn("not sent", attrs...)
	}
	if l.onOutcome != nil {
		l.onOutcome(d, o)
	}
}
