package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/returnpost/returnpost/config"
	"github.com/returnpost/returnpost/store"
)

// existingDatabase opens the configured database if there is one, and makes none.
func (a *app) existingDatabase(ctx context.Context, cfg *config.Config) (*store.DB, error) {
	if !strings.Contains(cfg.Database, "://") {
		if _, err := os.Stat(cfg.Database); errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
	}
	return store.Open(ctx, cfg.Database, store.Options{Now: a.now})
}

// action is a command's work on the database.
type action func(ctx context.Context, cfg *config.Config, db *store.DB, args []string) error

// withDatabase runs a command on the configured database, which must be there.
func (a *app) withDatabase(f action) func(*cobra.Command, []string) error {
	return a.onDatabase(f, func(absence error) error { return absence })
}

// listing runs a command that only reports; where there is no database yet,
// there is nothing to report.
func (a *app) listing(f action) func(*cobra.Command, []string) error {
	return a.onDatabase(f, func(absence error) error {
		a.say("%v", absence)
		return nil
	})
}

func (a *app) onDatabase(f action, absent func(error) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		cfg, err := a.config()
		if err != nil {
			return err
		}
		db, err := a.existingDatabase(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		if db == nil {
			return absent(fmt.Errorf("there is no database yet at %s; `returnpost serve` or `returnpost members import` makes it", cfg.Database))
		}
		return errors.Join(f(cmd.Context(), cfg, db, args), db.Close())
	}
}

// withNewDatabase runs a command on the configured database and makes it if
// there is none.
func (a *app) withNewDatabase(f action) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		cfg, err := a.config()
		if err != nil {
			return err
		}
		db, err := store.Open(cmd.Context(), cfg.Database, store.Options{Now: a.now})
		if err != nil {
			return err
		}
		return errors.Join(f(cmd.Context(), cfg, db, args), db.Close())
	}
}

func (a *app) backupCommand() *cobra.Command {
	return &cobra.Command{
		Use: "backup FILE", Short: "Write a whole copy of the database to a new file, while the daemon runs", Args: cobra.ExactArgs(1),
		RunE: a.withDatabase(func(ctx context.Context, _ *config.Config, db *store.DB, args []string) error {
			if err := db.Backup(ctx, args[0]); err != nil {
				return err
			}
			info, err := os.Stat(args[0])
			if err != nil {
				return err
			}
			report := struct {
				File  string `json:"file"`
				Bytes int64  `json:"bytes"`
			}{args[0], info.Size()}
			return a.line(report, func() string { return fmt.Sprintf("%s: %d bytes", report.File, report.Bytes) })
		}),
	}
}
