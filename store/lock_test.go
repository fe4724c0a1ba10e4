package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

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

// eventually asks until the answer is yes; the server takes a moment to notice and to end an old connection.
func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(10 * time.Second); !yes(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("after ten seconds still not: " + what)
		}
	}
}

// keepsLock asks until the lock is held.
func keepsLock(t *testing.T, db *DB) {
	t.Helper()
	eventually(t, "the lock is held", func() bool {
		err := db.KeepLock(t.Context())
		if errors.Is(err, ErrLockLost) {
			t.Fatal(err)
		}
		return err == nil
	})
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
	keepsLock(t, l.DB)
	if _, err := l.another().Lock(t.Context()); err == nil {
		t.Error("two daemons")
	}
}

// TestALockOfOurOwnThatTheServerIsSlowToEnd is not another daemon's.
func TestALockOfOurOwnThatTheServerIsSlowToEnd(t *testing.T) {
	l, w := overWire(t)
	if _, err := l.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	pid, _, _ := strings.Cut(l.lock.tried[0], " ")
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(n, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	goOn := sync.OnceFunc(func() { syscall.Kill(n, syscall.SIGCONT) })
	t.Cleanup(goOn)
	w.cut()
	for range 2 {
		if err := l.KeepLock(t.Context()); err == nil || errors.Is(err, ErrLockLost) {
			t.Error(err)
		}
	}
	goOn()
	keepsLock(t, l.DB)
}

// TestALockWhoseAnswerWasLost: the server gave it, to a connection that is gone.
func TestALockWhoseAnswerWasLost(t *testing.T) {
	l, w := overWire(t)
	address, err := url.Parse(l.url)
	if err != nil {
		t.Fatal(err)
	}
	gate, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { gate.Close() })
	var spoil atomic.Bool
	to := address.Host
	go func() {
		for {
			client, err := gate.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				return
			}
			go func() {
				defer server.Close()
				buffer := make([]byte, 1<<16)
				for prepared := false; ; {
					n, err := client.Read(buffer)
					if err != nil {
						return
					}
					if prepared && spoil.CompareAndSwap(true, false) {
						w.armed.Store(true)
					}
					prepared = bytes.Contains(buffer[:n], []byte("pg_try_advisory_lock"))
					server.Write(buffer[:n])
				}
			}()
			go func() {
				defer client.Close()
				io.Copy(client, server)
			}()
		}
	}()
	address.Host = gate.Addr().String()
	db, err := Open(t.Context(), address.String(), Options{Now: l.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if _, err := db.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.loseLock()
	spoil.Store(true)
	if err := db.KeepLock(t.Context()); err == nil || errors.Is(err, ErrLockLost) || spoil.Load() {
		t.Fatal(err, spoil.Load())
	}
	eventually(t, "the lost request has reached the server", func() (held bool) {
		if err := l.readers.QueryRow(`SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`).Scan(&held); err != nil {
			t.Fatal(err)
		}
		return held
	})
	keepsLock(t, db)
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
