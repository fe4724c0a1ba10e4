package store

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/returnpost/returnpost/e2e/servers"
)

// loseLock makes the server end the connection that holds the lock, and waits until it is gone.
func (l *ledger) loseLock() {
	l.t.Helper()
	if _, err := l.readers.Exec(`SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND granted
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`); err != nil {
		l.t.Fatal(err)
	}
}

// TestALostLockIsTakenAgain, and nobody else gets in.
func TestALostLockIsTakenAgain(t *testing.T) {
	l := open(t, servers.PostgreSQL(t))
	other := l.another()
	if err := other.KeepLock(t.Context()); err != nil {
		t.Error("who never took the lock has none to keep:", err)
	}
	release, err := l.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		l.loseLock()
		if err := l.KeepLock(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := other.Lock(t.Context()); err == nil {
			t.Fatal("two daemons")
		}
	}
	release()
	if err := l.KeepLock(t.Context()); err != nil {
		t.Error(err)
	}
	release, err = other.Lock(t.Context())
	if err != nil {
		t.Fatal("the lock was released and is still held:", err)
	}
	release()
}

// TestALockThatAnotherDaemonHas: the first one is told, by whatever it asks first.
func TestALockThatAnotherDaemonHas(t *testing.T) {
	l := open(t, servers.PostgreSQL(t))
	if _, err := l.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.KeepLock(t.Context()); err != nil {
		t.Error(err)
	}
	l.loseLock()
	release, err := l.another().Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"Health": l.Health(t.Context()), "KeepLock": l.KeepLock(t.Context()), "again": l.KeepLock(t.Context())} {
		if !errors.Is(err, ErrLockLost) || !strings.Contains(err.Error(), "another returnpost has begun to serve this database ("+l.name+")") {
			t.Errorf("%s: %v", what, err)
		}
	}
	release()
}

// TestALockOfOurOwnThatTheServerHolds: the connection broke, and the server has not noticed.
func TestALockOfOurOwnThatTheServerHolds(t *testing.T) {
	l, w := overWire(t)
	if _, err := l.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.cut()
	if err := l.KeepLock(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := l.another().Lock(t.Context()); err == nil {
		t.Error("two daemons")
	}
}

// TestWhoHangsUpDoesNotCostTheLock: a client of the health page, say.
func TestWhoHangsUpDoesNotCostTheLock(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		if _, err := l.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := l.Health(ctx); err != nil {
			t.Error(err)
		}
		if err := l.KeepLock(ctx); err != nil {
			t.Error(err)
		}
		if _, err := l.another().Lock(t.Context()); err == nil {
			t.Error("two daemons")
		}
	})
}

// TestAFilesLockStays: there is nothing to take again.
func TestAFilesLockStays(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "ledger.db"))
	if _, err := l.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.KeepLock(t.Context()); err != nil {
		t.Error(err)
	}
}
