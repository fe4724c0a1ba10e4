package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/returnpost/returnpost/config"
	"github.com/returnpost/returnpost/mailbox"
	"github.com/returnpost/returnpost/message"
	"github.com/returnpost/returnpost/responder"
	"github.com/returnpost/returnpost/store"
)

// maxExplained is how much of a file is read, as of a message on a server.
const maxExplained = mailbox.MaxRaw

// explained is the JSON of `explain`, one object a message.
type explained struct {
	File         string             `json:"file"`
	MessageID    string             `json:"message_id"`
	From         string             `json:"from"`
	Subject      string             `json:"subject"`
	Language     string             `json:"language"`
	Kind         message.Kind       `json:"kind"`
	Acknowledge  bool               `json:"acknowledge"`
	Reason       responder.Reason   `json:"reason"`
	Rule         string             `json:"rule"`
	Evidence     string             `json:"evidence,omitempty"`
	Waits        bool               `json:"waits"`
	Arrival      int64              `json:"arrival,omitempty"` // as which it is in the ledger already, where that mattered
	Letter       string             `json:"letter"`
	Member       string             `json:"member"`
	Promise      *time.Time         `json:"promise"`
	PromiseWords string             `json:"promise_words"`
	NewText      string             `json:"new_text"`
	Bounce       any                `json:"bounce,omitempty"` // one bounce, or a list when several
	Complaint    *message.Complaint `json:"complaint,omitempty"`
	Trace        []responder.Step   `json:"trace"`
}

func (a *app) explainCommand() *cobra.Command {
	var box string
	var toUs bool
	cmd := &cobra.Command{
		Use: "explain [--mailbox NAME] [--to-us] FILE…", Short: "Say what would be decided on raw messages, and by which rule (- is standard input)",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			e, err := a.explainer(cmd.Context(), box, toUs)
			if err != nil {
				return err
			}
			defer e.close()
			return e.all(cmd.Context(), files)
		},
	}
	cmd.Flags().StringVar(&box, "mailbox", "", "judge as this mailbox (default: the first)")
	cmd.Flags().BoolVar(&toUs, "to-us", false, "as if addressed to the mailbox and fresh")
	return cmd
}

// explainer judges files as a mailbox would.
type explainer struct {
	app    *app
	policy *responder.Policy
	db     *store.DB // nil where there is no database yet
	ledger bool      // the mailbox has been watched: the database holds more than the member list
	toUs   bool
}

func (a *app) explainer(ctx context.Context, box string, toUs bool) (*explainer, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	mb, err := mailboxNamed(cfg, box)
	if err != nil {
		return nil, err
	}
	letters, err := openLetters(cfg)
	if err != nil {
		return nil, err
	}
	e := &explainer{app: a, toUs: toUs}
	e.db, err = a.existingDatabase(ctx, cfg)
	if err != nil {
		return nil, err
	}
	marker := responder.Marker{}
	if e.db != nil {
		secret, err := e.db.Secret(ctx)
		if err != nil {
			return nil, err
		}
		marker = responder.NewMarker(secret)
		at, err := e.db.Resume(ctx, mb.Name)
		if err != nil {
			return nil, err
		}
		e.ledger = at.UIDValidity != 0
	}
	e.policy = policyOf(cfg, mb, letters[mb.Letters], marker, store.Mailbox{})
	e.policy.AnyAddressee = e.policy.AnyAddressee || toUs
	return e, nil
}

func (e *explainer) close() {
	if e.db != nil {
		e.db.Close()
	}
}

func mailboxNamed(cfg *config.Config, name string) (*config.Mailbox, error) {
	for i := range cfg.Mailboxes {
		if name == "" || cfg.Mailboxes[i].Name == name {
			return &cfg.Mailboxes[i], nil
		}
	}
	return nil, usageError{fmt.Errorf("there is no mailbox %q; the configuration has %s", name, strings.Join(cfg.MailboxNames(), ", "))}
}

// all explains the files in their order, several at a time.
func (e *explainer) all(ctx context.Context, files []string) error {
	type slot struct {
		x   explained
		err error
	}
	workers := runtime.GOMAXPROCS(0)
	slots := make(chan chan slot, 4*workers)
	go func() {
		defer close(slots)
		for _, f := range files {
			c := make(chan slot, 1)
			select {
			case slots <- c:
			case <-ctx.Done():
				return
			}
			go func() {
				x, err := e.file(ctx, f)
				c <- slot{x, err}
			}()
		}
	}()
	var failed error
	for c := range slots {
		s := <-c
		if s.err != nil {
			e.app.say("returnpost: %v", s.err)
			failed = silentError{errors.New("some files could not be read")}
			continue
		}
		if err := e.app.line(s.x, func() string { return s.x.story() }); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return failed
}

// file judges one file.
func (e *explainer) file(ctx context.Context, name string) (explained, error) {
	raw, err := e.read(name)
	if err != nil {
		return explained{}, err
	}
	m := message.Parse(raw)
	h, arrival, err := e.history(ctx, m)
	if err != nil {
		return explained{}, err
	}
	d := responder.Decide(m, h, e.policy)
	x := explained{
		File: name, MessageID: m.MessageID, From: d.Author.Addr, Subject: m.Subject, Kind: d.Kind,
		Acknowledge: d.Acknowledge, Reason: d.Reason, Rule: d.Rule, Evidence: d.Evidence, Waits: d.Waits,
		Arrival: arrival, NewText: m.NewText, Complaint: m.Complaint, Trace: responder.Trace(m, h, e.policy),
	}
	if h.Member != nil {
		x.Member = h.Member.Email
	}
	switch len(m.Bounces) {
	case 0:
	case 1:
		x.Bounce = m.Bounces[0]
	default:
		x.Bounce = m.Bounces
	}
	plan := e.policy.Plan(m, d, h.Member, e.app.now())
	x.Language, x.Letter, x.PromiseWords = plan.Language, plan.Letter, plan.Words
	if !plan.Promise.By.IsZero() {
		x.Promise = &plan.Promise.By
	}
	return x, nil
}

func (e *explainer) read(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(e.app.in, maxExplained))
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	if info, err := f.Stat(); err == nil {
		b.Grow(int(min(info.Size(), maxExplained)) + bytes.MinRead)
	}
	_, err = b.ReadFrom(io.LimitReader(f, maxExplained))
	return b.Bytes(), err
}

// history is what the database knows; a message in a file is as old as its own
// time stamps say, unless it is to be taken as fresh. One that is in the ledger
// already, as the arrival whose number is returned, is judged as on that day: it
// is no follow-up to itself.
func (e *explainer) history(ctx context.Context, m *message.Message) (h responder.History, arrival int64, err error) {
	switch {
	case e.ledger:
		h, _, err = responder.Recall(ctx, e.db, e.policy, m)
	case e.db != nil:
		h.Member, err = e.db.Member(ctx, m.From.Addr)
	}
	if err != nil {
		return h, 0, err
	}
	if e.toUs {
		h.FollowUp = ""
		return h, 0, nil
	}
	came := m.Received
	if came.IsZero() {
		came = m.Date
	}
	h.Stale = e.policy.Stale(came, e.app.now())
	if h.FollowUp == "" && h.Stale == "" {
		return h, 0, nil
	}
	r, err := e.recorded(ctx, m)
	if err != nil || r == nil {
		return h, 0, err
	}
	h.Stale = e.policy.Stale(r.Internal, r.Seen)
	switch reason := responder.Reason(r.Reason); reason {
	case responder.FollowUp:
	case responder.LimitSender, responder.LimitDomain, responder.LimitTotal:
		h.FollowUp, h.Blown = "", reason
	default:
		h.FollowUp = ""
	}
	return h, r.ID, nil
}

// recorded finds a message in the ledger, by what a file and an arrival have in
// common; nil where it is not there.
func (e *explainer) recorded(ctx context.Context, m *message.Message) (*store.ArrivalRecord, error) {
	if !e.ledger || m.MessageID == "" {
		return nil, nil
	}
	for r, err := range e.db.Arrivals(ctx, store.ArrivalFilter{Mailbox: e.policy.Mailbox, From: m.From.Addr}) {
		if err != nil {
			return nil, err
		}
		if r.MessageID == m.MessageID && r.Subject == m.Subject {
			return &r, nil
		}
	}
	return nil, nil
}

// story tells the decision and the way to it.
func (x *explained) story() string {
	var b strings.Builder
	verdict := "silent"
	if x.Acknowledge {
		verdict = "acknowledge"
	}
	fmt.Fprintf(&b, "%s: %s (%s)\n", x.File, verdict, x.Reason)
	fmt.Fprintf(&b, "  from %s, %q, kind %s", orNobody(x.From), x.Subject, x.Kind)
	if x.Language != "" {
		fmt.Fprintf(&b, ", answered in %s", x.Language)
	}
	if x.Member != "" {
		fmt.Fprintf(&b, ", member %s", x.Member)
	}
	if x.Acknowledge {
		fmt.Fprintf(&b, "\n  letter %q: %s", x.Letter, x.PromiseWords)
	} else if x.Waits {
		b.WriteString("\n  a person waits for an answer all the same")
	}
	if x.Arrival != 0 {
		fmt.Fprintf(&b, "\n  judged as when it came in: `returnpost arrivals show %d`", x.Arrival)
	}
	for _, s := range x.Trace {
		mark := "·"
		if s.Hit {
			mark = "→"
		}
		fmt.Fprintf(&b, "\n  %s %-16s %s", mark, s.Reason, s.Rule)
		if s.Hit && s.Evidence != "" {
			fmt.Fprintf(&b, "  [%s]", s.Evidence)
		}
	}
	return b.String()
}

func orNobody(s string) string {
	if s == "" {
		return "nobody"
	}
	return s
}
