package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/returnpost/returnpost/config"
	"github.com/returnpost/returnpost/outbox"
	"github.com/returnpost/returnpost/responder"
	"github.com/returnpost/returnpost/store"
)

func (a *app) arrivalsCommand() *cobra.Command {
	var filter store.ArrivalFilter
	list := &cobra.Command{
		Use: "list", Short: "What came in and what was decided, the newest first", Args: cobra.NoArgs,
		RunE: a.listing(func(ctx context.Context, cfg *config.Config, db *store.DB, _ []string) error {
			for r, err := range db.Arrivals(ctx, filter) {
				if err != nil {
					return err
				}
				if err := a.line(arrivalJSON(&r), func() string { return arrivalLine(&r, cfg.Zone()) }); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	list.Flags().StringVar(&filter.Reason, "reason", "", "only those decided for this `REASON`")
	list.Flags().StringVar(&filter.Mailbox, "mailbox", "", "only those of this mailbox")
	list.Flags().StringVar(&filter.From, "from", "", "only those from this `ADDRESS`")
	list.Flags().IntVar(&filter.Limit, "limit", 0, "at most so many")
	var raw bool
	show := &cobra.Command{
		Use: "show ID", Short: "One arrival; --raw writes the bytes of a broken one", Args: cobra.ExactArgs(1),
		RunE: a.withDatabase(func(ctx context.Context, cfg *config.Config, db *store.DB, args []string) error {
			return a.showArrival(ctx, cfg, db, args[0], raw)
		}),
	}
	show.Flags().BoolVar(&raw, "raw", false, "write the message's bytes (kept for broken ones only)")
	unmute := &cobra.Command{
		Use: "unmute ADDRESS", Short: "Answer a sender again whom the robot fuse has muted", Args: cobra.ExactArgs(1),
		RunE: a.withDatabase(func(ctx context.Context, _ *config.Config, db *store.DB, args []string) error {
			return db.Unmute(ctx, args[0])
		}),
	}
	return group("arrivals", "What came in and what was decided", list, show, unmute)
}

type arrivalReport struct {
	ID           int64      `json:"id"`
	Mailbox      string     `json:"mailbox"`
	UIDValidity  uint32     `json:"uidvalidity"`
	UID          uint32     `json:"uid"`
	Arrived      time.Time  `json:"arrived"`
	Internal     *time.Time `json:"internal_date"`
	From         string     `json:"from"`
	Name         string     `json:"name"`
	Subject      string     `json:"subject"`
	MessageID    string     `json:"message_id"`
	Kind         string     `json:"kind"`
	Reason       string     `json:"reason"`
	Rule         string     `json:"rule"`
	Evidence     string     `json:"evidence"`
	Language     string     `json:"language"`
	Acknowledged bool       `json:"acknowledged"`
	Letter       string     `json:"letter,omitempty"`
	AckTo        string     `json:"acknowledgement_to,omitempty"`
	AckID        string     `json:"acknowledgement_id,omitempty"`
	Bytes        int        `json:"bytes,omitempty"` // kept of a broken message

	Delivery *deliveryReport `json:"delivery,omitempty"` // of the acknowledgement; `arrivals show` only
}

func arrivalJSON(r *store.ArrivalRecord) arrivalReport {
	return arrivalReport{
		ID: r.ID, Mailbox: r.Mailbox, UIDValidity: r.UIDValidity, UID: r.UID, Arrived: r.Seen.UTC(), Internal: moment(r.Internal),
		From: r.From, Name: r.FromName, Subject: r.Subject, MessageID: r.MessageID, Kind: r.Kind, Reason: r.Reason, Rule: r.Rule,
		Evidence: r.Evidence, Language: r.Language, Acknowledged: r.Acknowledged, Letter: r.Letter, AckTo: r.AckTo, AckID: r.AckID, Bytes: len(r.Raw),
	}
}

func arrivalLine(r *store.ArrivalRecord, zone *time.Location) string {
	verdict := "silent"
	switch {
	case r.Acknowledged:
		verdict = "acknowledged"
	case r.Reason == string(responder.NewThread):
		verdict = "observed" // decided, and nothing sent: mode observe
	}
	return fmt.Sprintf("%-6d %s  %-12s %-15s %s  %q", r.ID, r.Seen.In(zone).Format("2006-01-02 15:04"), verdict, r.Reason, orNobody(r.From), r.Subject)
}

func (a *app) showArrival(ctx context.Context, cfg *config.Config, db *store.DB, name string, raw bool) error {
	id, err := strconv.ParseInt(name, 10, 64)
	if err != nil {
		return usageError{fmt.Errorf("%q is no arrival's number; `returnpost arrivals list` shows them", name)}
	}
	r, err := db.ArrivalByID(ctx, id)
	if err != nil {
		return err
	}
	if r == nil {
		return fmt.Errorf("there is no arrival %d", id)
	}
	if raw {
		if r.Raw == nil {
			return fmt.Errorf("arrival %d: only the bytes of broken messages are kept; this one lies in mailbox %q under UID %d", id, r.Mailbox, r.UID)
		}
		_, err := a.out.Write(r.Raw)
		return err
	}
	report := arrivalJSON(r)
	if r.Acknowledged {
		for d, err := range db.Deliveries(ctx, store.DeliveryFilter{Mailbox: r.Mailbox, Arrival: r.ID}) {
			if err != nil {
				return err
			}
			delivery := deliveryJSON(&d)
			report.Delivery = &delivery
		}
	}
	return a.line(report, func() string {
		s := arrivalLine(r, cfg.Zone()) + fmt.Sprintf("\n       mailbox %s, UID %d, kind %s", r.Mailbox, r.UID, r.Kind)
		if r.Rule != "" {
			s += "; rule: " + r.Rule
		}
		if r.Evidence != "" {
			s += "\n       seen: " + r.Evidence
		}
		if r.AckID != "" {
			s += fmt.Sprintf("\n       letter %q to %s, Message-ID %s", r.Letter, r.AckTo, r.AckID)
			if d := report.Delivery; d != nil {
				s += fmt.Sprintf("\n       delivery %s: %s %s", d.ID, d.State, d.Reason)
			}
		}
		if len(r.Raw) > 0 {
			s += fmt.Sprintf("\n       %d bytes are kept: `returnpost arrivals show %d --raw`", len(r.Raw), r.ID)
		}
		return s
	})
}

func (a *app) promisesCommand() *cobra.Command {
	var filter store.PromiseFilter
	list := &cobra.Command{
		Use: "list", Short: "Who waits for an answer, and until when", Args: cobra.NoArgs,
		RunE: a.listing(func(ctx context.Context, cfg *config.Config, db *store.DB, _ []string) error {
			for p, err := range db.Promises(ctx, filter) {
				if err != nil {
					return err
				}
				if err := a.line(promiseJSON(&p), func() string { return promiseLine(&p, cfg.Zone()) }); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	list.Flags().BoolVar(&filter.All, "all", false, "those that ended too")
	list.Flags().StringVar(&filter.Mailbox, "mailbox", "", "only those of this mailbox")
	return group("promises", "What was promised to whom", list)
}

type promiseReport struct {
	ID       string     `json:"id"`
	Member   string     `json:"member"`
	From     string     `json:"from"`
	Name     string     `json:"name"`
	Subject  string     `json:"subject"`
	Mailbox  string     `json:"mailbox"`
	Arrived  time.Time  `json:"arrived"`
	Promised *time.Time `json:"promised"`
	FollowUp *time.Time `json:"follow_up"`
	State    string     `json:"state"`
	Told     bool       `json:"told"`
	Rule     string     `json:"rule"`
}

func promiseJSON(p *store.PromiseRecord) promiseReport {
	return promiseReport{
		ID: p.ID, Member: p.Member, From: p.From, Name: p.FromName, Subject: p.Subject, Mailbox: p.Mailbox, Arrived: p.Arrived.UTC(),
		Promised: moment(p.By), FollowUp: moment(p.FollowUp), State: p.State, Told: p.Told, Rule: p.Rule,
	}
}

func promiseLine(p *store.PromiseRecord, zone *time.Location) string {
	until := "no time named"
	if !p.By.IsZero() {
		until = p.By.In(zone).Format("Mon 2006-01-02 15:04")
	}
	told := ""
	if !p.Told {
		told = "  (not told)"
	}
	return fmt.Sprintf("%-6s %-8s %-20s  %s  %q%s", p.ID, p.State, until, p.From, p.Subject, told)
}

func (a *app) deliveriesCommand() *cobra.Command {
	var state, box string
	list := &cobra.Command{
		Use: "list", Short: "The outbox and what became of each letter", Args: cobra.NoArgs,
		RunE: a.listing(func(ctx context.Context, cfg *config.Config, db *store.DB, _ []string) error {
			filter := store.DeliveryFilter{Mailbox: box}
			if state != "" {
				s, err := outbox.ParseState(state)
				if err != nil {
					return usageError{err}
				}
				filter.State = &s
			}
			for d, err := range db.Deliveries(ctx, filter) {
				if err != nil {
					return err
				}
				if err := a.line(deliveryJSON(&d), func() string { return deliveryLine(&d, cfg.Zone()) }); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	list.Flags().StringVar(&state, "state", "", "only those in this `STATE`: queued, sent, deferred, failed, doubt, …")
	list.Flags().StringVar(&box, "mailbox", "", "only those of this mailbox")
	change := func(use, short, done string, f func(*store.DB, context.Context, string) error) *cobra.Command {
		return &cobra.Command{
			Use: use, Short: short, Args: cobra.MinimumNArgs(1),
			RunE: a.withDatabase(func(ctx context.Context, _ *config.Config, db *store.DB, ids []string) error {
				var errs []error
				for _, id := range ids {
					if err := f(db, ctx, id); err != nil {
						errs = append(errs, err)
						continue
					}
					a.say("%s %s", id, done)
				}
				return errors.Join(errs...)
			}),
		}
	}
	return group("deliveries", "The outbox", list,
		change("retry ID…", "Queue letters again that failed, or try those that wait now", "is queued again", (*store.DB).RetryDelivery),
		change("cancel ID…", "Stop letters that wait", "is canceled", (*store.DB).CancelDelivery))
}

type deliveryReport struct {
	ID        string     `json:"id"`
	To        string     `json:"to"`
	Letter    string     `json:"letter"`
	Campaign  string     `json:"campaign"`
	Mailbox   string     `json:"mailbox"`
	State     string     `json:"state"`
	Attempts  int        `json:"attempts"`
	Reason    string     `json:"reason"`
	Code      int        `json:"code,omitempty"`
	Status    string     `json:"status,omitempty"`
	MessageID string     `json:"message_id"`
	At        time.Time  `json:"at"`
	Due       *time.Time `json:"due"`
}

func deliveryJSON(d *store.DeliveryRecord) deliveryReport {
	return deliveryReport{
		ID: d.ID, To: d.To, Letter: d.Letter, Mailbox: d.Mailbox, State: d.State.String(), Attempts: d.Attempts, Reason: d.Reason,
		Code: d.Code, Status: d.Status, MessageID: d.MessageID, At: d.At.UTC(), Due: moment(d.Due),
	}
}

func deliveryLine(d *store.DeliveryRecord, zone *time.Location) string {
	s := fmt.Sprintf("%-10s %s  %-9s %s", d.ID, d.At.In(zone).Format("2006-01-02 15:04"), d.State, d.To)
	if d.Reason != "" {
		s += "  " + d.Reason
	}
	if !d.Due.IsZero() {
		s += d.Due.In(zone).Format("  (again 15:04)")
	}
	return s
}
