package store

import (
	"context"
	"database/sql"
	"fmt"
	"os"
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

func (db *DB) lockPostgreSQL(ctx context.Context) (release func(), err error) {
	db.locking.Lock()
	defer db.locking.Unlock()
	if db.serving {
		return nil, db.served()
	}
	if db.lock, err = db.advisoryLock(ctx); err != nil {
		return nil, err
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
	if db.lock != nil {
		discard(db.lock)
		db.lock = nil
	}
}

func (db *DB) advisoryLock(ctx context.Context) (*sql.Conn, error) {
	conn, err := db.writing.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("store: take the lock of the database %s: %w", db.name, sentence(err))
	}
	var held bool
	err = conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock(hashtext('returnpost daemon'), hashtext(current_schema()))`).Scan(&held)
	if err == nil && held {
		return conn, nil
	}
	discard(conn)
	if err == nil {
		return nil, db.served()
	}
	return nil, fmt.Errorf("store: take the lock of the database %s: %w", db.name, sentence(err))
}

// keepLock takes PostgreSQL's lock again if its connection was lost.
func (db *DB) keepLock(ctx context.Context) (err error) {
	db.locking.Lock()
	defer db.locking.Unlock()
	if !db.serving || db.lock != nil && db.lock.PingContext(ctx) == nil {
		return nil
	}
	db.dropLock()
	db.lock, err = db.advisoryLock(ctx)
	return err
}
