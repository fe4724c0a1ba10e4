// Package store is the ledger: every line of SQL, for SQLite and for PostgreSQL 15 and later. Its methods are business
// transactions, named for what the business does; other packages never see a row half written.
//
// Writes go through one goroutine that commits what has gathered meanwhile at once (writer.go), durably: on SQLite with a
// write-ahead log that is synchronised at each commit, on PostgreSQL with synchronous_commit. Reads have connections of
// their own, which cannot write, and never wait for the writer. After a kill at any instant the database holds exactly
// what was committed. Doubles are forbidden by unique keys, not by checks: (mailbox, uidvalidity, uid) for arrivals,
// (sending, recipient) for deliveries, (thread, round) for acknowledgements and for promises.
//
// On failure a method returns a sentence with the database and what was tried, nothing of the transaction is kept, and
// the same call may be made again: recording an arrival or an outcome twice changes nothing.
//
// Text from messages is stored as valid UTF-8 without NUL, shortened to bounds, so that no message can be refused.
package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Options are the parts of a DB that have defaults.
type Options struct {
	Now func() time.Time // default time.Now
	Log *slog.Logger     // default none
}

// DB is an open database. Its methods may be called from any goroutine.
type DB struct {
	name    string // for people: the file, or host/database
	file    string // SQLite: the absolute path; "" on PostgreSQL
	d       dialect
	readers *sql.DB
	writing *sql.DB
	w       *writer
	now     func() time.Time
	log     *slog.Logger
	daemon  int64 // marks this process's claims

	boxes sync.Map // name → Mailbox, as registered

	queue // of all deliveries

	locking sync.Mutex
	serving bool // PostgreSQL's advisory lock was taken
	lock    daemonLock

	health health
}

// readerCount is how many reads go on at a time; each has a page cache of its own.
const readerCount = 4

// Open opens a database and brings its schema up to date: a file's path, made if absent and readable by its owner alone,
// or a postgres:// URL. A schema newer than this program is refused.
func Open(ctx context.Context, address string, opts Options) (*DB, error) {
	db := &DB{now: opts.Now, log: opts.Log}
	db.queue = queue{db: db, sendings: anySending}
	if db.now == nil {
		db.now = time.Now
	}
	if db.log == nil {
		db.log = slog.New(slog.DiscardHandler)
	}
	var seed [8]byte
	rand.Read(seed[:])
	db.daemon = int64(binary.BigEndian.Uint64(seed[:]) >> 17) // six bytes in SQLite

	var err error
	if strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://") {
		err = db.openPostgreSQL(address)
	} else {
		err = db.openSQLite(address)
	}
	if err != nil {
		return nil, err
	}
	db.w = newWriter(db)
	if err := db.migrate(ctx, migrations); err != nil {
		db.Close()
		return nil, fmt.Errorf("store: open the database %s: %w", db.name, sentence(err))
	}
	return db, nil
}

// Close ends the writer after what it has begun, and closes all connections.
func (db *DB) Close() error {
	db.w.close()
	db.health.forget()
	return errors.Join(db.readers.Close(), db.writing.Close())
}

// Secret is the key that signs links and marks Message-IDs. It is made on first use and kept.
func (db *DB) Secret(ctx context.Context) ([]byte, error) {
	fresh := make([]byte, 32)
	rand.Read(fresh)
	var secret []byte
	err := db.write(ctx, "keep the secret", func(t *tx) error {
		if _, err := t.exec(`INSERT INTO settings (name, value) VALUES ('secret', $1) ON CONFLICT (name) DO NOTHING`, fresh); err != nil {
			return err
		}
		return t.row(`SELECT value FROM settings WHERE name = 'secret'`).Scan(&secret)
	})
	return secret, err
}

// Page caches in KiB. The writer's holds the inner pages of the trees it inserts into; readers run short queries.
const (
	writerCache = 6 << 10
	readerCache = 1 << 10
)

func (db *DB) openSQLite(file string) error {
	path, err := filepath.Abs(file)
	if err != nil {
		return fmt.Errorf("store: find the database %s: %w", file, err)
	}
	// The same file by another name must have the same log and the same lock beside it.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	db.name, db.file, db.d = file, path, dialect{}
	// Made here, so that letters and addresses are never readable by others; SQLite gives its log the same mode.
	// An existing file is not opened: closing it would drop the locks that this process holds on it (POSIX, fcntl).
	made, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	switch {
	case err == nil:
		made.Close()
	case !errors.Is(err, fs.ErrExist):
		return fmt.Errorf("store: make the database %s: %w", file, err)
	}
	// synchronous=FULL: a commit survives a power loss. The log is copied back each 16 MB, and shrinks again after a long
	// read has made it larger.
	db.writing, err = sql.Open("sqlite", sqliteName(path, writerCache, "_synchronous=FULL", "_foreign_keys=1",
		"_pragma=wal_autocheckpoint(4000)", "_pragma=journal_size_limit(33554432)"))
	if err != nil {
		return fmt.Errorf("store: open the database %s: %w", file, err)
	}
	db.writing.SetMaxOpenConns(1)
	db.readers, err = sql.Open("sqlite", sqliteName(path, readerCache, "_query_only=1"))
	if err != nil {
		return fmt.Errorf("store: open the database %s: %w", file, err)
	}
	db.readers.SetMaxOpenConns(readerCount)
	db.readers.SetMaxIdleConns(readerCount)
	return nil
}

// sqliteName is the driver's name for a database of ours.
func sqliteName(path string, cache int, options ...string) string {
	return fileName(path, append(options, "_dqs=0", "_journal_mode=WAL", fmt.Sprintf("_busy_timeout=%d", busyWait.Milliseconds()),
		fmt.Sprintf("_pragma=cache_size(-%d)", cache))...)
}

// fileName is the driver's name for a file. Without "file:" the options would be ignored.
func fileName(path string, options ...string) string {
	slashed := filepath.ToSlash(path)
	if !strings.HasPrefix(slashed, "/") { // C:/…
		slashed = "/" + slashed
	}
	return (&url.URL{Scheme: "file", Path: slashed, RawQuery: strings.Join(options, "&")}).String()
}

func (db *DB) openPostgreSQL(address string) error {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return fmt.Errorf("store: read the database's URL: %w", err) // pgx leaves the password out
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 10 * time.Second
	}
	config.RuntimeParams["application_name"] = "returnpost"
	// All statements look rows up by key. Of a young table PostgreSQL has no statistics yet, and would plan to read the whole
	// of it for good.
	for _, way := range []string{"enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit"} {
		config.RuntimeParams[way] = "off"
	}
	db.name, db.d = config.Host+"/"+config.Database, dialect{postgres: true}
	reading := config.Copy()
	reading.RuntimeParams["default_transaction_read_only"] = "on"
	db.readers = stdlib.OpenDB(*reading)
	db.readers.SetMaxOpenConns(readerCount)
	db.readers.SetMaxIdleConns(readerCount)
	config.RuntimeParams["synchronous_commit"] = "on" // whatever the server's default: a commit survives a power loss
	db.writing = stdlib.OpenDB(*config)
	db.writing.SetMaxOpenConns(2) // the writer's and the lock's
	return nil
}
