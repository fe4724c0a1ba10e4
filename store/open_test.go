package store

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/returnpost/returnpost/e2e/servers"
	"github.com/returnpost/returnpost/outbox"
)

func TestOneDaemonADatabase(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		release, err := l.Lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		other := l.another()
		for _, db := range []*DB{other, l.DB} {
			_, err = db.Lock(t.Context())
			if err == nil || err.Error() != "another returnpost is already serving this database ("+l.name+")" {
				t.Errorf("%v", err)
			}
		}
		// Commands write beside the daemon, and both are well.
		if err := errors.Join(other.Suppress(t.Context(), "a@x", ScopeDead, ""), l.Health(t.Context()), other.Health(t.Context())); err != nil {
			t.Error(err)
		}
		release()
		release, err = other.Lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		release()
	})
}

// TestLockEndsWithItsProcess: a killed daemon leaves nothing that somebody would have to clean up.
func TestLockEndsWithItsProcess(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		child := exec.Command(os.Args[0], "-test.run=^TestHoldingTheLockUntilKilled$")
		child.Env = append(os.Environ(), "RETURNPOST_STORE_CHILD="+l.url)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		if word, err := bufio.NewReader(out).ReadString('\n'); err != nil || word != "locked\n" {
			t.Fatalf("%q %v", word, err)
		}
		if _, err := l.Lock(t.Context()); err == nil {
			t.Error("two daemons")
		}
		child.Process.Kill()
		child.Wait()
		release, err := l.Lock(t.Context())
		for err != nil && t.Context().Err() == nil && l.d.postgres { // the server notices the end a moment later
			release, err = l.Lock(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		release()
	})
}

// TestLostConnections: the server ends all connections, as at its restart. Writing goes on, and the lock is taken again.
func TestLostConnections(t *testing.T) {
	l := open(t, servers.PostgreSQL(t))
	if _, err := l.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.box("support")
	other := l.another()
	end := func() {
		t.Helper()
		if _, err := other.readers.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`); err != nil {
			t.Fatal(err)
		}
	}
	l.one(1)
	end()
	l.one(2)
	end()
	if err := l.Health(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := other.Lock(t.Context()); err == nil {
		t.Error("the lock was not taken again")
	}
	// Lost in the middle of a transaction: an error, nothing kept, and the next one works.
	a := l.letter(3, "b@x", "B")
	err := l.write(t.Context(), "be cut off", func(tx *tx) error {
		if _, err := tx.exec(`INSERT INTO settings (name, value) VALUES ('cut', $1)`, []byte{1}); err != nil {
			return err
		}
		end()
		_, err := tx.exec(`INSERT INTO settings (name, value) VALUES ('off', $1)`, []byte{1})
		return err
	})
	if err == nil {
		t.Error("no error")
	}
	l.acknowledge(a)
	if n := (&ledger{DB: other, t: t}).count("SELECT count(*) FROM settings WHERE name IN ('cut', 'off')"); n != 0 {
		t.Error("half a transaction is kept")
	}
}

// TestHoldingTheLockUntilKilled is the process that TestLockEndsWithItsProcess kills; by itself it does nothing.
func TestHoldingTheLockUntilKilled(t *testing.T) {
	url := os.Getenv("RETURNPOST_STORE_CHILD")
	if url == "" {
		return
	}
	if _, err := open(t, url).Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	fmt.Println("locked")
	select {}
}

func TestSeveralProcessesOpenAFreshDatabase(t *testing.T) {
	for name, url := range map[string]string{"sqlite": filepath.Join(t.TempDir(), "ledger.db"), "postgresql": servers.PostgreSQL(t)} {
		t.Run(name, func(t *testing.T) {
			failed := make(chan error)
			for range 4 {
				go func() {
					db, err := Open(t.Context(), url, Options{})
					if err == nil {
						err = errors.Join(db.Health(t.Context()), db.Close())
					}
					failed <- err
				}()
			}
			for range 4 {
				if err := <-failed; err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		if err := l.write(t.Context(), "pretend", func(t *tx) error {
			_, err := t.exec(`INSERT INTO migrations (version, name, at) VALUES (9999, 'future', 0)`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		l.Close()
		_, err := Open(t.Context(), l.url, Options{})
		if err == nil || !strings.Contains(err.Error(), "newer returnpost (schema 9999") || !strings.Contains(err.Error(), l.name) {
			t.Error(err)
		}
	})
}

func TestMigrations(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		first, err := fs.ReadFile(migrations, "migrations/0001_first.sql")
		if err != nil {
			t.Fatal(err)
		}
		files := fstest.MapFS{
			"migrations/0001_first.sql": {Data: first},
			"migrations/0002_more.sql":  {Data: []byte("CREATE TABLE more (id {{id}}); INSERT INTO more (id) VALUES (7);")},
			"migrations/0003_bad.sql":   {Data: []byte("CREATE TABLE half (id {{id}}); CREATE TABLE nonsense (;")},
		}
		l.w.close() // SQLite has one writing connection
		l.w.disconnect()
		if err := l.migrate(t.Context(), files); err == nil || !strings.Contains(err.Error(), "0003_bad") {
			t.Error(err)
		}
		if n := l.count("SELECT id FROM more"); n != 7 {
			t.Error(n)
		}
		if _, err := l.readers.Exec("SELECT * FROM half"); err == nil {
			t.Error("half a migration is kept")
		}
		files["migrations/0003_bad.sql"].Data = []byte("DROP TABLE more")
		if err := l.migrate(t.Context(), files); err != nil {
			t.Error(err)
		}
		if n := l.count("SELECT max(version) FROM migrations"); n != 3 {
			t.Error(n)
		}
		delete(files, "migrations/0002_more.sql")
		if err := l.migrate(t.Context(), files); err == nil || !strings.Contains(err.Error(), "0003_bad.sql is not number 2") {
			t.Error(err)
		}
	})
}

// TestUpgradeFromTheFirstSchema opens a database as the first release left it.
func TestUpgradeFromTheFirstSchema(t *testing.T) {
	frozen, err := os.ReadFile("testdata/schema-0001-frozen.sql")
	if err != nil {
		t.Fatal(err)
	}
	schema, rows, _ := strings.Cut(string(frozen), "-- Rows.\n")
	first, err := fs.ReadFile(migrations, "migrations/0001_first.sql")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(schema, string(first)+"\n") {
		t.Error("migrations/0001_first.sql was changed after its release: add a migration instead")
	}
	upgrade := func(t *testing.T, driver, name, url string, d dialect) {
		old, err := sql.Open(driver, name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := old.Exec(d.sql(schema + rows)); err != nil {
			t.Fatal(err)
		}
		old.Close()
		l := open(t, url)
		consistent(t, l)
		box, err := l.RegisterMailbox(t.Context(), "support", "support@shop.example")
		if err != nil || box.ID != 1 || *box.Subaddress {
			t.Errorf("%+v %v", box, err)
		}
		if p, err := l.Resume(t.Context(), "support"); err != nil || p.UID != 42 || p.UIDValidity != 7 {
			t.Error(p, err)
		}
		if r, err := l.ArrivalByID(t.Context(), 1); err != nil || r.Subject != "发票" || r.AckTo != "li@example.com" {
			t.Errorf("%+v %v", r, err)
		}
		if m := l.member("li@example.com"); m == nil || m.Fields["visits"] != 12.5 || m.Topics[1] != "news" {
			t.Errorf("%+v", m)
		}
		if p := all(t, l.Promises(t.Context(), PromiseFilter{})); len(p) != 1 || p[0].Rule != "gold" || p[0].Member != "li@example.com" {
			t.Errorf("%+v", p)
		}
		claimed, _ := l.settle(5)
		if len(claimed) != 1 || string(claimed[0].Bytes) != "letter" {
			t.Errorf("%+v", claimed)
		}
		l.settle(0, l.outcome(claimed[0], outbox.Sent))
		a := l.letter(43, "li@example.com", "发票")
		a.Refs = []string{"<1@li.example.com>"}
		if v := l.acknowledge(a); v[0].Reason != "follow-up" || v[0].Arrival != 2 {
			t.Errorf("%+v", v)
		}
	}
	t.Run("sqlite", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "ledger.db")
		upgrade(t, "sqlite", file, file, dialect{})
	})
	t.Run("postgresql", func(t *testing.T) {
		url := servers.PostgreSQL(t)
		upgrade(t, "pgx", url, url, dialect{postgres: true})
	})
}

func TestBackup(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "ledger.db"))
	l.box("support")
	id := l.one(1)
	file := filepath.Join(t.TempDir(), "a copy?.db")
	if err := l.Backup(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o600 {
		t.Error(info.Mode(), err)
	}
	l.one(2)
	copied := open(t, file)
	copied.wantStatus(id, "queued 0")
	if n := copied.count("SELECT count(*) FROM arrivals"); n != 1 {
		t.Error(n)
	}
	var refusal *Refusal
	if err := l.Backup(t.Context(), file); !errors.As(err, &refusal) || !strings.Contains(err.Error(), "exists already") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	broken := filepath.Join(t.TempDir(), "broken.db")
	if err := l.Backup(ctx, broken); err == nil {
		t.Error("a canceled backup succeeds")
	}
	if _, err := os.Stat(broken); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a failed backup leaves a file")
	}
	if err := l.Backup(t.Context(), filepath.Join(t.TempDir(), "no", "folder.db")); err == nil {
		t.Error("no folder, no error")
	}
	pg := open(t, servers.PostgreSQL(t))
	if err := pg.Backup(t.Context(), file); !errors.As(err, &refusal) || !strings.Contains(err.Error(), "pg_dump") {
		t.Error(err)
	}
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	folder := t.TempDir()
	l := open(t, filepath.Join(folder, "my ledger #1?%41.db"))
	l.box("support")
	if _, err := l.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != 4 { // the database, its log and index, the lock
		t.Error(files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Error(f.Name(), info.Mode(), err)
		}
		if !strings.HasPrefix(f.Name(), "my ledger #1?%41.db") {
			t.Error(f.Name())
		}
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	folder := t.TempDir()
	garbage := filepath.Join(folder, "letter.txt")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("Dear shop, ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{
		garbage:                                  "no database of ours",
		filepath.Join(folder, "missing", "x.db"): "missing",
		folder:                                   "",
		"postgres://u:secret@127.0.0.1:1/shop?connect_timeout=2":    "127.0.0.1/shop",
		"postgres://u:secret@127.0.0.1:nonsense/shop":               "URL",
		"postgres://u:secret@127.0.0.1:1/shop?sslmode=unimaginable": "URL",
	} {
		db, err := Open(t.Context(), url, Options{})
		if err == nil {
			db.Close()
			t.Errorf("%s opens", url)
		} else if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Error(err)
		}
	}
}

// TestSQLiteIsDurable: the settings that a power loss is about.
func TestSQLiteIsDurable(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "ledger.db"))
	l.raw("SELECT 1")
	for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1"} {
		var got string
		if err := l.w.conn.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s: %v", pragma, got, err)
		}
	}
	if _, err := l.readers.Exec("DELETE FROM settings"); err == nil {
		t.Error("a reader can write")
	}
}
