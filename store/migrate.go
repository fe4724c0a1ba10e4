package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migration is one numbered step of the schema: NNNN_name.sql. Steps are never changed once released, only added.
type migration struct {
	version int64
	name    string
	text    string
}

func readMigrations(from fs.FS) ([]migration, error) {
	files, err := fs.Glob(from, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	steps := make([]migration, len(files))
	for i, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "migrations/"), ".sql")
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil || version != int64(i+1) {
			return nil, fmt.Errorf("the migration %s is not number %d", file, i+1)
		}
		text, err := fs.ReadFile(from, file)
		if err != nil {
			return nil, err
		}
		steps[i] = migration{version, name, string(text)}
	}
	return steps, nil
}

// migrate brings the schema up to date, each step in a transaction of its own: after a kill the next start goes on.
func (db *DB) migrate(ctx context.Context, from fs.FS) error {
	steps, err := readMigrations(from)
	if err != nil {
		return err
	}
	conn, err := db.firstConn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	// Most starts find the schema as it should be and must not wait for whoever is writing.
	version, err := db.schemaVersion(ctx, conn)
	for err == nil && version < int64(len(steps)) {
		version, err = db.step(ctx, conn, steps)
	}
	if err != nil {
		return err
	}
	if version > int64(len(steps)) {
		return fmt.Errorf("it was written by a newer returnpost (schema %d, this program knows up to %d): install that version again, or restore a backup made by this one",
			version, len(steps))
	}
	return nil
}

// firstConn opens the database's first connection. Of several processes that open a fresh file at once only one can make it
// a write-ahead one, and SQLite does not wait for that by itself.
func (db *DB) firstConn(ctx context.Context) (*sql.Conn, error) {
	const pause = 20 * time.Millisecond
	for waited := time.Duration(0); ; waited += pause {
		conn, err := db.writing.Conn(ctx)
		if kindOf(err) != busy || waited >= busyWait {
			return conn, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// schemaVersion is the number of the last migration done; 0: none.
func (db *DB) schemaVersion(ctx context.Context, conn *sql.Conn) (version int64, err error) {
	exists := `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'migrations'`
	if db.d.postgres {
		exists = `SELECT count(to_regclass('migrations'))`
	}
	var n int
	if err := conn.QueryRowContext(ctx, exists).Scan(&n); err != nil || n == 0 {
		return 0, err
	}
	err = conn.QueryRowContext(ctx, `SELECT coalesce(max(version), 0) FROM migrations`).Scan(&version)
	return version, err
}

// step does the next migration and returns the version then reached. Another process may have been faster.
func (db *DB) step(ctx context.Context, conn *sql.Conn, steps []migration) (version int64, err error) {
	if _, err := conn.ExecContext(ctx, db.d.begin()); err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		}
	}()
	if db.d.postgres { // SQLite's BEGIN IMMEDIATE is such a lock
		if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtext('returnpost migration'), hashtext(current_schema()))`); err != nil {
			return 0, err
		}
	}
	if _, err := conn.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS migrations (version BIGINT PRIMARY KEY, name TEXT NOT NULL, at BIGINT NOT NULL)`); err != nil {
		return 0, err
	}
	if version, err = db.schemaVersion(ctx, conn); err != nil {
		return 0, err
	}
	if version < int64(len(steps)) {
		next := steps[version]
		if _, err := conn.ExecContext(ctx, db.d.sql(next.text)); err != nil {
			return 0, fmt.Errorf("migration %s: %w", next.name, err)
		}
		version = next.version
		_, err := conn.ExecContext(ctx, db.d.sql(`INSERT INTO migrations (version, name, at) VALUES ($1, $2, $3)`), version, next.name, db.now().UnixMilli())
		if err != nil {
			return 0, fmt.Errorf("migration %s: %w", next.name, err)
		}
	}
	if _, err = conn.ExecContext(ctx, "COMMIT"); err == nil {
		db.log.Info("the schema of the database is up to date", "database", db.name, "version", version)
	}
	return version, err
}
