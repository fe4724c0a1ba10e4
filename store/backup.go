package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Backup writes the database as it is at this moment to a new file, readable by its owner alone, while a daemon may go on
// writing. An existing file is left alone. On failure no file is left.
func (db *DB) Backup(ctx context.Context, file string) (err error) {
	if db.d.postgres {
		return refuse("the database %s is on PostgreSQL: back it up with PostgreSQL's own pg_dump", db.name)
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return fmt.Errorf("store: find the backup %s: %w", file, err)
	}
	// VACUUM INTO accepts an empty file, so it can be made with the right mode and without a race for the name.
	made, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return refuse("the file %s exists already: give the backup a new name", file)
	}
	if err != nil {
		return fmt.Errorf("store: make the backup %s: %w", file, err)
	}
	made.Close()
	defer func() {
		if err != nil {
			os.Remove(path)
		}
	}()
	source, err := sql.Open("sqlite", sqliteName(db.file, readerCache))
	if err != nil {
		return fmt.Errorf("store: back up the database %s: %w", db.name, err)
	}
	defer source.Close()
	if _, err := source.ExecContext(ctx, `VACUUM INTO $1`, path); err != nil {
		return fmt.Errorf("store: back up the database %s to %s: %w", db.name, file, sentence(err))
	}
	// VACUUM INTO leaves the new file to the system's cache.
	for _, name := range []string{path, filepath.Dir(path)} {
		if err := synchronize(name); err != nil {
			return fmt.Errorf("store: write the backup %s to the disk: %w", file, err)
		}
	}
	return nil
}

func synchronize(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrInvalid) {
		return err
	}
	return nil
}
