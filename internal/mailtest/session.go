package mailtest

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// imapSession is one connection as go-imap's server sees it.
type imapSession struct {
	server  *IMAP
	wire    *imapWire
	user    *imapUser
	mu      sync.Mutex                 // the library may close a session before its Idle has begun
	folder  *folder                    // selected; nil if none
	tracker *imapserver.SessionTracker // what this client was told of folder
}

var errUnsupported = &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeCannot, Text: "Not supported here"}

func noSuchFolder(code imap.ResponseCode) error {
	return &imap.Error{Type: imap.StatusResponseTypeNo, Code: code, Text: "No such mailbox"}
}

func (s *IMAP) newSession(c *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
	w, ok := c.NetConn().(*imapWire)
	if !ok {
		return nil, nil, fmt.Errorf("mailtest: a connection of an unknown kind: %T", c.NetConn())
	}
	return &imapSession{server: s, wire: w}, nil, nil
}

func (ss *imapSession) Close() error {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.tracker != nil {
		ss.tracker.Close()
		ss.folder, ss.tracker = nil, nil
	}
	return nil
}

func (ss *imapSession) Unselect() error { return ss.Close() }

func (ss *imapSession) Login(name, password string) error {
	ss.server.mu.Lock()
	defer ss.server.mu.Unlock()
	u := ss.server.users[name]
	if u == nil || u.password != password {
		return imapserver.ErrAuthFailed
	}
	ss.user = u
	return nil
}

func (ss *imapSession) Select(name string, _ *imap.SelectOptions) (*imap.SelectData, error) {
	if ss.server.opts.WantsID && !ss.wire.identified {
		return nil, &imap.Error{Type: imap.StatusResponseTypeNo, Text: "Unsafe Login. Please contact kefu@188.com for help"}
	}
	f := ss.user.folder(name)
	if f == nil {
		return nil, noSuchFolder(imap.ResponseCodeNonExistent)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	ss.mu.Lock()
	ss.folder, ss.tracker = f, f.tracker.NewSession()
	ss.mu.Unlock()
	flags := []imap.Flag{imap.FlagAnswered, imap.FlagFlagged, imap.FlagDeleted, imap.FlagSeen, imap.FlagDraft}
	return &imap.SelectData{
		Flags: flags, PermanentFlags: append(flags, imap.FlagWildcard),
		NumMessages: uint32(len(f.stored)), UIDNext: f.next, UIDValidity: f.validity,
	}, nil
}

func (ss *imapSession) Status(name string, o *imap.StatusOptions) (*imap.StatusData, error) {
	f := ss.user.folder(name)
	if f == nil {
		return nil, noSuchFolder(imap.ResponseCodeNonExistent)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	data := &imap.StatusData{Mailbox: name}
	var messages, unseen uint32
	for _, m := range f.stored {
		messages++
		if !m.has(imap.FlagSeen) {
			unseen++
		}
	}
	if o.NumMessages {
		data.NumMessages = &messages
	}
	if o.NumUnseen {
		data.NumUnseen = &unseen
	}
	if o.UIDNext {
		data.UIDNext = f.next
	}
	if o.UIDValidity {
		data.UIDValidity = f.validity
	}
	return data, nil
}

func (ss *imapSession) List(w *imapserver.ListWriter, ref string, patterns []string, _ *imap.ListOptions) error {
	ss.user.mu.Lock()
	var names []string
	for name := range ss.user.folders {
		names = append(names, name)
	}
	folders := make([]*folder, 0, len(names))
	sort.Strings(names)
	for _, name := range names {
		folders = append(folders, ss.user.folders[name])
	}
	ss.user.mu.Unlock()
	for _, f := range folders {
		if slices.ContainsFunc(patterns, func(p string) bool { return imapserver.MatchList(f.name, '/', ref, p) }) {
			if err := w.WriteList(&imap.ListData{Mailbox: f.name, Delim: '/', Attrs: f.attrs}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (ss *imapSession) Create(name string, _ *imap.CreateOptions) error {
	name = strings.TrimRight(name, "/")
	if ss.user.folder(name) != nil {
		return &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeAlreadyExists, Text: "Mailbox already exists"}
	}
	ss.server.mu.Lock()
	ss.server.validity++
	f := newFolder(name, ss.server.validity)
	ss.server.mu.Unlock()
	ss.user.mu.Lock()
	ss.user.folders[name] = f
	ss.user.mu.Unlock()
	return nil
}

func (ss *imapSession) Delete(name string) error {
	ss.user.mu.Lock()
	defer ss.user.mu.Unlock()
	if ss.user.folders[name] == nil {
		return noSuchFolder(imap.ResponseCodeNonExistent)
	}
	delete(ss.user.folders, name)
	return nil
}

func (ss *imapSession) Rename(string, string, *imap.RenameOptions) error { return errUnsupported }
func (ss *imapSession) Subscribe(string) error                           { return nil }
func (ss *imapSession) Unsubscribe(string) error                         { return nil }

func (ss *imapSession) Append(name string, r imap.LiteralReader, o *imap.AppendOptions) (*imap.AppendData, error) {
	f := ss.user.folder(name)
	if f == nil {
		return nil, noSuchFolder(imap.ResponseCodeTryCreate)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	at := o.Time
	if at.IsZero() {
		at = time.Now()
	}
	uid := f.append(&stored{raw: raw, at: at, flags: o.Flags})
	return &imap.AppendData{UIDValidity: f.validity, UID: imap.UID(uid)}, nil
}

func (ss *imapSession) Poll(w *imapserver.UpdateWriter, allowExpunge bool) error {
	if ss.tracker == nil {
		return nil
	}
	return ss.tracker.Poll(w, allowExpunge)
}

// Idle tells of changes as they come. The library's own loses one that comes between "+ idling" and its registration;
// here the channel is taken before the look, so that nothing falls between.
func (ss *imapSession) Idle(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	ss.mu.Lock()
	folder, tracker := ss.folder, ss.tracker
	ss.mu.Unlock()
	if folder == nil {
		<-stop
		return nil
	}
	ss.server.addIdling(1)
	defer ss.server.addIdling(-1)
	for {
		folder.mu.Lock()
		changed := folder.changed
		folder.mu.Unlock()
		if !ss.server.now().DeafIdle {
			if err := tracker.Poll(w, true); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-stop:
			return nil
		}
	}
}

func (ss *imapSession) Expunge(_ *imapserver.ExpungeWriter, uids *imap.UIDSet) error {
	ss.folder.expunge(func(m *stored) bool { return m.has(imap.FlagDeleted) && (uids == nil || uids.Contains(m.uid)) })
	return nil
}

func (ss *imapSession) Search(kind imapserver.NumKind, c *imap.SearchCriteria, _ *imap.SearchOptions) (*imap.SearchData, error) {
	all := ss.folder.pick(ss.tracker, imap.SeqSet{{Start: 1, Stop: 0}})
	data := &imap.SearchData{}
	var seqs imap.SeqSet
	var uids imap.UIDSet
	for _, m := range all {
		if !m.matches(c, all[len(all)-1]) {
			continue
		}
		seqs.AddNum(m.seq)
		uids.AddNum(m.uid)
		data.Count++
	}
	data.All = seqs
	if kind == imapserver.NumKindUID {
		data.All = uids
	}
	return data, nil
}

func (ss *imapSession) Fetch(w *imapserver.FetchWriter, set imap.NumSet, o *imap.FetchOptions) error {
	mischief := ss.server.now()
	for _, m := range ss.folder.pick(ss.tracker, set) {
		if o.RFC822Size && mischief.UIDs[uint32(m.uid)] == TrickNoList {
			return &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeServerBug, Text: "Internal error occurred"}
		}
		if len(o.BodySection) > 0 {
			switch mischief.UIDs[uint32(m.uid)] {
			case TrickRefuse:
				return &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeServerBug, Text: "Internal error occurred"}
			case TrickThrottle:
				return &imap.Error{Type: imap.StatusResponseTypeNo, Code: "THROTTLED", Text: "Too much at once"}
			}
		}
		if slices.ContainsFunc(o.BodySection, func(b *imap.FetchItemBodySection) bool { return !b.Peek }) && !m.has(imap.FlagSeen) {
			ss.folder.setFlags(m, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen}}, nil)
		}
		if err := m.write(w.CreateMessage(m.seq), o); err != nil {
			return err
		}
	}
	return nil
}

// write sends what was asked of a message.
func (m numbered) write(w *imapserver.FetchResponseWriter, o *imap.FetchOptions) error {
	w.WriteUID(m.uid)
	if o.Flags {
		w.WriteFlags(m.flags)
	}
	if o.InternalDate {
		w.WriteInternalDate(m.at)
	}
	var raw []byte
	if o.RFC822Size || len(o.BodySection) > 0 {
		raw = m.bytes()
	}
	if o.RFC822Size {
		w.WriteRFC822Size(int64(len(raw)))
	}
	for _, section := range o.BodySection {
		part := sectionOf(raw, section)
		lit := w.WriteBodySection(section, int64(len(part)))
		if _, err := lit.Write(part); err != nil {
			return err
		}
		if err := lit.Close(); err != nil {
			return err
		}
	}
	return w.Close()
}

func sectionOf(raw []byte, section *imap.FetchItemBodySection) []byte {
	if len(section.Part) > 0 || len(section.HeaderFields) > 0 || len(section.HeaderFieldsNot) > 0 {
		return imapserver.ExtractBodySection(bytes.NewReader(raw), section)
	}
	head := len(raw)
	if i := bytes.Index(raw, []byte("\r\n\r\n")); i >= 0 {
		head = i + 4
	}
	switch section.Specifier {
	case imap.PartSpecifierHeader:
		raw = raw[:head]
	case imap.PartSpecifierText:
		raw = raw[head:]
	}
	if p := section.Partial; p != nil {
		from := min(p.Offset, int64(len(raw)))
		raw = raw[from:min(from+p.Size, int64(len(raw)))]
	}
	return raw
}

func (ss *imapSession) Store(w *imapserver.FetchWriter, set imap.NumSet, flags *imap.StoreFlags, _ *imap.StoreOptions) error {
	for _, m := range ss.folder.pick(ss.tracker, set) {
		now := ss.folder.setFlags(m, flags, ss.tracker)
		if flags.Silent {
			continue
		}
		r := w.CreateMessage(m.seq)
		r.WriteUID(m.uid)
		r.WriteFlags(now)
		if err := r.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (ss *imapSession) Copy(set imap.NumSet, dest string) (*imap.CopyData, error) {
	to := ss.user.folder(dest)
	if to == nil {
		return nil, noSuchFolder(imap.ResponseCodeTryCreate)
	}
	data := &imap.CopyData{UIDValidity: to.validity}
	for _, m := range ss.folder.pick(ss.tracker, set) {
		uid := to.append(&stored{raw: m.bytes(), at: m.at, flags: m.flags})
		data.SourceUIDs.AddNum(m.uid)
		data.DestUIDs.AddNum(imap.UID(uid))
	}
	return data, nil
}
