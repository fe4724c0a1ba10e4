package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	maxGroup = 512             // jobs in one transaction
	busyWait = 5 * time.Second // how long SQLite waits for another process's lock, each time
	maxTries = 3               // of a transaction that another process stood in the way of
	stalled  = time.Minute     // a PostgreSQL server that says nothing for so long is given up
)

// errClosed is the answer to a write after Close.
var errClosed = errors.New("the database is closed")

// writer is the one goroutine that writes, on one connection with prepared statements. It takes a job, adds the jobs that
// wait already, runs all in one transaction, commits once, and then answers all: while one commit is on its way to the
// disk the next group gathers, so that many writers cost little more than one, and a lone one waits for nobody.
type writer struct {
	db      *DB
	jobs    chan *job // without a buffer: what has not been taken can still be withdrawn
	closing chan struct{}
	once    sync.Once
	done    chan struct{}

	conn       *sql.Conn // nil before the first job, and after the connection failed
	statements map[string]*sql.Stmt

	forgot int64 // when old fuses were last dropped, as stored
}

type job struct {
	run  func(*tx) error
	done chan error
}

// tx is a transaction under way. Its methods are valid inside a job only.
type tx struct {
	ctx context.Context
	w   *writer
	now int64 // one instant for all of the transaction, as stored
}

// queryer is what reads: a transaction, or the readers.
type queryer interface {
	query(ctx context.Context, text string, args ...any) (*sql.Rows, error)
}

func newWriter(db *DB) *writer {
	w := &writer{db: db, jobs: make(chan *job), closing: make(chan struct{}), done: make(chan struct{})}
	go w.loop()
	return w
}

// write runs a job in a transaction of the writer and returns when it is durable. The job may be run more than once, so
// it begins by clearing its results. When write returns an error, nothing that the job did was kept, unless the
// connection to PostgreSQL broke during the commit: then it may have been. what completes "could not …".
func (db *DB) write(ctx context.Context, what string, run func(*tx) error) error {
	j := &job{run: run, done: make(chan error, 1)}
	var err error
	select {
	case db.w.jobs <- j:
		err = <-j.done // what has begun is waited for: it is writing into the caller's variables
	case <-ctx.Done():
		err = ctx.Err()
	case <-db.w.closing:
		err = errClosed
	}
	if err == nil {
		return nil
	}
	var told *Refusal
	if errors.As(err, &told) {
		return err
	}
	return fmt.Errorf("store: could not %s in the database %s: %w", what, db.name, sentence(err))
}

// A Refusal is an answer, not a failure: what was asked cannot be done as things stand. It is a sentence.
type Refusal struct{ Sentence string }

// Error is the sentence.
func (r *Refusal) Error() string { return r.Sentence }

func refuse(format string, args ...any) error { return &Refusal{fmt.Sprintf(format, args...)} }

func (w *writer) close() {
	w.once.Do(func() { close(w.closing) })
	<-w.done
}

func (w *writer) loop() {
	defer close(w.done)
	defer w.disconnect()
	group := make([]*job, 0, maxGroup)
	for {
		select {
		case j := <-w.jobs:
			group = w.gather(append(group[:0], j))
			w.serve(group)
			clear(group)
		case <-w.closing:
			return
		}
	}
}

// gather adds the jobs that wait already, without waiting for any.
func (w *writer) gather(group []*job) []*job {
	for len(group) < maxGroup {
		select {
		case j := <-w.jobs:
			group = append(group, j)
		default:
			return group
		}
	}
	return group
}

// serve commits a group and answers it. When that fails, each job has a transaction of its own, so that only the guilty
// one fails.
func (w *writer) serve(group []*job) {
	begun, err := w.transact(group)
	for try := 1; try < maxTries && (kindOf(err) == busy || kindOf(err) == beaten); try++ {
		w.db.log.Warn("the database is busy, trying again", "database", w.db.name, "error", err)
		begun, err = w.transact(group)
	}
	if err != nil && begun && len(group) > 1 {
		w.db.log.Debug("a transaction of several jobs failed, each has its own now", "jobs", len(group), "error", err)
		for i := range group {
			w.serve(group[i : i+1])
		}
		return
	}
	for _, j := range group {
		j.done <- err
	}
}

// transact runs a group in one transaction. begun says whether it came so far that a job can be to blame.
func (w *writer) transact(group []*job) (begun bool, err error) {
	ctx, cancel := context.Background(), func() {}
	if w.db.d.postgres {
		ctx, cancel = context.WithTimeout(ctx, stalled)
	}
	defer cancel()
	if err := w.begin(ctx); err != nil {
		return false, err
	}
	t := &tx{ctx: ctx, w: w, now: w.db.now().UnixMilli()}
	for _, j := range group {
		if err = j.run(t); err != nil {
			break
		}
	}
	if err == nil {
		if _, err = w.conn.ExecContext(ctx, "COMMIT"); err == nil {
			return true, nil
		}
	}
	// SQLite has rolled back already after some failures and then refuses; PostgreSQL never does while it can be reached.
	if _, rollback := w.conn.ExecContext(ctx, "ROLLBACK"); rollback != nil && w.db.d.postgres {
		w.disconnect()
	}
	return true, err
}

// begin starts a transaction, on a new connection where there is none or where the old one was lost while it was idle.
func (w *writer) begin(ctx context.Context) error {
	for {
		fresh := w.conn == nil
		if fresh {
			conn, err := w.db.writing.Conn(ctx)
			if err != nil {
				return err
			}
			w.conn, w.statements = conn, map[string]*sql.Stmt{}
		}
		_, err := w.conn.ExecContext(ctx, w.db.d.begin())
		if err == nil || kindOf(err) == busy {
			return err
		}
		w.disconnect()
		if fresh {
			return err
		}
		w.db.log.Warn("the connection to the database was lost, connecting again", "database", w.db.name, "error", err)
	}
}

// disconnect gives the connection back as unusable; the next transaction makes a new one.
func (w *writer) disconnect() {
	if w.conn == nil {
		return
	}
	for _, s := range w.statements {
		s.Close()
	}
	discard(w.conn)
	w.conn, w.statements = nil, nil
}

// discard closes a connection for good instead of giving it back to its pool.
func discard(conn *sql.Conn) {
	conn.Raw(func(any) error { return driver.ErrBadConn })
	conn.Close()
}

func (t *tx) prepared(text string) (*sql.Stmt, error) {
	if s := t.w.statements[text]; s != nil {
		return s, nil
	}
	s, err := t.w.conn.PrepareContext(t.ctx, t.w.db.d.sql(text))
	if err != nil {
		return nil, err
	}
	t.w.statements[text] = s
	return s, nil
}

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(text string, args ...any) (int64, error) {
	s, err := t.prepared(text)
	if err != nil {
		return 0, err
	}
	result, err := s.ExecContext(t.ctx, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (t *tx) query(_ context.Context, text string, args ...any) (*sql.Rows, error) {
	s, err := t.prepared(text)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(t.ctx, args...)
}

// row is the one row of a query: Scan gives sql.ErrNoRows where there is none.
func (t *tx) row(text string, args ...any) scanner {
	s, err := t.prepared(text)
	if err != nil {
		return failedRow{err}
	}
	return s.QueryRowContext(t.ctx, args...)
}

type scanner interface{ Scan(to ...any) error }

type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }

// query runs a statement on a connection that only reads.
func (db *DB) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	return db.readers.QueryContext(ctx, db.d.spelled(text), args...)
}

// rows reads all rows of a query.
func rows[T any](ctx context.Context, q queryer, scan func(scanner, *T) error, text string, args ...any) ([]T, error) {
	found, err := q.query(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	var all []T
	for found.Next() {
		var one T
		if err := scan(found, &one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, found.Err()
}
