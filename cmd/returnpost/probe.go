package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/returnpost/returnpost/config"
	"github.com/returnpost/returnpost/mailbox"
	"github.com/returnpost/returnpost/outbox"
	"github.com/returnpost/returnpost/responder"
	"github.com/returnpost/returnpost/store"
)

const (
	probePatience = 30 * time.Second // how long a probe may take to arrive
	probeEvery    = 2 * time.Second
)

// probe finds out whether LOCAL+TOKEN@ reaches a mailbox: it sends a letter
// there, from the mailbox to itself, and looks for it. What was found is kept,
// and `serve` puts a token into its envelope senders where it works.
func (c *checker) probe(ctx context.Context, cfg *config.Config) {
	db, err := store.Open(ctx, cfg.Database, store.Options{Now: c.app.now})
	if err != nil {
		c.found("sub-addressing", "", err, "")
		return
	}
	for i := range cfg.Mailboxes {
		mb := &cfg.Mailboxes[i]
		works, err := c.probeMailbox(ctx, db, mb)
		detail := fmt.Sprintf("%s: mail to an address with +TOKEN arrives; bounces will name the acknowledgement they are about", mb.Name)
		if !works {
			detail = fmt.Sprintf("%s: mail to an address with +TOKEN did not arrive within %s; acknowledgements go out from the plain address", mb.Name, probePatience)
		}
		c.found("sub-addressing", mb.Name, err, detail)
	}
	if err := db.Close(); err != nil && c.err == nil {
		c.err = err
	}
}

func (c *checker) probeMailbox(ctx context.Context, db *store.DB, mb *config.Mailbox) (works bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	if _, err := db.RegisterMailbox(ctx, mb.Name, mb.Address); err != nil {
		return false, err
	}
	secret, err := db.Secret(ctx)
	if err != nil {
		return false, err
	}
	probe, err := responder.NewMarker(secret).Probe(mb.Address, c.app.now())
	if err != nil {
		return false, err
	}
	transport, err := outbox.NewTransport(mb.SMTP, outbox.Timeouts{})
	if err != nil {
		return false, err
	}
	conn, err := transport.Dial(ctx)
	if err != nil {
		return false, err
	}
	_, err = conn.Send(ctx, probe)
	if err = errors.Join(err, conn.Close()); err != nil {
		var refused *outbox.Permanent
		if !errors.As(err, &refused) {
			return false, fmt.Errorf("the probe could not be sent: %w", err)
		}
	} else if works, err = arrives(ctx, mb.IMAP, probe.MessageID); err != nil {
		return false, err
	}
	return works, db.SetSubaddress(context.WithoutCancel(ctx), mb.Name, works)
}

// arrives waits until a message is in a mailbox, or until ctx ends.
func arrives(ctx context.Context, cfg mailbox.Config, messageID string) (bool, error) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		found, err := mailbox.Find(ctx, cfg, messageID)
		switch {
		case ctx.Err() != nil:
			return false, nil
		case err != nil || found:
			return found, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false, nil
		}
	}
}
