package store

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/returnpost/returnpost/e2e/servers"
	"github.com/returnpost/returnpost/outbox"
)

// benchmarks run on both databases.
func benchBoth(b *testing.B, run func(b *testing.B, l *ledger)) {
	b.Run("sqlite", func(b *testing.B) { run(b, open(b, filepath.Join(b.TempDir(), "ledger.db"))) })
	b.Run("postgresql", func(b *testing.B) { run(b, open(b, servers.PostgreSQL(b))) })
}

// strangers are n letters of strangers, each a new thread with an acknowledgement of 5.7 KB and three fuses.
func (l *ledger) strangers(first, n int) []Arrival {
	batch := make([]Arrival, n)
	for i := range batch {
		from := fmt.Sprintf("person%d@example%d.com", first+i, (first+i)%997)
		a := l.letter(uint32(first+i+1), from, fmt.Sprintf("A question about order %d", first+i))
		a.Ack.Bytes = bytes.Repeat([]byte("Dear customer, "), 380)
		a.Fuses = []Fuse{
			{"sender " + from, 3, 24 * time.Hour, "limit-sender"},
			{"domain " + fmt.Sprint((first+i)%997), 1 << 30, time.Hour, "limit-domain"},
			{"total", 1 << 30, time.Hour, "limit-total"},
		}
		batch[i] = a
	}
	return batch
}

func BenchmarkAcknowledge(b *testing.B) {
	for _, size := range []int{1, 200} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			benchBoth(b, func(b *testing.B, l *ledger) {
				l.box("support")
				first := 0
				for b.Loop() {
					b.StopTimer()
					batch := l.strangers(first, size)
					first += size
					b.StartTimer()
					l.acknowledge(batch...)
				}
				b.ReportMetric(float64(first)/b.Elapsed().Seconds(), "arrivals/s")
			})
		})
	}
}

func BenchmarkHistories(b *testing.B) {
	benchBoth(b, func(b *testing.B, l *ledger) {
		l.box("support")
		l.acknowledge(l.strangers(0, 2000)...)
		queries := make([]Query, 200)
		for i, a := range l.strangers(1900, len(queries)) {
			queries[i] = Query{Mailbox: a.Mailbox, From: a.From, ThreadSubject: a.ThreadSubject, MessageID: a.MessageID, Hash: a.Hash, Refs: []string{a.Ack.MessageID}}
		}
		for b.Loop() {
			if _, err := l.Histories(b.Context(), queries); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkSettle is the life of an acknowledgement in the outbox: claimed with others, sent, recorded.
func BenchmarkSettle(b *testing.B) {
	for _, room := range []int{1, 50, 200} {
		b.Run(fmt.Sprint(room), func(b *testing.B) {
			benchBoth(b, func(b *testing.B, l *ledger) {
				l.box("support")
				var finished []outbox.Outcome
				queued, sent := 0, 0
				for b.Loop() {
					if queued-sent < 2*room {
						b.StopTimer()
						n := max(10*room, 500)
						l.acknowledge(l.strangers(queued, n)...)
						queued += n
						b.StartTimer()
					}
					claimed, _ := l.settle(room, finished...)
					finished = finished[:0]
					for _, d := range claimed {
						o := l.outcome(d, outbox.Sent)
						o.Code, o.Words = 250, "2.0.0 Ok: queued as 4F1A"
						finished = append(finished, o)
					}
					sent += len(claimed)
				}
				b.ReportMetric(float64(sent)/b.Elapsed().Seconds(), "deliveries/s")
			})
		})
	}
}

// BenchmarkOneRow is the price of durability alone: one small row, one commit.
func BenchmarkOneRow(b *testing.B) {
	benchBoth(b, func(b *testing.B, l *ledger) {
		for b.Loop() {
			l.clock.turn(time.Second)
			if err := l.Health(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
