package store

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/returnpost/returnpost/e2e/servers"
	"github.com/returnpost/returnpost/mailbox"
	"github.com/returnpost/returnpost/outbox"
)

// TestWaitingWritesShareACommit: what comes while a transaction is under way is the next one, all of it.
func TestWaitingWritesShareACommit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ledger.db")
	synctest.Test(t, func(t *testing.T) {
		db, err := Open(context.Background(), file, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var wg sync.WaitGroup
		release := make(chan bool)
		wg.Go(func() {
			db.write(context.Background(), "wait", func(*tx) error { <-release; return nil })
		})
		synctest.Wait()
		groups := map[*tx]int{}
		for range maxGroup + 100 {
			wg.Go(func() {
				if err := db.write(context.Background(), "count", func(t *tx) error { groups[t]++; return nil }); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait() // all stand in line
		close(release)
		wg.Wait()
		if len(groups) != 2 {
			t.Errorf("%d transactions", len(groups))
		}
		for _, n := range groups {
			if n != maxGroup && n != 100 {
				t.Errorf("%d jobs in a transaction", n)
			}
		}
	})
}

// TestOnlyTheGuiltyFails: one bad job among others in the same transaction.
func TestOnlyTheGuiltyFails(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		insert := func(name string) func(*tx) error {
			return func(t *tx) error {
				_, err := t.exec(`INSERT INTO settings (name, value) VALUES ($1, $2)`, name, []byte{1})
				return err
			}
		}
		jobs := []*job{
			{run: insert("a")},
			{run: insert("a")}, // a double
			{run: func(t *tx) error { _, err := t.exec(`SELECT nonsense`); return err }},
			{run: func(t *tx) error { return errors.Join(insert("b")(t), refuse("no")) }},
			{run: insert("c")},
		}
		for _, j := range jobs {
			j.done = make(chan error, 1)
		}
		// The writer's goroutine must not be in the way of this one.
		l.w.close()
		l.w.serve(jobs)
		for i, bad := range []bool{false, true, true, true, false} {
			if err := <-jobs[i].done; (err != nil) != bad {
				t.Errorf("job %d: %v", i, err)
			}
		}
		if n := l.count("SELECT count(*) FROM settings WHERE name IN ('a', 'c')"); n != 2 {
			t.Errorf("%d rows of the innocent", n)
		}
		if n := l.count("SELECT count(*) FROM settings WHERE name = 'b'"); n != 0 {
			t.Error("a refused job left a row")
		}
		l.w.disconnect()
	})
}

func TestClosedAndCanceled(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		// Whether it was taken before the cancellation was seen is open; what counts is that it ends, and honestly.
		if err := l.Suppress(ctx, "a@x", ScopeDead, ""); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		l.Close()
		if err := l.Health(t.Context()); !errors.Is(err, errClosed) {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestHealthAndSecret(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		for range 2 {
			if err := l.Health(t.Context()); err != nil {
				t.Error(err)
			}
		}
		first, err := l.Secret(t.Context())
		if err != nil || len(first) != 32 {
			t.Fatal(first, err)
		}
		second, err := l.another().Secret(t.Context())
		if err != nil || string(second) != string(first) {
			t.Error("another secret", err)
		}
	})
}

// TestLockedByAnotherProgram: the write fails with a sentence after a while, and works again when the lock is gone.
func TestLockedByAnotherProgram(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "ledger.db"))
	l.box("support")
	l.raw(`PRAGMA busy_timeout = 5`)
	other, err := sql.Open("sqlite", sqliteName(l.file, readerCache))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	conn, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	_, err = l.Acknowledge(t.Context(), []Arrival{l.letter(1, "a@x", "A")})
	if err == nil || !strings.Contains(err.Error(), "another program holds a lock") || !strings.Contains(err.Error(), l.name) {
		t.Error(err)
	}
	if h, err := l.Histories(t.Context(), []Query{{Mailbox: "support", From: "a@x"}}); err != nil || len(h) != 1 {
		t.Error("reading does not go on", err)
	}
	if _, err := conn.ExecContext(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	l.one(1)
}

// raw runs a statement on the writer's own connection, outside a transaction.
func (l *ledger) raw(text string) {
	l.t.Helper()
	nothing := func(*tx) error { return nil }
	if err := l.write(l.t.Context(), "connect", nothing); err != nil { // it is connected, and idle until the next write
		l.t.Fatal(err)
	}
	if _, err := l.w.conn.ExecContext(l.t.Context(), text); err != nil {
		l.t.Fatal(err)
	}
}

// TestFullDisk: nothing half written, a sentence, and writing goes on when there is room again.
func TestFullDisk(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "ledger.db"))
	l.box("support")
	l.one(1)
	claimed, _ := l.settle(1)
	pages := l.count("PRAGMA page_count")
	l.raw(fmt.Sprintf("PRAGMA max_page_count = %d", pages+20))
	var full error
	uid := uint32(1)
	for full == nil && uid < 1000 {
		uid++
		a := l.letter(uid, fmt.Sprintf("person%d@example.com", uid), fmt.Sprint("Question ", uid))
		a.Ack.Bytes = make([]byte, 5000)
		_, full = l.Acknowledge(t.Context(), []Arrival{a, l.letter(10000+uid, "other@x", fmt.Sprint(uid))})
	}
	if full == nil || !strings.Contains(full.Error(), "disk is full") {
		t.Fatal(full)
	}
	// What needs no room still works.
	l.settle(0, l.outcome(claimed[0], outbox.Sent))
	consistent(t, l)
	before := l.count("SELECT count(*) FROM arrivals")
	if want := 1 + 2*int(uid-2); before != want {
		t.Errorf("%d arrivals instead of %d", before, want)
	}
	l.raw(fmt.Sprintf("PRAGMA max_page_count = %d", pages+1000))
	l.one(uid)
	consistent(t, l)
}

// consistent checks what must be true of a ledger at any instant.
func consistent(t *testing.T, l *ledger) {
	t.Helper()
	for what, query := range map[string]string{
		"acknowledged arrivals without a delivery": `SELECT count(*) FROM arrivals a LEFT JOIN deliveries d ON d.recipient = a.id WHERE a.acknowledged = 1 AND d.recipient IS NULL`,
		"deliveries without an arrival":            `SELECT count(*) FROM deliveries d LEFT JOIN arrivals a ON a.id = d.recipient AND a.acknowledged = 1 WHERE a.id IS NULL`,
		"unsent deliveries without their bytes":    `SELECT count(*) FROM deliveries d LEFT JOIN letters l ON l.sending = d.sending AND l.recipient = d.recipient WHERE d.state IN (0, 1, 3, 4, 5) AND l.recipient IS NULL`,
		"bytes of what is sent":                    `SELECT count(*) FROM letters l LEFT JOIN deliveries d ON l.sending = d.sending AND l.recipient = d.recipient WHERE d.state IN (2, 6, 7) OR d.state IS NULL`,
		"rounds acknowledged twice":                `SELECT count(*) FROM (SELECT 1 FROM arrivals WHERE acknowledged = 1 GROUP BY thread, round HAVING count(*) > 1) x`,
		"waiting deliveries that are never due":    `SELECT count(*) FROM deliveries WHERE state IN (0, 3) AND due IS NULL`,
		"deliveries on the wire of nobody":         `SELECT count(*) FROM deliveries WHERE (state = 1) <> (claimed IS NOT NULL)`,
		"arrivals without a thread":                `SELECT count(*) FROM arrivals a LEFT JOIN threads t ON t.id = a.thread WHERE t.id IS NULL`,
		"threads without an arrival":               `SELECT count(*) FROM threads t LEFT JOIN arrivals a ON t.id = a.thread WHERE a.id IS NULL`,
		"promises without their arrival":           `SELECT count(*) FROM promises p LEFT JOIN arrivals a ON a.id = p.arrival AND a.thread = p.thread WHERE a.id IS NULL`,
		"people who wait without a promise":        `SELECT count(*) FROM arrivals a LEFT JOIN promises p ON a.thread = p.thread AND a.round = p.round WHERE a.acknowledged = 1 AND p.arrival IS NULL`,
	} {
		if n := l.count(query); n != 0 {
			t.Errorf("%d %s", n, what)
		}
	}
	if l.file != "" {
		var word string
		if err := l.readers.QueryRow("PRAGMA integrity_check").Scan(&word); err != nil || word != "ok" {
			t.Errorf("integrity: %s %v", word, err)
		}
	}
}

// TestKilledAtAnyInstant kills a process that writes, and looks at what it left: all that it was told was durable, and
// nothing half done.
func TestKilledAtAnyInstant(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); killed(t, filepath.Join(t.TempDir(), "ledger.db")) })
	t.Run("postgresql", func(t *testing.T) { t.Parallel(); killed(t, servers.PostgreSQL(t)) })
}

func killed(t *testing.T, url string) {
	l := open(t, url)
	l.box("support")
	resent := 0
	for round := range 8 {
		child := exec.Command(os.Args[0], "-test.run=^TestWritingUntilKilled$")
		child.Env = append(os.Environ(), "RETURNPOST_STORE_CHILD="+url, fmt.Sprint("RETURNPOST_STORE_FROM=", round*1_000_000))
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		wanted := 1 + rand.IntN(60)
		var told []string
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if told = append(told, lines.Text()); len(told) == wanted {
				child.Process.Kill()
			}
		}
		child.Wait()
		if len(told) < wanted {
			t.Fatalf("the child said only %q", told)
		}
		for _, line := range told {
			var uid, recipient int
			switch {
			case scan(line, "recorded %d", &uid):
				if n := l.count(fmt.Sprint("SELECT count(*) FROM arrivals WHERE uid = ", uid)); n != 1 {
					t.Errorf("arrival %d was recorded and is there %d times", uid, n)
				}
			case scan(line, "sent %d", &recipient):
				if n := l.count(fmt.Sprint("SELECT count(*) FROM deliveries WHERE state = 2 AND recipient = ", recipient)); n != 1 {
					t.Errorf("delivery %d was sent, but the ledger does not know", recipient)
				}
			}
		}
		consistent(t, l)
		onTheWire := l.count("SELECT count(*) FROM deliveries WHERE state = 1")
		n, err := l.Recover(t.Context(), true)
		if err != nil || n != onTheWire || n > 7 {
			t.Errorf("%d in doubt of %d on the wire: %v", n, onTheWire, err)
		}
		resent += n
	}
	t.Logf("%d arrivals, %d were in doubt", l.count("SELECT count(*) FROM arrivals"), resent)
}

func scan(line, format string, to *int) bool {
	n, _ := fmt.Sscanf(line, format, to)
	return n == 1
}

// TestWritingUntilKilled is the process that TestKilledAtAnyInstant kills; by itself it does nothing.
func TestWritingUntilKilled(t *testing.T) {
	url := os.Getenv("RETURNPOST_STORE_CHILD")
	if url == "" {
		return
	}
	var from uint32
	fmt.Sscan(os.Getenv("RETURNPOST_STORE_FROM"), &from)
	l := open(t, url)
	l.box("support")
	l.box("sales")
	go func() { // the outbox: at most seven on the wire
		var finished []outbox.Outcome
		for {
			claimed, _ := l.settle(7, finished...)
			for _, o := range finished {
				fmt.Println("sent", o.Recipient)
			}
			finished = finished[:0]
			for _, d := range claimed {
				finished = append(finished, l.outcome(d, outbox.Sent))
			}
		}
	}()
	var wg sync.WaitGroup
	for g := range uint32(3) {
		wg.Go(func() {
			for uid := from + g*100_000 + 1; ; uid += 3 {
				batch := make([]Arrival, 3)
				for i := range batch {
					u := uid + uint32(i)
					batch[i] = l.letter(u, fmt.Sprintf("p%d@x.example", u%50), fmt.Sprint("Q", u%20, g))
					batch[i].Mailbox = []string{"support", "sales"}[g%2]
				}
				l.acknowledge(batch...)
				for i := range batch {
					fmt.Println("recorded", batch[i].UID)
				}
			}
		})
	}
	wg.Wait()
}

// TestOpeningIsFast: nothing is counted or checked at the start that grows with the ledger.
func TestOpeningIsFast(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "ledger.db"))
	l.box("support")
	l.one(1)
	const size = 100_000
	for _, table := range []struct{ name, columns, values string }{
		{"threads", "mailbox, last, round, acknowledged, promised", "mailbox, last, round, acknowledged, promised"},
		{"arrivals", "id, mailbox, uidvalidity, uid, hash, thread, round, likeness, seen, message_id, sender, sender_name, subject, kind, reason, rule, evidence, language, acknowledged, letter, ack_to, ack_id",
			"n.n, mailbox, uidvalidity, n.n, hash, n.n, round, n.n, seen, message_id, sender, sender_name, subject, kind, reason, rule, evidence, language, acknowledged, letter, ack_to, ack_id"},
		{"deliveries", "sending, recipient, state, attempts, doubted, at", "sending, n.n, 2, 1, 0, at"},
	} {
		l.raw(fmt.Sprintf(`WITH RECURSIVE n (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < %d)
			INSERT INTO %s (%s) SELECT %s FROM n, %s LIMIT %d`, size, table.name, table.columns, table.values, table.name, size-1))
	}
	if n := l.count("SELECT count(*) FROM arrivals"); n != size {
		t.Fatal(n)
	}
	l.Close()
	best := time.Hour
	for range 5 {
		start := time.Now()
		db := l.another()
		if _, err := db.Resume(t.Context(), "support"); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(start))
		db.Close()
	}
	t.Logf("opened in %v", best)
	if best > 100*time.Millisecond {
		t.Errorf("opening a ledger of %d arrivals takes %v", size, best)
	}
}

// TestWritingLooksUpByKey: no statement of a transaction reads a whole table, whatever the planner thinks of it.
func TestWritingLooksUpByKey(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "ledger.db"))
	l.box("support")
	batch := l.strangers(0, 10)
	batch[3].Refs = []string{batch[2].MessageID, batch[2].Ack.MessageID}
	batch[3].Raw = []byte("raw")
	batch[4].Renumbered, batch[4].UIDValidity, batch[4].Hash = true, 8, batch[0].Hash
	batch[5].UID = batch[1].UID
	l.acknowledge(batch...)
	l.Begin(t.Context(), "support", mailbox.Position{UIDValidity: 9}, 0)
	claimed, _ := l.settle(5)
	l.settle(1, l.outcome(claimed[0], outbox.Sent), l.outcome(claimed[1], outbox.Failed))
	l.Answer(t.Context(), "support", []string{batch[6].MessageID}, l.clock.now())
	l.RetryDelivery(t.Context(), fmt.Sprintf("%d-%d", claimed[1].Sending, claimed[1].Recipient))
	l.RefreshAck(t.Context(), claimed[1].Sending, claimed[1].Recipient, *batch[1].Ack, Promise{})
	l.Recover(t.Context(), true)
	l.importCSV("email\na@x.example\n", Import{})
	allowed := map[string]bool{
		"json_each": true, "2-ROW": true, "CONSTANT": true,
		"b": true, // of the mailboxes there are few
	}
	if len(l.w.statements) < 30 {
		t.Errorf("only %d statements were run", len(l.w.statements))
	}
	for text := range l.w.statements {
		args := make([]any, strings.Count(text, "$"))
		for i := range args {
			args[i] = "[]"
		}
		plan, err := l.readers.Query("EXPLAIN QUERY PLAN "+l.d.sql(text), args...)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		for plan.Next() {
			var id, parent, unused int
			var step string
			if err := plan.Scan(&id, &parent, &unused, &step); err != nil {
				t.Fatal(err)
			}
			words := strings.Fields(step)
			small := strings.Contains(step, "deliveries_on_the_wire") || strings.HasPrefix(text, "DELETE FROM fuses") // once an hour
			if words[0] == "SCAN" && !allowed[words[1]] && !small {
				t.Errorf("%s\n\t%s", text, step)
			}
			if strings.Contains(text, "claimed + 0") && strings.Contains(step, "deliveries_on_the_wire") {
				t.Errorf("%s\n\t%s: each outcome would look at all that is on the wire", text, step)
			}
		}
		plan.Close()
	}
}

// TestYoungPostgreSQLLooksUpByKey: before there are statistics, PostgreSQL guesses; the guesses must not depend on luck.
func TestYoungPostgreSQLLooksUpByKey(t *testing.T) {
	l := open(t, servers.PostgreSQL(t))
	l.box("support")
	const arrivals = 1000
	for first := 0; first < arrivals; first += 100 {
		l.acknowledge(l.strangers(first, 100)...)
		claimed, _ := l.settle(100)
		var finished []outbox.Outcome
		for _, d := range claimed {
			finished = append(finished, l.outcome(d, outbox.Sent))
		}
		l.settle(0, finished...)
	}
	l.Close() // the server has counted all when the connections end
	other := &ledger{DB: l.another(), t: t}
	deadline := time.Now().Add(30 * time.Second)
	for other.count(`SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'arrivals'`) < arrivals {
		if time.Now().After(deadline) {
			t.Fatal("the server's counters do not come")
		}
	}
	for _, table := range []string{"arrivals", "threads", "message_ids", "deliveries", "letters", "fuses", "promises"} {
		n := other.count(`SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = $1`, table)
		if n > 12*arrivals {
			t.Errorf("%s: %d rows were read for %d arrivals", table, n, arrivals)
		}
	}
}
