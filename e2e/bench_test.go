package e2e

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/returnpost/returnpost/e2e/servers"
	"github.com/returnpost/returnpost/internal/mailtest"
)

// The benchmarks run the built binary on real servers, once each whatever b.N is, and say their figures in a line of
// metrics: `make bench`, or a part of it by `make bench BENCH=burst`.

const large = 100_000 // messages in a large mailbox

// figures replaces the time per operation, which says nothing here.
func figures(b *testing.B, metrics map[string]float64) {
	b.Helper()
	b.ReportMetric(0, "ns/op")
	for unit, v := range metrics {
		b.ReportMetric(v, unit)
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// quantile of sorted durations.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func countingSink(b *testing.B, onMessage func(mailtest.Received)) *mailtest.SMTP {
	b.Helper()
	sink, err := mailtest.StartSMTP(mailtest.SMTPOptions{CountOnly: true, OnMessage: onMessage})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { sink.Close() })
	return sink
}

// commits measures raw durable commits, one row of the size of an acknowledgement each, in the folder given.
func commits(b *testing.B, folder string) []time.Duration {
	b.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(folder, "commits.db")+"?_pragma=journal_mode(wal)&_pragma=synchronous(full)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE rows (id INTEGER PRIMARY KEY, bytes BLOB)"); err != nil {
		b.Fatal(err)
	}
	row := bytes.Repeat([]byte("acknowledgement "), 512)
	var took []time.Duration
	for range 200 {
		begin := time.Now()
		if _, err := db.Exec("INSERT INTO rows (bytes) VALUES ($1)", row); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	return took
}

// BenchmarkCommit is what one durable commit costs on this machine, without anything of ours.
func BenchmarkCommit(b *testing.B) {
	took := commits(b, b.TempDir())
	figures(b, map[string]float64{"p50-ms": ms(quantile(took, .5)), "p99-ms": ms(quantile(took, .99))})
}

// instants are those of one letter's way.
type instants struct{ told, answered chan time.Time }

func newInstants() instants {
	return instants{told: make(chan time.Time, 1000), answered: make(chan time.Time, 1000)}
}

// tap sees EXISTS responses (RFC 3501 §7.3.1) as the server sends them.
func (i instants) tap() func(sent []byte) {
	return func(sent []byte) {
		if bytes.Contains(sent, []byte(" EXISTS\r\n")) {
			select {
			case i.told <- time.Now():
			default:
			}
		}
	}
}

// latency delivers letters one after the other and reports the time from the server's EXISTS, and from the
// delivery, to the SMTP server's 250.
func latency(b *testing.B, d *daemon, i instants, letters int, deliver func(letter []byte)) {
	b.Helper()
	raw := commits(b, filepath.Dir(d.config))
	var fromTold, fromDelivery []time.Duration
	write := customer("latency")
	for n := range letters {
		for len(i.told) > 0 {
			<-i.told
		}
		delivered := time.Now()
		deliver(write(n))
		select {
		case answered := <-i.answered:
			fromDelivery = append(fromDelivery, answered.Sub(delivered))
			fromTold = append(fromTold, answered.Sub(<-i.told))
		case <-time.After(patience):
			b.Fatalf("letter %d was not acknowledged within %v", n, patience)
		}
	}
	slices.Sort(fromTold)
	slices.Sort(fromDelivery)
	_, peak := d.memory()
	commit := quantile(raw, .5)
	figures(b, map[string]float64{
		"EXISTS-p50-ms": ms(quantile(fromTold, .5)), "EXISTS-p99-ms": ms(quantile(fromTold, .99)),
		"delivery-p50-ms": ms(quantile(fromDelivery, .5)), "commit-p50-ms": ms(commit), "peak-MB": float64(peak) / (1 << 20),
	})
	b.Logf("%d letters one by one, %d messages in the mailbox: from EXISTS to 250 p50 %.1f ms (of it two durable commits %.1f ms), p99 %.1f ms; from delivery p50 %.1f ms; resident at most %.1f MB",
		letters, large, ms(quantile(fromTold, .5)), ms(2*commit), ms(quantile(fromTold, .99)), ms(quantile(fromDelivery, .5)), float64(peak)/(1<<20))
}

// BenchmarkLatencyDovecot: 100,000 messages in Dovecot. Dovecot holds IDLE's news back for about half a second, which
// is in the time from the delivery and not in the time from EXISTS.
func BenchmarkLatencyDovecot(b *testing.B) {
	dovecot := servers.Dovecot(b, servers.DovecotOptions{})
	dovecot.AddUser(b, support, secret)
	took := dovecot.Fill(b, support, "INBOX", large, customer("old"))
	b.Logf("Dovecot filled with %d messages in %v", large, took)
	i := newInstants()
	sink := countingSink(b, func(mailtest.Received) { i.answered <- time.Now() })
	tap := servers.NewTap(b, dovecot.IMAPAddr(), i.tap)
	s := newShop(b, plain(sink.Addr()), box{Name: "support", Address: support, IMAP: login(plain(tap.Addr()), support, secret)})
	d := serve(b, s)
	latency(b, d, i, 100, func(raw []byte) { dovecot.Deliver(b, "customer@latency.example", support, raw) })
}

// BenchmarkLatencyMemory: 100,000 messages in a server that holds nothing back.
func BenchmarkLatencyMemory(b *testing.B) {
	imap, err := mailtest.StartIMAP(mailtest.IMAPOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer imap.Close()
	imap.AddUser(support, secret)
	write := customer("old")
	if err := imap.Fill(support, "INBOX", large, time.Now(), func(uid uint32) []byte { return write(int(uid)) }); err != nil {
		b.Fatal(err)
	}
	i := newInstants()
	sink := countingSink(b, func(mailtest.Received) { i.answered <- time.Now() })
	tap := servers.NewTap(b, imap.Addr(), i.tap)
	s := newShop(b, plain(sink.Addr()), box{Name: "support", Address: support, IMAP: login(plain(tap.Addr()), support, secret)})
	d := serve(b, s)
	latency(b, d, i, 500, func(raw []byte) {
		if _, err := imap.Append(support, "INBOX", raw, time.Now()); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkBurst: 5,000 letters wait in Dovecot when the daemon starts.
func BenchmarkBurst(b *testing.B) { burst(b, 5000, "") }

func BenchmarkBurstPostgreSQL(b *testing.B) { burst(b, 5000, servers.PostgreSQL(b)) }

func burst(b *testing.B, n int, database string) {
	var mu sync.Mutex
	var first, last time.Time
	sink := countingSink(b, func(mailtest.Received) {
		now := time.Now()
		mu.Lock()
		defer mu.Unlock()
		if first.IsZero() {
			first = now
		}
		last = now
	})
	dovecot := servers.Dovecot(b, servers.DovecotOptions{})
	dovecot.AddUser(b, support, secret)
	s := newShop(b, plain(sink.Addr())+", connections: 10", box{Name: "support", Address: support, IMAP: login(plain(dovecot.IMAPAddr()), support, secret)})
	s.Database = database
	serve(b, s).terminate() // the very first start, on an empty mailbox
	dovecot.Fill(b, support, "INBOX", n, customer("burst"))

	d := launch(b, s)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := sink.Wait(ctx, n); err != nil {
		b.Fatalf("%v\n%s", err, d.logTail())
	}
	mu.Lock()
	whole, flow := last.Sub(d.started), last.Sub(first)
	mu.Unlock()
	d.healthy()
	_, peak := d.memory()
	cpu := d.cpu()
	d.terminate()
	if got := sink.Count(); got != n {
		b.Errorf("%d acknowledgements for %d letters", got, n)
	}
	figures(b, map[string]float64{
		"acks/s": float64(n) / flow.Seconds(), "acks/s-from-start": float64(n) / whole.Seconds(),
		"CPU-ms/ack": ms(cpu) / float64(n), "peak-MB": float64(peak) / (1 << 20),
	})
	b.Logf("%d letters from as many senders waiting in Dovecot: %.0f acknowledgements a second between the first and the last, %.0f from the start of the process; %.2f ms of CPU each; resident at most %.1f MB",
		n, float64(n)/flow.Seconds(), float64(n)/whole.Seconds(), ms(cpu)/float64(n), float64(peak)/(1<<20))
}

// BenchmarkStart: with 100,000 messages in the mailbox and 100,000 arrivals in the database, from the start of the
// process until every mailbox is watched. The arrivals come about as in life: they are acknowledged first, which is
// also the burst in its longest form.
func BenchmarkStart(b *testing.B) {
	dovecot := servers.Dovecot(b, servers.DovecotOptions{})
	dovecot.AddUser(b, support, secret)
	sink := countingSink(b, nil)
	s := newShop(b, plain(sink.Addr())+", connections: 10", box{Name: "support", Address: support, IMAP: login(plain(dovecot.IMAPAddr()), support, secret)})
	serve(b, s).terminate()
	dovecot.Fill(b, support, "INBOX", large, customer("start"))
	d := launch(b, s)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if err := sink.Wait(ctx, large); err != nil {
		b.Fatalf("%v\n%s", err, d.logTail())
	}
	whole := time.Since(d.started)
	_, burstPeak := d.memory()
	d.terminate()

	var starts []time.Duration
	var startPeak int64
	for range 5 {
		d := launch(b, s)
		await(b, "healthz 200", patience, func() error {
			if code, body := d.health(); code != 200 {
				return fmt.Errorf("%d %s", code, body)
			}
			return nil
		})
		starts = append(starts, time.Since(d.started))
		_, peak := d.memory()
		startPeak = max(startPeak, peak)
		d.terminate()
	}
	slices.Sort(starts)
	if got := sink.Count(); got != large {
		b.Errorf("%d acknowledgements for %d letters", got, large)
	}
	figures(b, map[string]float64{
		"start-p50-ms": ms(quantile(starts, .5)), "start-max-ms": ms(starts[len(starts)-1]), "start-peak-MB": float64(startPeak) / (1 << 20),
		"acks/s": large / whole.Seconds(), "burst-peak-MB": float64(burstPeak) / (1 << 20),
	})
	b.Logf("%d messages in the mailbox, %d arrivals in the database: watching %.0f ms after the start of the process (at most %.0f ms of 5), resident %.1f MB; they had been acknowledged at %.0f a second, resident at most %.1f MB",
		large, large, ms(quantile(starts, .5)), ms(starts[len(starts)-1]), float64(startPeak)/(1<<20), large/whole.Seconds(), float64(burstPeak)/(1<<20))
}

// BenchmarkKill is the kill test whole.
func BenchmarkKill(b *testing.B) {
	const n, kills = 2000, 30
	twice := killTest(b, n, kills)
	figures(b, map[string]float64{"letters": n, "kills": kills, "acknowledged-twice": float64(twice)})
}

// BenchmarkVacation is the peer: Dovecot's own Sieve vacation answers letters that come by ten LMTP connections, into
// the same SMTP server.
func BenchmarkVacation(b *testing.B) {
	const n, at = 1000, 10
	sink := countingSink(b, nil)
	dovecot := servers.Dovecot(b, servers.DovecotOptions{VacationThrough: sink.Addr()})
	dovecot.AddUser(b, support, secret)
	write := customer("vacation")
	begin := time.Now()
	var group sync.WaitGroup
	for c := range at {
		group.Go(func() {
			for i := c; i < n; i += at {
				dovecot.Deliver(b, fmt.Sprintf("c%d@vacation-%d.example", i, i), support, write(i))
			}
		})
	}
	group.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := sink.Wait(ctx, n); err != nil {
		b.Fatal(err)
	}
	rate := float64(n) / time.Since(begin).Seconds()
	figures(b, map[string]float64{"acks/s": rate})
	b.Logf("Dovecot's own Sieve vacation: %.0f answers a second to %d letters by %d LMTP connections", rate, n, at)
}

// cpu is what the process has used so far, in user and system time.
func (d *daemon) cpu() time.Duration {
	d.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	if err != nil {
		d.t.Fatal(err)
	}
	var user, system int64 // fields 14 and 15 of proc_pid_stat(5), in ticks of 10 ms
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	fmt.Sscan(fields[11]+" "+fields[12], &user, &system)
	return time.Duration(user+system) * 10 * time.Millisecond
}
