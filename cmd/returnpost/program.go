package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/returnpost/returnpost/config"
	"github.com/returnpost/returnpost/mailbox"
	"github.com/returnpost/returnpost/outbox"
	"github.com/returnpost/returnpost/responder"
	"github.com/returnpost/returnpost/store"
	"github.com/returnpost/returnpost/templates"
	"github.com/returnpost/returnpost/web"
)

const (
	refreshEvery = time.Minute     // how often acknowledgements that waited too long are looked for
	lookEvery    = 5 * time.Second // how often letters are looked for that a command has queued beside us
	lettersEvery = 2 * time.Second // how often the letters' files are looked at for changes
)

// Program is the daemon: who holds whom can be read off its fields.
type Program struct {
	cfg  *config.Config
	log  *slog.Logger
	mail *mailLog
	now  func() time.Time

	db       *store.DB
	release  func() // of the lock that keeps a second daemon off the database
	letters  map[string]*templates.Library
	policies map[string]*responder.Policy
	watchers map[string]*mailbox.Watcher
	outboxes []*outbox.Outbox
	listener net.Listener // nil when web.listen is empty

	lookEvery, lettersEvery time.Duration
}

// ProgramOptions are what a Program is given besides its configuration.
type ProgramOptions struct {
	Log       *slog.Logger
	Now       func() time.Time
	OnEvent   func(responder.Event)
	OnOutcome func(outbox.Delivery, outbox.Outcome)
}

// NewProgram opens the database, takes its lock and builds all parts. Nothing
// runs yet.
func NewProgram(ctx context.Context, cfg *config.Config, opts ProgramOptions) (*Program, error) {
	p := &Program{
		cfg: cfg, log: opts.Log, now: opts.Now,
		mail:     &mailLog{log: opts.Log.With("log", "mail"), onEvent: opts.OnEvent, onOutcome: opts.OnOutcome},
		policies: map[string]*responder.Policy{}, watchers: map[string]*mailbox.Watcher{},
		lookEvery: lookEvery, lettersEvery: lettersEvery,
	}
	if p.now == nil {
		p.now = time.Now
	}
	if err := p.open(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Program) open(ctx context.Context) (err error) {
	if p.letters, err = openLetters(p.cfg); err != nil {
		return err
	}
	if p.db, err = store.Open(ctx, p.cfg.Database, store.Options{Now: p.now, Log: p.log}); err != nil {
		return err
	}
	if p.release, err = p.db.Lock(ctx); err != nil {
		return err
	}
	secret, err := p.db.Secret(ctx)
	if err != nil {
		return err
	}
	marker := responder.NewMarker(secret)

	var routes []route
	for i := range p.cfg.Mailboxes {
		mb := &p.cfg.Mailboxes[i]
		held, err := p.db.RegisterMailbox(ctx, mb.Name, mb.Address)
		if err != nil {
			return err
		}
		policy := policyOf(p.cfg, mb, p.letters[mb.Letters], marker, held)
		p.policies[mb.Name] = policy
		routes = addRoute(routes, mb, held.Sending)
		box := responder.New(policy, p.db, responder.Options{
			Started: held.Started, Now: p.now, Log: p.log, Tell: p.mail.Decided, Wake: p.wake,
		})
		p.watchers[mb.Name] = mailbox.New(mb.Name, mb.IMAP, p.db, box.Handle, mailbox.Options{
			Log: p.log, Now: p.now, BacklogAge: policy.BacklogAge,
		})
	}
	for _, r := range routes {
		transport, err := outbox.NewTransport(r.smtp, outbox.Timeouts{})
		if err != nil {
			return err
		}
		p.outboxes = append(p.outboxes, outbox.New(p.db.Queue(r.sendings...), transport, outbox.Options{
			Connections: r.smtp.Connections, Rate: r.smtp.Rate, Log: p.log, Now: p.now, OnOutcome: p.mail.Outcome,
			HoldDoubt: !p.resends(),
		}))
	}
	if p.cfg.Web.Listen != "" {
		if p.listener, err = net.Listen("tcp", p.cfg.Web.Listen); err != nil {
			return fmt.Errorf("web.listen: %w", err)
		}
	}
	return nil
}

// route is one way out: an SMTP server and what goes through it.
type route struct {
	smtp     outbox.Config
	sendings []int64
	senders  []string // addresses that letters come from
}

// addRoute adds a mailbox to the route of its SMTP server.
func addRoute(routes []route, mb *config.Mailbox, sending int64) []route {
	for i := range routes {
		if r := &routes[i]; reflect.DeepEqual(r.smtp, mb.SMTP) {
			r.sendings, r.senders = append(r.sendings, sending), append(r.senders, mb.Address)
			return routes
		}
	}
	return append(routes, route{mb.SMTP, []int64{sending}, []string{mb.Address}})
}

func (p *Program) wake() {
	for _, o := range p.outboxes {
		o.Wake()
	}
}

// Run watches, answers and sends until ctx ends; then what is on the wire
// finishes and the rest goes back to the queue. It returns an error only where
// the program cannot go on: a mailbox or a server that fails is waited for.
func (p *Program) Run(ctx context.Context) error {
	// What a daemon that died left on the wire is in doubt before anything new is sent.
	doubts, err := p.db.Recover(ctx, p.resends())
	if err != nil {
		return err
	}
	if doubts > 0 {
		p.log.Warn("letters were on the wire when the last run ended and are in doubt", "count", doubts, "sent_again", p.resends())
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, o := range p.outboxes {
		g.Go(func() error { return o.Run(ctx) })
	}
	for _, w := range p.watchers {
		g.Go(func() error { return w.Run(ctx) })
	}
	for _, l := range p.letters {
		g.Go(func() error {
			l.Watch(ctx, p.lettersEvery, func(err error) {
				p.log.Error("a letter has a mistake; the last good one stays in use", "error", err)
			})
			return nil
		})
	}
	g.Go(func() error { p.refresh(ctx); return nil })
	g.Go(func() error { return p.look(ctx) })
	if p.listener != nil {
		g.Go(func() error { return web.Serve(ctx, p.listener, p.Handler()) })
	}
	return g.Wait()
}

// resends says whether acknowledgements in doubt are sent again.
func (p *Program) resends() bool { return p.cfg.Sending.Doubt.Acknowledgements != "hold" }

// refresh composes acknowledgements anew that have waited past their promise.
func (p *Program) refresh(ctx context.Context) {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		n, err := responder.Refresh(ctx, p.db, p.policies, p.now())
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			p.log.Error("late acknowledgements could not be composed anew", "error", err)
		case n > 0:
			p.log.Info("late acknowledgements were composed anew", "count", n)
			p.wake()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look wakes the outboxes from time to time, because `deliveries retry` is
// another process, which can only write to the database; and it holds on to the
// lock that makes this the database's one daemon. Its error ends the program.
func (p *Program) look(ctx context.Context) error {
	tick := time.NewTicker(p.lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.wake()
		case <-ctx.Done():
			return nil
		}
		// A server that cannot be asked is waited for; Health tells of it.
		if err := p.db.KeepLock(ctx); errors.Is(err, store.ErrLockLost) {
			return err
		}
	}
}

// Handler serves the program's pages.
func (p *Program) Handler() http.Handler {
	return web.Handler(web.Pages{Health: p.Health})
}

// Health gives the reasons why the program does not work as it should, a
// sentence each.
func (p *Program) Health(ctx context.Context) []string {
	var reasons []string
	for _, name := range p.cfg.MailboxNames() {
		if err := p.watchers[name].Health(); err != nil {
			reasons = append(reasons, fmt.Sprintf("mailbox %q: %v", name, err))
		}
	}
	for _, o := range p.outboxes {
		if err := o.Health(); err != nil {
			reasons = append(reasons, err.Error())
		}
	}
	if err := p.db.Health(ctx); err != nil {
		reasons = append(reasons, fmt.Sprintf("database: %v", err))
	}
	return reasons
}

// Close gives back the database and the listener. It may be called after a
// failed start too.
func (p *Program) Close() error {
	var errs []error
	if p.listener != nil {
		// web.Serve has closed it already when the program ran.
		if err := p.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if p.release != nil {
		p.release()
	}
	if p.db != nil {
		errs = append(errs, p.db.Close())
	}
	return errors.Join(errs...)
}
