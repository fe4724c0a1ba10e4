package store

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// The scopes of a suppression. Dead: no mail at all. ComplainedAck: no acknowledgements either; the others stop campaigns
// and series only, and a person who writes is still answered.
const (
	ScopeDead          = "dead"
	ScopeComplained    = "complained"
	ScopeComplainedAck = "complained-ack"
	ScopeUnsubscribed  = "unsubscribed"
	ScopeErased        = "erased"
)

var scopes = []string{ScopeDead, ScopeComplained, ScopeComplainedAck, ScopeUnsubscribed, ScopeErased}

// Suppression says that an address must not be written to, and why.
type Suppression struct {
	Scope, Reason string
	At            time.Time // when it began
}

// Suppress records that an address must not be written to. Repeated, it keeps the first time and the last reason.
func (db *DB) Suppress(ctx context.Context, address, scope, reason string) error {
	if !slices.Contains(scopes, scope) {
		return refuse("there is no suppression called %q; there are %v", scope, scopes)
	}
	if reason == "" {
		reason = scope
	}
	return db.write(ctx, "suppress "+address, func(t *tx) error {
		_, err := t.exec(`INSERT INTO suppressions (address, scope, reason, at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (address, scope) DO UPDATE SET reason = excluded.reason`, addressKey(address), scope, clean(reason, maxLine), t.now)
		return err
	})
}

// Suppression is everything that stands against writing to an address; none: nothing does.
func (db *DB) Suppression(ctx context.Context, address string) ([]Suppression, error) {
	found, err := rows(ctx, db, func(s scanner, p *Suppression) error {
		var at moment
		err := s.Scan(&p.Scope, &p.Reason, &at)
		p.At = at.Time
		return err
	}, `SELECT scope, reason, at FROM suppressions WHERE address = $1 ORDER BY at, scope`, addressKey(address))
	if err != nil {
		return nil, fmt.Errorf("store: read what stands against writing to %s: %w", address, sentence(err))
	}
	return found, nil
}
