package responder

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/returnpost/returnpost/store"
)

// Refresh composes anew the acknowledgements that have waited in the outbox
// past their own promise: a letter must not arrive with a time already gone.
// The new promise counts from now. It returns how many were composed.
func Refresh(ctx context.Context, db *store.DB, policies map[string]*Policy, now time.Time) (int, error) {
	const batch = 100
	total := 0
	for {
		stale, err := db.AcksToRefresh(ctx, now, batch)
		if err != nil {
			return total, fmt.Errorf("find acknowledgements whose promise has passed: %w", err)
		}
		for _, s := range stale {
			if err := refresh(ctx, db, policies, s, now); err != nil {
				return total, err
			}
			total++
		}
		if len(stale) < batch {
			return total, nil
		}
	}
}

func refresh(ctx context.Context, db *store.DB, policies map[string]*Policy, s store.StaleAck, now time.Time) error {
	var o occasion
	if err := json.Unmarshal(s.Occasion, &o); err != nil {
		return db.CancelAck(ctx, s.Sending, s.Recipient, "its occasion cannot be read any more: "+err.Error())
	}
	p := policies[o.Mailbox]
	if p == nil {
		return db.CancelAck(ctx, s.Sending, s.Recipient, "mailbox "+o.Mailbox+" is no longer in the configuration")
	}
	member, err := db.Member(ctx, o.Member)
	if err != nil {
		return fmt.Errorf("look up member for a late acknowledgement: %w", err)
	}
	ack, pr, err := p.compose(&o, member, now)
	if err != nil {
		return db.CancelAck(ctx, s.Sending, s.Recipient, err.Error())
	}
	ack.Due = now
	if err := db.RefreshAck(ctx, s.Sending, s.Recipient, *ack, ledgerPromise(pr, &o)); err != nil {
		return fmt.Errorf("store a late acknowledgement: %w", err)
	}
	return nil
}
