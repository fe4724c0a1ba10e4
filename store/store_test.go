package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/returnpost/returnpost/e2e/servers"
	"github.com/returnpost/returnpost/mailbox"
	"github.com/returnpost/returnpost/outbox"
)

// What *DB is for others.
var (
	_ outbox.Queue   = (*DB)(nil)
	_ mailbox.Cursor = (*DB)(nil)
)

// clock is a clock that tests turn by hand.
type clock struct {
	sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.Lock()
	defer c.Unlock()
	return c.at
}

func (c *clock) turn(d time.Duration) {
	c.Lock()
	defer c.Unlock()
	c.at = c.at.Add(d)
}

// ledger is a database under test, with its clock and the way to open it again.
type ledger struct {
	*DB
	t     testing.TB
	clock *clock
	url   string
}

// onBoth runs a test on SQLite and on PostgreSQL.
func onBoth(t *testing.T, test func(t *testing.T, l *ledger)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, open(t, filepath.Join(t.TempDir(), "ledger.db")))
	})
	t.Run("postgresql", func(t *testing.T) {
		t.Parallel()
		test(t, open(t, servers.PostgreSQL(t)))
	})
}

func open(t testing.TB, url string) *ledger {
	t.Helper()
	l := &ledger{t: t, url: url, clock: &clock{at: time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)}}
	l.DB = l.another()
	return l
}

// another opens the same database a second time, as another process would.
func (l *ledger) another() *DB {
	l.t.Helper()
	db, err := Open(l.t.Context(), l.url, Options{Now: l.clock.now})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { db.Close() })
	return db
}

func (l *ledger) box(name string) Mailbox {
	l.t.Helper()
	box, err := l.RegisterMailbox(l.t.Context(), name, name+"@shop.example")
	if err != nil {
		l.t.Fatal(err)
	}
	return box
}

// letter is an arrival that a person waits behind and that would be acknowledged: a fresh thread from a sender.
func (l *ledger) letter(uid uint32, from, subject string) Arrival {
	now := l.clock.now()
	id := fmt.Sprintf("<%d.%s>", uid, from)
	return Arrival{
		Mailbox: "support", UIDValidity: 7, UID: uid, Seen: now, Internal: now, Hash: content(id + subject),
		MessageID: id, From: from, FromName: "Li", Subject: subject, ThreadSubject: subject,
		Kind: "person", Reason: "new-thread", Language: "zh",
		Acknowledge: true, Waits: true,
		Promise: Promise{By: now.Add(8 * time.Hour), Rule: "gold", Alert: "owner@shop.example", Basis: "respond_within 8h"},
		Ack: &Ack{From: "support@shop.example", To: from, MessageID: fmt.Sprintf("<ack.%d.%s>", uid, from), Bytes: []byte("Subject: Re: " + subject + "\r\n\r\n"),
			StaleAt: now.Add(8 * time.Hour), Occasion: []byte(`{"to":"` + from + `"}`)},
	}
}

func content(text string) (hash [16]byte) {
	sum := sha256.Sum256([]byte(text))
	copy(hash[:], sum[:])
	return hash
}

// acknowledge records arrivals and wants no error.
func (l *ledger) acknowledge(batch ...Arrival) []Verdict {
	l.t.Helper()
	verdicts, err := l.Acknowledge(l.t.Context(), batch)
	if err != nil {
		l.t.Fatal(err)
	}
	return verdicts
}

// settle settles and wants no error.
func (l *ledger) settle(room int, finished ...outbox.Outcome) ([]outbox.Delivery, time.Time) {
	l.t.Helper()
	claimed, next, err := l.Settle(l.t.Context(), finished, room)
	if err != nil {
		l.t.Fatal(err)
	}
	return claimed, next
}

func (l *ledger) outcome(d outbox.Delivery, state outbox.State) outbox.Outcome {
	return outbox.Outcome{Sending: d.Sending, Recipient: d.Recipient, State: state, At: l.clock.now()}
}

// all reads a listing to its end.
func all[T any](t testing.TB, list iter.Seq2[T, error]) (rows []T) {
	t.Helper()
	for row, err := range list {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

// reasons are the verdicts in words: "new-thread+" with an acknowledgement, "=" in front of what was known.
func reasons(verdicts []Verdict) (words []string) {
	for _, v := range verdicts {
		word := v.Reason
		if v.Acknowledged {
			word += "+"
		}
		if v.Known {
			word = "=" + word
		}
		words = append(words, word)
	}
	return words
}

// count runs a query that gives one number.
func (l *ledger) count(query string, args ...any) (n int) {
	l.t.Helper()
	if err := l.readers.QueryRowContext(context.Background(), query, args...).Scan(&n); err != nil {
		l.t.Fatal(err)
	}
	return n
}
