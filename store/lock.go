package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"
)

// Lock makes this process the one daemon of the database, until release or the process's death: nobody else has to
// clean up after a kill. Commands may write beside it.
//
// On SQLite a second, empty database FILE.lock is held in an exclusive transaction, so that SQLite's own portable file
// locks do the work. On PostgreSQL an advisory lock is held by a connection.
func (db *DB) Lock(ctx context.Context) (release func(), err error) {
	if db.d.postgres {
		return db.lockPostgreSQL(ctx)
	}
	path := db.file + ".lock"
	if made, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err == nil {
		made.Close()
	}
	side, err := sql.Open("sqlite", fileName(path, "_busy_timeout=0", "_journal_mode=MEMORY"))
	if err != nil {
		return nil, fmt.Errorf("store: open the lock %s: %w", path, err)
	}
	conn, err := side.Conn(ctx)
	if err == nil {
		_, err = conn.ExecContext(ctx, "BEGIN EXCLUSIVE")
	}
	if err != nil {
		side.Close()
		if kindOf(err) == busy {
			return nil, db.served()
		}
		return nil, fmt.Errorf("store: take the lock %s: %w", path, sentence(err))
	}
	return func() {
		conn.Close()
		side.Close()
	}, nil
}

func (db *DB) served() error {
	return fmt.Errorf("another returnpost is already serving this database (%s)", db.name)
}

// ErrLockLost says that this process is the one daemon of the database no more: it has to end, for another is at work.
var ErrLockLost = errors.New("the lock was lost")

// lostLock is ErrLockLost as a sentence.
type lostLock struct{ name string }

func (e lostLock) Error() string {
	return fmt.Sprintf("another returnpost has begun to serve this database (%s) while this one could not reach it: this one has to end", e.name)
}

func (e lostLock) Unwrap() error { return ErrLockLost }

// daemonLock is PostgreSQL's lock on a connection of its own.
type daemonLock struct {
	conn *sql.Conn // nil while the lock is not known to be held
	// tried are the server's processes behind this connection and behind earlier ones, each of which may hold the lock
	// still: that an answer was lost does not mean that the lock was not given.
	tried []string
}

// serverProcess tells a server's process from all others: a pid may be used again. It is NULL for those of other roles.
const serverProcess = `(pid || ' ' || extract(epoch FROM backend_start))`

// lockPatience is how long a step of keeping the lock may take. It does not hang on a caller's patience: a caller who
// hangs up must not cost the lock.
const lockPatience = 5 * time.Second

func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), lockPatience)
}

func (db *DB) lockPostgreSQL(ctx context.Context) (release func(), err error) {
	db.locking.Lock()
	defer db.locking.Unlock()
	if db.serving {
		return nil, db.served()
	}
	held, _, err := db.advisoryLock(ctx)
	if err != nil {
		return nil, err
	}
	if !held {
		return nil, db.served()
	}
	db.serving = true
	return func() {
		db.locking.Lock()
		defer db.locking.Unlock()
		db.serving = false
		db.dropLock()
	}, nil
}

// dropLock closes the connection that holds the lock, and with it the lock.
func (db *DB) dropLock() {
	if db.lock.conn != nil {
		discard(db.lock.conn)
		db.lock.conn = nil
	}
}

// advisoryLock takes the lock on a new connection. Where it is not to be had, ours tells that it is only a connection of
// this process that still has it, or had it a moment ago.
func (db *DB) advisoryLock(ctx context.Context) (held, ours bool, err error) {
	conn, err := db.writing.Conn(ctx)
	if err != nil {
		return false, false, db.noLock(err)
	}
	defer func() {
		if !held {
			discard(conn)
		}
	}()
	var process string
	err = conn.QueryRowContext(ctx, `SELECT `+serverProcess+` FROM pg_stat_activity WHERE pid = pg_backend_pid()`).Scan(&process)
	if err != nil {
		return false, false, db.noLock(err)
	}
	// From here on the answer may be lost, and the lock held nevertheless.
	earlier := db.lock.tried
	db.lock.tried = append(earlier[:len(earlier):len(earlier)], process)
	err = conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock(hashtext('returnpost daemon'), hashtext(current_schema()))`).Scan(&held)
	if err != nil {
		return false, false, db.noLock(err)
	}
	if held {
		db.lock = daemonLock{conn, []string{process}}
		return true, false, nil
	}
	db.lock.tried = earlier
	err = conn.QueryRowContext(ctx, `SELECT coalesce(bool_and(coalesce(`+serverProcess+` = ANY($1), false)), true)
		FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)
		WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND classid = hashtext('returnpost daemon')::oid AND objid = hashtext(current_schema())::oid`, earlier).Scan(&ours)
	if err != nil {
		return false, false, db.noLock(err)
	}
	return false, ours, nil
}

func (db *DB) noLock(err error) error {
	return fmt.Errorf("store: take the lock of the database %s: %w", db.name, sentence(err))
}

// KeepLock looks whether this process is still the one daemon of the database, and is to be called every few seconds by
// one that holds the lock: a file's lock stays, but PostgreSQL's goes with its connection, and then is taken again. Where
// another daemon has it by then, the error is ErrLockLost; after any other error, which may be that the server could not
// be asked or has not ended an old connection yet, it is to be called again.
func (db *DB) KeepLock(ctx context.Context) error {
	db.locking.Lock()
	defer db.locking.Unlock()
	if !db.serving {
		return nil
	}
	if db.lock.conn != nil {
		if db.answers(ctx) {
			return nil
		}
		db.log.Warn("the connection that holds the lock of the database was lost, taking the lock again", "database", db.name)
		db.dropLock()
	}
	ctx, cancel := patient(ctx)
	defer cancel()
	// The server may not have noticed that an old connection is gone: the holder would be this process itself.
	_, err := db.writing.ExecContext(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE `+serverProcess+` = ANY($1)`, db.lock.tried)
	if err != nil {
		return db.noLock(err)
	}
	held, ours, err := db.advisoryLock(ctx)
	switch {
	case err != nil:
		return err
	case held:
		return nil
	case ours:
		return db.noLock(errors.New("an old connection of this process still holds it, and the server is ending that"))
	}
	return lostLock{db.name}
}

// answers asks the lock's connection for a sign of life.
func (db *DB) answers(ctx context.Context) bool {
	ctx, cancel := patient(ctx)
	defer cancel()
	return db.lock.conn.PingContext(ctx) == nil
}
