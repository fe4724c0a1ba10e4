package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/returnpost/returnpost/mailbox"
)

// Mailbox is a watched mailbox as the ledger knows it.
type Mailbox struct {
	ID         int64
	Name       string
	Address    string
	Started    time.Time // when it was first registered: what was there before is history
	Sending    int64     // its acknowledgements' sending
	Subaddress *bool     // whether mail to LOCAL+TOKEN@ arrives; nil: not tried yet
}

// sendingKindMailbox marks the sendings whose recipients are arrivals.
const sendingKindMailbox = "mailbox"

// RegisterMailbox makes a mailbox known by its name in the configuration, or gives back what is known of it.
func (db *DB) RegisterMailbox(ctx context.Context, name, address string) (Mailbox, error) {
	box, err := db.readMailbox(ctx, db, name)
	if err != nil || box.ID != 0 && box.Address == address {
		return box, err
	}
	err = db.write(ctx, fmt.Sprintf("register the mailbox %q", name), func(t *tx) error {
		if _, err := t.exec(`INSERT INTO sendings (kind, name, created) VALUES ($1, $2, $3) ON CONFLICT (kind, name) DO NOTHING`,
			sendingKindMailbox, name, t.now); err != nil {
			return err
		}
		_, err := t.exec(`INSERT INTO mailboxes (name, address, sending, started)
			SELECT $1, $2, id, $3 FROM sendings WHERE kind = $4 AND name = $1
			ON CONFLICT (name) DO UPDATE SET address = excluded.address`, name, address, t.now, sendingKindMailbox)
		return err
	})
	if err != nil {
		return Mailbox{}, err
	}
	return db.readMailbox(ctx, db, name)
}

// SetSubaddress records whether mail to LOCAL+TOKEN@ of the mailbox arrives.
func (db *DB) SetSubaddress(ctx context.Context, name string, works bool) error {
	return db.write(ctx, fmt.Sprintf("note whether sub-addressing works for the mailbox %q", name), func(t *tx) error {
		n, err := t.exec(`UPDATE mailboxes SET subaddress = $2 WHERE name = $1`, name, truth(works))
		if err == nil && n == 0 {
			return unregistered(name)
		}
		return err
	})
}

func unregistered(name string) error { return refuse("the mailbox %q is not registered", name) }

func (db *DB) readMailbox(ctx context.Context, q queryer, name string) (Mailbox, error) {
	found, err := rows(ctx, q, func(s scanner, b *Mailbox) error {
		var started moment
		var subaddress sql.NullInt64
		err := s.Scan(&b.ID, &b.Name, &b.Address, &started, &b.Sending, &subaddress)
		if b.Started = started.Time; subaddress.Valid {
			works := subaddress.Int64 == 1
			b.Subaddress = &works
		}
		return err
	}, `SELECT id, name, address, started, sending, subaddress FROM mailboxes WHERE name = $1`, name)
	if err != nil {
		return Mailbox{}, fmt.Errorf("store: read the mailbox %q: %w", name, sentence(err))
	}
	if len(found) == 0 {
		return Mailbox{}, nil
	}
	return found[0], nil
}

// box is the ids of a registered mailbox, which never change once committed.
func (db *DB) box(ctx context.Context, name string) (Mailbox, error) {
	if known, ok := db.boxes.Load(name); ok {
		return known.(Mailbox), nil
	}
	box, err := db.readMailbox(ctx, db, name)
	if err == nil && box.ID == 0 {
		err = unregistered(name)
	}
	if err == nil {
		db.boxes.Store(name, box)
	}
	return box, err
}

// Resume says up to where a mailbox is done: what was there when watching began, and every arrival recorded since. The
// ledger itself is the cursor, so it can neither run ahead of the arrivals nor fall behind. It implements mailbox.Cursor.
func (db *DB) Resume(ctx context.Context, name string) (p mailbox.Position, err error) {
	var highest int64
	err = db.readers.QueryRowContext(ctx, db.d.spelled(`SELECT m.uidvalidity, m.uid,
			coalesce((SELECT max(a.uid) FROM arrivals a WHERE a.mailbox = m.id AND a.uidvalidity = m.uidvalidity), 0)
		FROM mailboxes m WHERE m.name = $1`), name).Scan(&p.UIDValidity, &p.UID, &highest)
	if errors.Is(err, sql.ErrNoRows) {
		return mailbox.Position{}, nil
	}
	if err != nil {
		return mailbox.Position{}, fmt.Errorf("store: find where the mailbox %q was left: %w", name, sentence(err))
	}
	p.UID = max(p.UID, uint32(highest))
	return p, nil
}

// Begin records where watching begins: at the first start behind all that is there, after a change of UIDVALIDITY, or
// where the server counts lower than before, where the watcher says. Resume goes on from there: arrivals under this
// UIDVALIDITY with higher numbers are of a time before, and make room. messages is how many there are. It implements
// mailbox.Cursor.
func (db *DB) Begin(ctx context.Context, name string, p mailbox.Position, messages uint32) error {
	return db.write(ctx, fmt.Sprintf("note where watching the mailbox %q begins", name), func(t *tx) error {
		n, err := t.exec(`UPDATE mailboxes SET uidvalidity = $2, uid = $3, history = $4 WHERE name = $1`,
			name, int64(p.UIDValidity), int64(p.UID), int64(messages))
		if err == nil && n == 0 {
			return unregistered(name)
		}
		if err != nil {
			return err
		}
		_, err = t.exec(`UPDATE arrivals SET uidvalidity = -id WHERE uidvalidity = $2 AND uid > $3
			AND mailbox = (SELECT id FROM mailboxes WHERE name = $1)`, name, int64(p.UIDValidity), int64(p.UID))
		return err
	})
}
