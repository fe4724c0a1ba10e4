package mailbox

import (
	"cmp"
	"io"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// item is a message that is there to be fetched.
type item struct {
	uid   uint32
	seq   uint32  // its number in this session; 0 if not known
	known Fetched // all but its body; no more than its UID if it could not be asked for
}

// weight is what an item will take of a batch.
func (i *item) weight() int64 {
	if i.known.Size <= 0 {
		return MaxRaw
	}
	return min(i.known.Size, MaxRaw)
}

// list asks which messages of a set are there, how large they are and when they came. This comes before the bodies, since
// go-imap reads a literal of any length, and so that a body can be asked for with nothing beside it that may not be parsed.
func (c *connection) list(set imap.UIDSet, messages uint32) (items []item, err error) {
	options := &imap.FetchOptions{UID: true, RFC822Size: true, InternalDate: true, Flags: true}
	err = c.command("list what is new", small+512*int64(messages), func() error {
		cmd := c.client.Fetch(set, options)
		for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
			if f, _ := c.collect(msg); f.UID != 0 {
				items = append(items, item{uid: f.UID, seq: msg.SeqNum, known: f})
			}
		}
		return cmd.Close()
	})
	return inOrder(items), err
}

// search finds messages by other marks than their UIDs, or by their UIDs where list breaks the connection. More than their
// UIDs is not known of them then.
func (c *connection) search(criteria *imap.SearchCriteria, messages uint32) (items []item, err error) {
	err = c.command("search the folder", small+16*int64(messages), func() error {
		data, err := c.client.UIDSearch(criteria, nil).Wait()
		if err != nil {
			return err
		}
		uids, _ := data.All.(imap.UIDSet)
		for _, r := range uids {
			// Counted, not trusted: a range is cheap to say and dear to hold.
			for uid := uint64(r.Start); uid <= uint64(r.Stop) && len(items) <= int(messages)+maxBatch; uid++ {
				items = append(items, item{uid: uint32(uid), known: Fetched{UID: uint32(uid)}})
			}
		}
		return nil
	})
	return inOrder(items), err
}

func inOrder(items []item) []item {
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.uid, b.uid) })
	return slices.CompactFunc(items, func(a, b item) bool { return a.uid == b.uid })
}

// got is what a FETCH has brought.
type got struct {
	whole map[uint32]Fetched
	begun map[uint32]bool // its answer began
}

func (g *got) missing(items []item) (missing []item) {
	for _, it := range items {
		if _, ok := g.whole[it.uid]; !ok {
			missing = append(missing, it)
		}
	}
	return missing
}

// fetch fetches the bodies of messages. What came whole before an error is returned beside it. bySequence: messages are
// named by their sequence numbers.
func (c *connection) fetch(items []item, bySequence bool) (got, error) {
	result := got{whole: make(map[uint32]Fetched, len(items)), begun: map[uint32]bool{}}
	known := make(map[uint32]*item, len(items))
	var uids imap.UIDSet
	var seqs imap.SeqSet
	size := int64(small)
	for i := range items {
		it := &items[i]
		known[it.uid] = it
		uids.AddNum(imap.UID(it.uid))
		if it.seq != 0 {
			seqs.AddNum(it.seq)
		}
		size += 2*it.weight() + 8<<10 // some servers guess at sizes
	}
	if len(items) == 1 {
		size += 2 * max(items[0].known.Size, 16<<20) // and some do not know partial fetch
	}
	var set imap.NumSet = uids
	if bySequence && len(seqs) > 0 {
		set = seqs
	}
	options := &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{
		{Peek: true, Partial: &imap.SectionPartial{Size: MaxRaw}}, // BODY.PEEK[]<0.1048576> (RFC 9051 §6.4.5)
	}}
	err := c.command("give messages", size, func() error {
		cmd := c.client.Fetch(set, options)
		for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
			f, total := c.collect(msg)
			it := known[f.UID]
			if it == nil {
				continue
			}
			result.begun[f.UID] = true
			// A message of some size without a byte: the server could not make it.
			if f.Raw == nil || total == 0 && it.known.Size > 0 {
				continue
			}
			whole := it.known
			whole.Raw, whole.Size = f.Raw, max(total, it.known.Size)
			whole.Truncated = total > MaxRaw || total == MaxRaw && whole.Size > MaxRaw
			result.whole[f.UID] = whole
		}
		return cmd.Close()
	})
	return result, err
}

// collect reads one message's answer to the end, which releases the library's reader. total is how long the body was as
// it came; Raw is nil if there was none, or not all of it.
func (c *connection) collect(msg *imapclient.FetchMessageData) (f Fetched, total int64) {
	for data := msg.Next(); data != nil; data = msg.Next() {
		switch data := data.(type) {
		case imapclient.FetchItemDataUID:
			f.UID = uint32(data.UID)
		case imapclient.FetchItemDataRFC822Size:
			f.Size = data.Size
		case imapclient.FetchItemDataInternalDate:
			f.Internal = data.Time.UTC()
		case imapclient.FetchItemDataFlags:
			for _, flag := range data.Flags[:min(len(data.Flags), 100)] {
				f.Flags = append(f.Flags, string(flag))
			}
		case imapclient.FetchItemDataBodySection:
			if data.Literal != nil {
				c.line.bodyNext(data.Literal.Size())
				if f.Raw, total = readBody(data.Literal); f.Raw == nil {
					// The library's reader goes on beside whoever reads the rest of a broken literal away, which Next does:
					// two on one buffer. Let it come to its end first.
					c.line.Close()
					<-c.client.Closed()
				}
			}
		}
	}
	return f, total
}

// readBody keeps the first MaxRaw bytes of a literal and reads the rest away. It returns nil for a literal that ends early,
// where the library says EOF as at a good end.
func readBody(lit imap.LiteralReader) (raw []byte, total int64) {
	raw = make([]byte, min(max(lit.Size(), 0), MaxRaw))
	n, err := io.ReadFull(lit, raw)
	if err != nil {
		return nil, int64(n)
	}
	rest, err := io.Copy(io.Discard, lit) // to the EOF that lets the library go on
	if total = int64(n) + rest; err != nil || total != lit.Size() {
		return nil, total
	}
	return raw, total
}

// since is the day from which on messages matter after UIDVALIDITY changed: servers compare days in their own zone
// (RFC 9051 §6.4.4), so it is one more than needed.
func since(now time.Time, age time.Duration) time.Time {
	return now.UTC().Add(-age - 24*time.Hour)
}
