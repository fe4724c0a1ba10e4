package mailtest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// IMAPOptions says what kind of server StartIMAP makes. The zero value is unencrypted and offers IDLE.
type IMAPOptions struct {
	Security      string           // "" or "none"; "starttls": offered, and no login before it; "tls": from the first byte
	Certificate   *tls.Certificate // shown instead of one that is right for 127.0.0.1 and localhost
	Authority     *Authority       // signs the server's certificate; nil: one is made, see IMAP.Authority
	NoIdle        bool             // IDLE is not offered (RFC 2177)
	LoginDisabled bool             // LOGIN is refused, AUTHENTICATE PLAIN is not
	WantsID       bool             // ID is offered, and nothing can be selected before it (RFC 2971), as with 163.com
	Mischief      Mischief         // see SetMischief
}

// IMAP is an IMAP server in memory.
type IMAP struct {
	opts   IMAPOptions
	server *imapserver.Server
	gate   *gate
	tls    *tls.Config
	served chan struct{}

	mu       sync.Mutex
	users    map[string]*imapUser
	mischief Mischief
	commands []string
	idling   int
	validity uint32 // the last one given out
}

type imapUser struct {
	password string
	mu       sync.Mutex
	folders  map[string]*folder
}

// maxCommands bounds what Commands remembers.
const maxCommands = 10_000

// StartIMAP starts a server on a loopback port that the system picks.
func StartIMAP(opts IMAPOptions) (*IMAP, error) {
	s := &IMAP{opts: opts, mischief: opts.Mischief, served: make(chan struct{}), users: map[string]*imapUser{}, validity: 1000}
	if opts.Security == "tls" || opts.Security == "starttls" {
		if s.opts.Authority == nil {
			a, err := NewAuthority()
			if err != nil {
				return nil, err
			}
			s.opts.Authority = a
		}
		config, err := serverTLS(s.opts.Authority, opts.Certificate)
		if err != nil {
			return nil, err
		}
		s.tls = config
	}
	g, err := newGate(s.wrap)
	if err != nil {
		return nil, err
	}
	s.gate = g
	s.server = imapserver.New(&imapserver.Options{
		NewSession:   s.newSession,
		Caps:         imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapUIDPlus: {}, imap.CapSpecialUse: {}},
		Logger:       log.New(io.Discard, "", 0),
		InsecureAuth: true, // TLS is below the library here: see imapWire
	})
	go func() {
		defer close(s.served)
		s.server.Serve(g) // returns when Close shuts the gate
	}()
	return s, nil
}

// Addr is where the server listens, host:port.
func (s *IMAP) Addr() string { return s.gate.Addr().String() }

// Port is the port the server listens on.
func (s *IMAP) Port() int { return s.gate.Addr().(*net.TCPAddr).Port }

// Authority signed the server's certificate; nil without TLS.
func (s *IMAP) Authority() *Authority { return s.opts.Authority }

// AddUser makes a user with the folders INBOX, Sent, Drafts, Junk and Trash, the latter four marked as RFC 6154 has it.
func (s *IMAP) AddUser(name, password string) {
	s.mu.Lock()
	s.users[name] = &imapUser{password: password, folders: map[string]*folder{}}
	s.mu.Unlock()
	s.AddFolder(name, "INBOX")
	s.AddFolder(name, "Sent", string(imap.MailboxAttrSent))
	s.AddFolder(name, "Drafts", string(imap.MailboxAttrDrafts))
	s.AddFolder(name, "Junk", string(imap.MailboxAttrJunk))
	s.AddFolder(name, "Trash", string(imap.MailboxAttrTrash))
}

// SetPassword changes a user's password; sessions that are logged in stay so.
func (s *IMAP) SetPassword(name, password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.users[name]; u != nil {
		u.password = password
	}
}

// AddFolder makes a folder, with attributes such as \Sent; one that is there already is emptied.
func (s *IMAP) AddFolder(user, name string, attrs ...string) {
	s.mu.Lock()
	u := s.users[user]
	s.validity++
	validity := s.validity
	s.mu.Unlock()
	if u == nil {
		return
	}
	f := newFolder(name, validity)
	for _, a := range attrs {
		f.attrs = append(f.attrs, imap.MailboxAttr(a))
	}
	u.mu.Lock()
	u.folders[name] = f
	u.mu.Unlock()
}

func (s *IMAP) folder(user, name string) (*folder, error) {
	s.mu.Lock()
	u := s.users[user]
	s.mu.Unlock()
	if u == nil {
		return nil, fmt.Errorf("mailtest: there is no user %q", user)
	}
	if f := u.folder(name); f != nil {
		return f, nil
	}
	return nil, fmt.Errorf("mailtest: the user %q has no folder %q", user, name)
}

func (u *imapUser) folder(name string) *folder {
	if strings.EqualFold(name, "INBOX") {
		name = "INBOX"
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.folders[name]
}

// Append puts a message into a folder, as delivery does, and returns its UID. The bytes are kept as they are.
func (s *IMAP) Append(user, folder string, raw []byte, at time.Time, flags ...string) (uid uint32, err error) {
	f, err := s.folder(user, folder)
	if err != nil {
		return 0, err
	}
	m := &stored{raw: slices.Clone(raw), at: at}
	for _, flag := range flags {
		m.flags = append(m.flags, imap.Flag(flag))
	}
	return f.append(m), nil
}

// Fill puts n messages into a folder at once, whose bytes are made when a client asks for them.
func (s *IMAP) Fill(user, folder string, n int, at time.Time, make func(uid uint32) []byte) error {
	f, err := s.folder(user, folder)
	if err == nil {
		f.fill(n, at, make)
	}
	return err
}

// SkipUIDs leaves a gap of n UIDs before the next message.
func (s *IMAP) SkipUIDs(user, folder string, n uint32) error {
	f, err := s.folder(user, folder)
	if err == nil {
		f.mu.Lock()
		f.next += imap.UID(n)
		f.mu.Unlock()
	}
	return err
}

// Expunge removes messages, as another mail program does.
func (s *IMAP) Expunge(user, folder string, uids ...uint32) error {
	f, err := s.folder(user, folder)
	if err == nil {
		f.expunge(func(m *stored) bool { return slices.Contains(uids, uint32(m.uid)) })
	}
	return err
}

// SetUIDValidity gives a folder another UIDVALIDITY, or wrongly the same, and its messages new UIDs, from 1. Sessions are
// cut, since it cannot change within one (RFC 9051 §2.3.1.1).
func (s *IMAP) SetUIDValidity(user, folder string, validity uint32) error {
	f, err := s.folder(user, folder)
	if err != nil {
		return err
	}
	f.renumber(validity)
	s.Cut()
	return nil
}

// Status is a folder's UIDVALIDITY, the UID its next message gets, and how many it holds.
func (s *IMAP) Status(user, folder string) (validity, next uint32, messages int, err error) {
	f, err := s.folder(user, folder)
	if err != nil {
		return 0, 0, 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.validity, uint32(f.next), len(f.stored), nil
}

// Flags are a message's flags.
func (s *IMAP) Flags(user, folder string, uid uint32) ([]string, error) {
	f, err := s.folder(user, folder)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.find(imap.UID(uid))
	if m == nil {
		return nil, fmt.Errorf("mailtest: %s of %s has no message with the UID %d", folder, user, uid)
	}
	flags := []string{}
	for _, flag := range m.flags {
		flags = append(flags, string(flag))
	}
	return flags, nil
}

// Commands are the commands that clients sent, without their tags and without what LOGIN and AUTHENTICATE say.
func (s *IMAP) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.commands)
}

// Idling is the number of sessions that are in IDLE now.
func (s *IMAP) Idling() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.idling
}

func (s *IMAP) addIdling(n int) {
	s.mu.Lock()
	s.idling += n
	s.mu.Unlock()
}

// Connections counts the connections open now and all there have been.
func (s *IMAP) Connections() (open, total int) { return s.gate.count() }

// Cut closes every open connection at once.
func (s *IMAP) Cut() { s.gate.cut() }

// SetDown makes the server unreachable (open connections are cut, new ones are closed at once) or reachable again.
func (s *IMAP) SetDown(down bool) { s.gate.setDown(down) }

// Close stops the server and cuts its connections.
func (s *IMAP) Close() error {
	err := s.gate.close() // before the library's Close, which does not know of a listener that Serve has yet to take
	if e := s.server.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
		err = errors.Join(err, e)
	}
	<-s.served
	if err != nil {
		return fmt.Errorf("mailtest: close the IMAP server: %w", err)
	}
	return nil
}
