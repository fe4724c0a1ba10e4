package mailtest

import (
	"bytes"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// folder is one mailbox of a user. It keeps messages as the bytes they were given, well-formed or not, and never holds its
// lock while it writes to a client: the library's own imapmemserver does neither, and cannot change a UIDVALIDITY.
type folder struct {
	name  string
	attrs []imap.MailboxAttr

	mu       sync.Mutex
	validity uint32
	next     imap.UID
	stored   []*stored // by UID
	tracker  *imapserver.MailboxTracker
	changed  chan struct{} // closed at each change, for IDLE, and made anew
}

// stored is one message. Its flags are replaced, never changed in place.
type stored struct {
	uid   imap.UID
	at    time.Time
	flags []imap.Flag
	raw   []byte
	make  func(uid uint32) []byte // instead of raw: the bytes are made when they are asked for
}

func (m *stored) bytes() []byte {
	if m.make != nil {
		return m.make(uint32(m.uid))
	}
	return m.raw
}

func (m *stored) has(flag imap.Flag) bool {
	return slices.ContainsFunc(m.flags, func(f imap.Flag) bool { return strings.EqualFold(string(f), string(flag)) })
}

func newFolder(name string, validity uint32, attrs ...imap.MailboxAttr) *folder {
	return &folder{name: name, attrs: attrs, validity: validity, next: 1, tracker: imapserver.NewMailboxTracker(0), changed: make(chan struct{})}
}

// announce wakes every IDLE. The caller holds the lock.
func (f *folder) announce() {
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *folder) append(m *stored) uint32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	m.uid = f.next
	f.next++
	f.stored = append(f.stored, m)
	f.tracker.QueueNumMessages(uint32(len(f.stored)))
	f.announce()
	return uint32(m.uid)
}

// fill puts in n messages whose bytes are made when asked for.
func (f *folder) fill(n int, at time.Time, make func(uid uint32) []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stored = slices.Grow(f.stored, n)
	for range n {
		f.stored = append(f.stored, &stored{uid: f.next, at: at, make: make, flags: []imap.Flag{imap.FlagSeen}})
		f.next++
	}
	f.tracker.QueueNumMessages(uint32(len(f.stored)))
	f.announce()
}

// renumber gives the folder a new UIDVALIDITY and its messages the UIDs from 1.
func (f *folder) renumber(validity uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.validity, f.next = validity, 1
	renumbered := make([]*stored, len(f.stored))
	for i, m := range f.stored {
		again := *m
		again.uid = f.next
		f.next++
		renumbered[i] = &again
	}
	f.stored = renumbered
}

func (f *folder) expunge(which func(*stored) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var kept []*stored
	gone := uint32(0)
	for i, m := range f.stored {
		if which(m) {
			f.tracker.QueueExpunge(uint32(i) + 1 - gone)
			gone++
			continue
		}
		kept = append(kept, m)
	}
	if gone > 0 {
		f.stored = kept
		f.announce()
	}
}

func (f *folder) find(uid imap.UID) *stored {
	i := sort.Search(len(f.stored), func(i int) bool { return f.stored[i].uid >= uid })
	if i < len(f.stored) && f.stored[i].uid == uid {
		return f.stored[i]
	}
	return nil
}

// numbered is a message with its number as one client counts.
type numbered struct {
	*stored
	index int
	seq   uint32
}

// pick returns the messages of a set as a session knows them; those it was not told of yet are left out.
func (f *folder) pick(t *imapserver.SessionTracker, set imap.NumSet) []numbered {
	f.mu.Lock()
	defer f.mu.Unlock()
	var picked []numbered
	take := func(from, to int) {
		for i := max(from, 0); i < min(to, len(f.stored)); i++ {
			if seq := t.EncodeSeqNum(uint32(i) + 1); seq != 0 {
				picked = append(picked, numbered{f.stored[i], i, seq})
			}
		}
	}
	n := len(f.stored)
	if n == 0 {
		return nil
	}
	switch set := set.(type) {
	case imap.UIDSet:
		for _, r := range set {
			// "*" is the highest UID there is, and n:* names it even when n is higher (RFC 9051 §6.4.9).
			start, stop := ends(uint32(r.Start), uint32(r.Stop), uint32(f.stored[n-1].uid))
			take(sort.Search(n, func(i int) bool { return uint32(f.stored[i].uid) >= start }),
				sort.Search(n, func(i int) bool { return uint32(f.stored[i].uid) > stop }))
		}
	case imap.SeqSet:
		for _, r := range set {
			start, stop := ends(r.Start, r.Stop, uint32(n))
			for seq := start; seq <= min(stop, uint32(n)); seq++ {
				if known := t.DecodeSeqNum(seq); known != 0 {
					picked = append(picked, numbered{f.stored[known-1], int(known - 1), seq})
				}
			}
		}
	}
	return picked
}

// ends resolves the "*" (0) of a range and puts its ends in order.
func ends(start, stop, last uint32) (uint32, uint32) {
	if start == 0 {
		start = last
	}
	if stop == 0 {
		stop = last
	}
	return min(start, stop), max(start, stop)
}

func (f *folder) setFlags(m numbered, store *imap.StoreFlags, source *imapserver.SessionTracker) []imap.Flag {
	f.mu.Lock()
	defer f.mu.Unlock()
	var flags []imap.Flag
	for _, flag := range m.flags {
		if store.Op != imap.StoreFlagsSet && !slices.Contains(store.Flags, flag) {
			flags = append(flags, flag)
		}
	}
	if store.Op != imap.StoreFlagsDel {
		flags = append(flags, store.Flags...)
	}
	m.stored.flags = flags
	f.tracker.QueueMessageFlags(uint32(m.index)+1, m.uid, flags, source)
	return flags
}

// matches says whether a message meets the criteria of a SEARCH, those of them that this package's clients use.
func (m numbered) matches(c *imap.SearchCriteria, last numbered) bool {
	for _, set := range c.UID {
		if !set.Contains(m.uid) && !(set.Dynamic() && m.uid == last.uid) {
			return false
		}
	}
	for _, set := range c.SeqNum {
		if !set.Contains(m.seq) && !(set.Dynamic() && m.seq == last.seq) {
			return false
		}
	}
	// Dates are compared without their zone (RFC 9051 §6.4.4).
	day := time.Date(m.at.Year(), m.at.Month(), m.at.Day(), 0, 0, 0, 0, time.UTC)
	if !c.Since.IsZero() && day.Before(c.Since) || !c.Before.IsZero() && !day.Before(c.Before) {
		return false
	}
	for _, flag := range c.Flag {
		if !m.has(flag) {
			return false
		}
	}
	for _, flag := range c.NotFlag {
		if m.has(flag) {
			return false
		}
	}
	for _, h := range c.Header {
		if !headerHas(m.bytes(), h.Key, h.Value) {
			return false
		}
	}
	for i := range c.Not {
		if m.matches(&c.Not[i], last) {
			return false
		}
	}
	for i := range c.Or {
		if !m.matches(&c.Or[i][0], last) && !m.matches(&c.Or[i][1], last) {
			return false
		}
	}
	return true
}

// headerHas looks for a value in the first lines of fields of a name.
func headerHas(raw []byte, key, value string) bool {
	head, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	unfolded := bytes.ReplaceAll(bytes.ReplaceAll(head, []byte("\r\n "), []byte(" ")), []byte("\r\n\t"), []byte(" "))
	for line := range bytes.Lines(unfolded) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return false
		}
		name, rest, ok := bytes.Cut(line, []byte(":"))
		if ok && strings.EqualFold(string(name), key) && strings.Contains(strings.ToLower(string(rest)), strings.ToLower(value)) {
			return true
		}
	}
	return false
}
