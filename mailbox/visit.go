package mailbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"
)

// visit is one connection's time with the folder.
type visit struct {
	*Watcher
	conn     *connection
	box      box
	done     uint32 // handed over and recorded up to this UID
	progress bool   // something has been handed over
}

// visit connects and watches until the connection ends. progress: something has been handed over meanwhile.
func (w *Watcher) visit(ctx context.Context) (progress bool, err error) {
	c, err := connect(ctx, &w.cfg, &w.opts)
	if err != nil {
		return false, err
	}
	defer c.close()
	if err := c.login(); err != nil {
		return false, err
	}
	if !w.noID {
		if err := c.identify(); err != nil {
			w.noID = true // its answer may be what broke the connection
			return false, err
		}
	}
	v := &visit{Watcher: w, conn: c}
	if v.box, err = c.open(w.cfg.Folder); err != nil {
		w.noID = false // it may be the name that is missed
		return false, err
	}
	err = v.resume(ctx)
	for err == nil {
		if err = v.pull(ctx); err == nil {
			err = c.wait(ctx)
		}
	}
	return v.progress, err
}

// resume finds where to go on. At the very first start what is there is history.
func (v *visit) resume(ctx context.Context) error {
	v.suspects.under(v.box.validity)
	p, err := v.cursor.Resume(ctx, v.name)
	if err != nil {
		return fmt.Errorf("where the mailbox %s was left is not known: %w", v.name, err)
	}
	switch {
	case p == Position{}:
		v.raiseNext()
		return v.begin(ctx)
	case p.UIDValidity != v.box.validity:
		v.raiseNext()
		v.log.Warn("UIDVALIDITY changed: what came lately is gone through again", "was", p.UIDValidity, "is", v.box.validity)
	case v.countsLower(p):
		v.log.Warn("the server counts lower than before under the same UIDVALIDITY (was the folder restored, or another configured?): what came lately is gone through again",
			"uidnext", v.box.next, "done", p.UID)
	default:
		v.done = p.UID
		return nil
	}
	if err := v.again(ctx); err != nil {
		return err
	}
	return v.begin(ctx)
}

// countsLower says whether messages get UIDs that others had before, which RFC 9051 §2.3.1.1 forbids without a new
// UIDVALIDITY. Folders restored from a copy do it, servers that know but one UIDVALIDITY, and another host or folder in
// the configuration. Only a UIDNEXT shows it: the last message's UID is lower also when those behind it are gone.
func (v *visit) countsLower(p Position) bool {
	if p.UID < v.box.next || !v.box.told {
		return false
	}
	v.raiseNext()
	return p.UID >= v.box.next
}

// raiseNext mends a UIDNEXT that is below what the folder holds; a server that does not answer is believed. It goes by the
// last message's number, so it comes right after the folder was opened: later, numbers may have moved up by an expunge, and
// a letter that has just come would pass for one that was there (RFC 9051 §7.5.1 keeps them still for this one command).
func (v *visit) raiseNext() {
	if next, err := v.conn.findNext(v.box.messages); err == nil {
		v.box.next = max(v.box.next, next)
	}
}

func (v *visit) begin(ctx context.Context) error {
	p := Position{UIDValidity: v.box.validity, UID: v.box.next - 1}
	if err := v.cursor.Begin(ctx, v.name, p, v.box.messages); err != nil {
		return fmt.Errorf("where watching the mailbox %s begins cannot be noted: %w", v.name, err)
	}
	v.done, v.passed = p.UID, Position{}
	return nil
}

// again hands over what came lately, after the messages got other numbers: some of it may have come while nobody watched.
// Only then is the new position recorded, so that a kill between makes this happen again, and nothing is taken for new that
// was only renumbered.
func (v *visit) again(ctx context.Context) error {
	if v.box.messages == 0 {
		return nil // some servers refuse to search an empty folder
	}
	day := since(v.opts.Now(), v.opts.BacklogAge)
	items, err := v.conn.search(&imap.SearchCriteria{Since: day}, v.box.messages)
	var e *imap.Error
	if errors.As(err, &e) && !passing(e) {
		v.log.Warn("the server does not search: what came lately is found by listing the whole folder", "why", err)
		items, err = v.listSince(day)
	}
	if err != nil {
		return err
	}
	_, noticed := v.conn.look()
	items = slices.DeleteFunc(items, func(it item) bool {
		return it.uid >= v.box.next || v.passed.UIDValidity == v.box.validity && it.uid <= v.passed.UID
	})
	for part := range slices.Chunk(items, 500) { // a command line has its limits
		if v.listFailed < 2 {
			var set imap.UIDSet
			for _, it := range part {
				set.AddNum(imap.UID(it.uid))
			}
			if part, err = v.list(set, uint32(len(part))); err != nil {
				return err
			}
		}
		if err := v.handOver(ctx, part, noticed, true); err != nil {
			return err
		}
		v.listFailed = 0
	}
	return nil
}

// listSince finds what came since day where the server refuses to search: by the dates of all that was there when the folder
// was opened. What has no date may be new.
func (v *visit) listSince(day time.Time) (found []item, err error) {
	last, width := uint64(v.box.next)-1, uint64(window)
	for from := uint64(0); from < last; {
		to := min(from+width, last) // never 0, which would be "*"
		items, err := v.list(imap.UIDSet{{Start: imap.UID(from + 1), Stop: imap.UID(to)}}, v.box.messages)
		if err != nil {
			return nil, err
		}
		from = to
		if width *= 4; len(items) > 0 {
			width = window
		}
		for _, it := range items {
			if it.known.Internal.IsZero() || !it.known.Internal.Before(day) {
				found = append(found, it)
			}
		}
	}
	return found, nil
}

// window is how many UIDs are looked at in one go when many letters wait, so that their list stays small.
const window = 10_000

// pull hands over what is new.
func (v *visit) pull(ctx context.Context) error {
	messages, noticed := v.conn.look()
	from, width := uint64(v.done), uint64(window)
	for {
		to := from + width
		if to >= uint64(v.box.next) {
			to = 0 // "*": the rest, and what has come since the folder was opened
		}
		items, err := v.listNew(imap.UIDSet{{Start: imap.UID(from + 1), Stop: imap.UID(to)}}, messages)
		if err != nil {
			return err
		}
		v.well()
		if err := v.handOver(ctx, items, noticed, false); err != nil {
			return err
		}
		v.listFailed = 0
		if to == 0 {
			return nil
		}
		from = to
		if width *= 4; len(items) > 0 { // gaps between UIDs may be wide
			width = window
		}
	}
}

// list asks for what handing over wants to know of messages, and counts its failures: one message may be what the server
// cannot list, or what cannot be parsed in its list. After two the messages are fetched with no more known than their UIDs.
func (v *visit) list(set imap.UIDSet, messages uint32) ([]item, error) {
	items, err := v.conn.list(set, messages)
	if err != nil && messages > 0 && !passes(err) {
		v.listFailed++
	}
	return items, err
}

func (v *visit) listNew(set imap.UIDSet, messages uint32) (items []item, err error) {
	if v.listFailed < 2 {
		items, err = v.list(set, messages)
	} else {
		items, err = v.conn.search(&imap.SearchCriteria{UID: []imap.UIDSet{set}}, messages)
	}
	var e *imap.Error
	if errors.As(err, &e) && messages == 0 {
		return nil, nil // some servers refuse any set of messages when there are none
	}
	// n:* names the last message even when it is below n (RFC 9051 §6.4.9).
	return slices.DeleteFunc(items, func(it item) bool { return it.uid <= v.done }), err
}

// handOver fetches items and gives them to the receiver, batch by batch; the next batch is fetched while it works.
func (v *visit) handOver(ctx context.Context, items []item, noticed time.Time, renumbered bool) error {
	if len(items) == 0 {
		return nil
	}
	batches := make(chan []Fetched)
	received := make(chan error, 1)
	go func() { received <- v.receive(ctx, batches, renumbered) }()
	err := v.fetchAll(ctx, items, func(batch []Fetched) error {
		for i := range batch {
			batch[i].UIDValidity, batch[i].Noticed, batch[i].Renumbered = v.box.validity, noticed, renumbered
		}
		select {
		case batches <- batch:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	close(batches)
	if e := <-received; err == nil {
		err = e
	}
	return err
}

// receive gives batches to the receiver, each until it is taken.
func (v *visit) receive(ctx context.Context, batches <-chan []Fetched, renumbered bool) error {
	for batch := range batches {
		for failures := 1; ; failures++ {
			err := v.handle(ctx, batch)
			if err == nil {
				break
			}
			if ctx.Err() == nil {
				pause := v.opts.pause(failures, rand.Float64())
				v.log.Error("messages could not be recorded", "first", batch[0].UID, "messages", len(batch), "why", err, "pause", pause)
				v.handled(fmt.Errorf("what comes into %s is not recorded: %w", v.name, err))
				v.opts.Sleep(ctx, pause)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		v.handled(nil)
		v.progress = true
		last := batch[len(batch)-1].UID
		if renumbered {
			v.passed = Position{UIDValidity: v.box.validity, UID: last}
		} else {
			v.done = last
		}
	}
	return nil
}

// fetchAll fetches items batch by batch, in order.
func (v *visit) fetchAll(ctx context.Context, items []item, send func([]Fetched) error) error {
	for len(items) > 0 {
		batch, settled, err := v.take(ctx, items[:v.suspects.next(items)])
		if len(batch) > 0 {
			if e := send(batch); e != nil {
				return e
			}
		}
		if err != nil {
			return err
		}
		items = items[settled:]
	}
	return nil
}

// take fetches a batch and returns as much of it, from the front, as is settled: got, gone from the server, or given up.
// What is not settled is suspect from then on, unless the server speaks only of its moment.
func (v *visit) take(ctx context.Context, items []item) (batch []Fetched, settled int, err error) {
	found, err := v.conn.fetch(items, v.bySequence)
	missing := found.missing(items)
	if err == nil && len(missing) > 0 {
		missing, err = v.reconcile(missing, &found)
	}
	for _, it := range items {
		if f, ok := found.whole[it.uid]; ok {
			v.suspects.clear(it.uid)
			batch = append(batch, f)
		} else if len(missing) > 0 && it.uid >= missing[0].uid {
			break
		}
		settled++
	}
	if settled == len(items) || ctx.Err() != nil || passes(err) {
		return batch, settled, err
	}
	first := items[settled]
	v.suspects.suspect(items[settled:])
	if len(items) > 1 {
		if err != nil && found.begun[first.uid] {
			v.suspects.strike(first.uid, true) // the connection broke within its answer
		}
		return batch, settled, err
	}
	why := err
	if err == nil {
		why = errors.New("it is in the folder, but the server does not give it")
		err = troublef(nil, "%s does not give the message with the UID %d", v.cfg.Host, first.uid)
	}
	if v.suspects.strike(first.uid, found.begun[first.uid]) {
		v.log.Error("a message is given up", "uid", first.uid, "why", why)
		fault := first.known
		fault.Fault = why.Error()
		batch, settled = append(batch, fault), settled+1
	}
	return batch, settled, err
}

// passes says whether a refusal is about the server's moment, so that it does not count against a message.
func passes(err error) bool {
	var e *imap.Error
	return errors.As(err, &e) && passing(e)
}

// reconcile finds out about messages that were asked for and not returned. Those that are gone from the folder are settled;
// the others are fetched by their numbers, since a server that puts BODY before UID makes go-imap return nothing at all
// to a fetch by UID. It returns those that still are not had.
func (v *visit) reconcile(missing []item, found *got) (still []item, err error) {
	var set imap.UIDSet
	for _, it := range missing {
		set.AddNum(imap.UID(it.uid))
	}
	there, err := v.conn.list(set, uint32(len(missing)))
	if err != nil {
		return missing, err
	}
	if len(there) == 0 {
		return nil, nil
	}
	more, err := v.conn.fetch(there, true)
	if len(found.whole) == 0 && len(more.whole) > 0 && !v.bySequence {
		v.log.Info("this server puts BODY before UID: messages are fetched by sequence number")
		v.bySequence = true
	}
	for _, it := range there {
		if f, ok := more.whole[it.uid]; ok {
			found.whole[it.uid] = f
		} else {
			still = append(still, it)
			found.begun[it.uid] = more.begun[it.uid]
		}
	}
	return still, err
}
