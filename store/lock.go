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
	conn  *sql.Conn
	pid   int    // of the server's process behind the connection
	begun string // when that began, for the server's use: a pid may be used again
}

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
	lock, held, err := db.advisoryLock(ctx)
	if err != nil {
		return nil, err
	}
	if !held {
		return nil, db.served()
	}
	db.lock, db.serving = lock, true
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

func (db *DB) advisoryLock(ctx context.Context) (lock daemonLock, held bool, err error) {
	if lock.conn, err = db.writing.Conn(ctx); err == nil {
		err = lock.conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock(hashtext('returnpost daemon'), hashtext(current_schema())),
			pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()`).Scan(&held, &lock.pid, &lock.begun)
		if err != nil || !held {
			discard(lock.conn)
		}
	}
	if err != nil {
		return daemonLock{}, false, fmt.Errorf("store: take the lock of the database %s: %w", db.name, sentence(err))
	}
	return lock, held, nil
}

// KeepLock looks whether this process is still the one daemon of the database, and is to be called every few seconds by
// one that holds the lock: a file's lock stays, but PostgreSQL's goes with its connection, and then is taken again. Where
// another daemon has it by then, the error is ErrLockLost; any other error says that the server could not be asked.
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
	// The server may not have noticed that the old connection is gone: the holder would be this process itself.
	_, err := db.writing.ExecContext(ctx, `SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE pid = $1 AND backend_start::text = $2`,
		db.lock.pid, db.lock.begun)
	if err != nil {
		return fmt.Errorf("store: take the lock of the database %s: %w", db.name, sentence(err))
	}
	lock, held, err := db.advisoryLock(ctx)
	if err != nil {
		return err
	}
	if !held {
		return lostLock{db.name}
	}
	db.lock = lock
	return nil
}

// answers asks the lock's connection for a sign of life.
func (db *DB) answers(ctx context.Context) bool {
	ctx, cancel := patient(ctx)
	defer cancel()
	return db.lock.conn.PingContext(ctx) == nil
}
