// Package mailbox watches IMAP mailboxes and hands over what comes in, each message once it is there, in the order of its
// UID, until its receiver has recorded it. It is the only importer of go-imap.
//
// It obeys RFC 3501 and RFC 9051 (UID, UIDVALIDITY and UIDNEXT: §2.3.1.1; the last message answers n:* even below n:
// §6.4.9; one FETCH partial: §6.4.5), RFC 2177 (IDLE), RFC 2971 (ID), RFC 4616 (PLAIN), RFC 6154 (\Sent) and RFC 8314
// (TLS). It opens folders with EXAMINE and reads with BODY.PEEK, so that nothing it does is seen in the mailbox: no \Seen,
// no \Recent, no flag of its own.
//
// What happens on failure:
//   - Position is not kept here. The receiver commits what it was handed, and Cursor tells at each connection where to
//     go on. A kill at any instant loses nothing; what was handed over but not committed is handed over again.
//   - No connection, a refused login, a silent server: the reason stands in Health as a sentence, and the next try comes
//     after a pause that grows from one second to five minutes. Each mailbox has its own Watcher and disturbs no other.
//   - A server that falls silent within a command, or says more than was asked for, is cut off. One that drops an IDLE
//     without a word is found out by the next poll.
//   - A server that counts anew, under another UIDVALIDITY or, wrongly, the same: what came lately is handed over once
//     more, as Renumbered, and watching goes on behind it.
//   - A message that breaks the connection or the parser twice within its answer, or that is there and cannot be had at five
//     tries, is handed over with the reason as its Fault, in its place in the order, and the next goes on.
//   - An error of the receiver: it gets the same batch again after a growing pause. Nothing is skipped.
package mailbox

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Limits of what is held in memory: one batch is with the receiver, and the next may be ready.
const (
	MaxRaw        = 1 << 20 // bytes of a message that are fetched
	maxBatch      = 200     // messages in a batch
	maxBatchBytes = 4 << 20 // bytes in a batch
)

// Config says where a mailbox is and how to get in.
type Config struct {
	Host     string        `yaml:"host"`
	Port     int           `yaml:"port"`     // 0: 993 for tls, else 143
	Security string        `yaml:"security"` // tls | starttls | none; "": tls
	Insecure bool          `yaml:"insecure"` // allows security none beyond this machine; certificates are always checked
	Username string        `yaml:"username"`
	Password string        `yaml:"password"`
	Folder   string        `yaml:"folder"`  // "": INBOX
	Sent     string        `yaml:"sent"`    // the folder with the owner's replies; "" or auto: the one marked \Sent
	Poll     time.Duration `yaml:"poll"`    // how often to look beside IDLE, or instead of it; 0: a minute
	CAFile   string        `yaml:"ca_file"` // certificates to trust beside the system's
}

// Position is how far a mailbox is done: everything up to UID, under this UIDVALIDITY. The zero Position: never watched.
type Position struct{ UIDValidity, UID uint32 }

// Fetched is one message as it came from the server.
type Fetched struct {
	UIDValidity, UID uint32
	Internal         time.Time // INTERNALDATE: when the server took it in; zero if it would not say
	Size             int64     // RFC822.SIZE, as the server says
	Flags            []string
	Raw              []byte    // the message, at most MaxRaw bytes of it
	Truncated        bool      // there is more than Raw holds
	Fault            string    // why the server could not give it; Raw is nil then. "" usually
	Renumbered       bool      // found again after the server has counted anew: it may be known by its content already
	Noticed          time.Time // when the server told of it
}

// Cursor remembers how far a mailbox is done. *store.DB is one.
type Cursor interface {
	// Resume returns how far the mailbox is done; the zero Position if it was never watched.
	Resume(ctx context.Context, mailbox string) (Position, error)
	// Begin records that everything up to p is history: at the very first start, or when the server has counted anew and
	// what was found again has been handed over, as Renumbered. messages is how many the mailbox holds.
	//
	// The server may have counted anew without changing UIDVALIDITY, though it must not (a restored folder, a server that
	// knows but one, another host configured). Then p has the UIDValidity of before and a lower UID, and Resume has to return
	// p all the same, and afterwards what is higher only by messages handed over since: those recorded under p's UIDValidity
	// with a UID above p's are of the old counting and must neither raise it nor be taken for the new ones with their UIDs.
	// Nor must those found again, which come before Begin with UIDs that others have there: content tells them apart.
	Begin(ctx context.Context, mailbox string, p Position, messages uint32) error
}

// Options are what a Watcher may be told beside its mailbox. The zero value is good for a server on the internet.
type Options struct {
	Log        *slog.Logger
	Now        func() time.Time
	BacklogAge time.Duration // how far back to look after the server has counted anew; 0: a day
	Patience   time.Duration // how long a server may be silent when it owes an answer; 0: a minute
	FirstPause time.Duration // before the second try of anything; 0: a second
	LastPause  time.Duration // the longest; 0: five minutes
	Sleep      func(ctx context.Context, d time.Duration)
	Dial       func(ctx context.Context, network, address string) (net.Conn, error)
}

// Watcher watches one folder of one mailbox.
type Watcher struct {
	name   string
	cfg    Config
	cursor Cursor
	handle func(context.Context, []Fetched) error
	opts   Options
	log    *slog.Logger

	// What outlives a connection. It belongs to Run.
	suspects   suspects
	bySequence bool     // the server answers UID FETCH with BODY before UID: fetch by sequence number instead
	noID       bool     // the server's answer to ID broke the connection
	listFailed int      // how often in a row messages could not be listed
	passed     Position // how far the messages found again after a new counting have been handed over

	mu        sync.Mutex
	unwatched error // why there is no watching; nil while there is
	unhandled error // why the receiver does not take what came
}

// New makes the watcher of a mailbox. handle gets batches of messages in the order of their UIDs, one call at a time; when
// it returns an error it gets the same batch again. name is the key for cursor and for people.
func New(name string, cfg Config, cursor Cursor, handle func(context.Context, []Fetched) error, opts Options) *Watcher {
	cfg = cfg.withDefaults()
	opts = opts.withDefaults()
	w := &Watcher{name: name, cfg: cfg, cursor: cursor, handle: handle, opts: opts}
	w.log = opts.Log.With("mailbox", name, "host", cfg.Host, "folder", cfg.Folder)
	w.unwatched = troublef(nil, "%s is not connected yet", cfg.Host)
	return w
}

func (c Config) withDefaults() Config {
	if c.Security == "" {
		c.Security = "tls"
	}
	if c.Port == 0 {
		c.Port = 143
		if c.Security == "tls" {
			c.Port = 993 // RFC 8314 §3.2
		}
	}
	if c.Folder == "" {
		c.Folder = "INBOX"
	}
	if c.Poll <= 0 {
		c.Poll = time.Minute
	}
	return c
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.BacklogAge <= 0 {
		o.BacklogAge = 24 * time.Hour
	}
	if o.Patience <= 0 {
		o.Patience = time.Minute
	}
	if o.FirstPause <= 0 {
		o.FirstPause = time.Second
	}
	if o.LastPause <= 0 {
		o.LastPause = 5 * time.Minute
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	return o
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// healthy is how long a connection must have lasted for the pauses to begin anew.
const healthy = time.Minute

// Run watches until ctx ends, through whatever outages there are, and returns nil then.
func (w *Watcher) Run(ctx context.Context) error {
	for failures := 0; ; {
		began := time.Now()
		progress, err := w.visit(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if progress || time.Since(began) >= healthy {
			failures = 0
		}
		failures++
		if refused(err) {
			failures++ // too many wrong passwords lock an account
		}
		pause := w.opts.pause(failures, rand.Float64())
		if w.ill(err) {
			w.log.Warn("not watched", "why", err, "pause", pause)
		} else {
			w.log.Debug("still not watched", "why", err, "pause", pause)
		}
		w.opts.Sleep(ctx, pause)
	}
}

// pause is how long to wait after the n-th failure in a row: twice as long each time, up to a limit, and up to a fifth
// more by chance, so that many mailboxes do not come back to a server in step.
func (o *Options) pause(n int, chance float64) time.Duration {
	d := o.LastPause
	if shift := n - 1; shift < 20 {
		d = min(d, o.FirstPause<<shift)
	}
	return d + time.Duration(chance*float64(d)/5)
}

// Health is nil while the mailbox is watched and what comes in is recorded; else it is a sentence about why not.
func (w *Watcher) Health() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unwatched != nil {
		return w.unwatched
	}
	return w.unhandled
}

// ill notes why there is no watching and reports whether that is news.
func (w *Watcher) ill(err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	news := w.unwatched == nil || w.unwatched.Error() != err.Error()
	w.unwatched = err
	return news
}

func (w *Watcher) well() {
	w.mu.Lock()
	was := w.unwatched
	w.unwatched = nil
	w.mu.Unlock()
	if was != nil {
		w.log.Info("watched")
	}
}

func (w *Watcher) handled(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unhandled = err
}
