// Package demo is the sample shop of `returnpost demo`: its people, their
// letters, what each should get, and the page that shows both sides. The mail
// servers are real ones in memory; the daemon between them is the one that
// `serve` runs, and knows nothing of the demo.
package demo

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/returnpost/returnpost/internal/mailtest"
	"github.com/returnpost/returnpost/message"
	"github.com/returnpost/returnpost/responder"
)

// Address is where the sample shop's customers write to.
const Address = "support@harbourbooks.example"

const (
	password = "demo"
	// maxEntries bounds what the page remembers when visitors keep writing.
	maxEntries = 500
)

//go:embed letters/*.md
var letters embed.FS

// Shop is the sample shop while it is open.
type Shop struct {
	Config  []byte // the daemon's config.yaml
	Folder  string // the temporary folder with the database and the letters
	Members string // the member list, as CSV

	imap *mailtest.IMAP
	smtp *mailtest.SMTP
	now  func() time.Time

	mu      sync.Mutex
	entries []*Entry
	early   map[string]*Ack // acknowledgements delivered before their decision was told
	changed chan struct{}   // closed and made anew at every change
}

// Entry is one message in the shop's inbox and what became of it.
type Entry struct {
	ID      int
	UID     uint32
	Title   string // who writes, for the terminal
	Written time.Time
	Message *message.Message
	Event   *responder.Event // nil until decided
	Ack     *Ack             // nil until delivered
}

// Ack is an acknowledgement as its reader got it.
type Ack struct {
	At                             time.Time
	To, Subject, Language          string
	InReplyTo, Text, HTML, Headers string
}

// Open starts the mail servers and lays out the shop's folder.
func Open(ctx context.Context) (*Shop, error) {
	s := &Shop{Members: members, now: time.Now, early: map[string]*Ack{}, changed: make(chan struct{})}
	var err error
	if s.Folder, err = os.MkdirTemp("", "returnpost-demo-"); err != nil {
		return nil, fmt.Errorf("make a folder for the demo: %w", err)
	}
	if err := s.open(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Shop) open() error {
	files, err := fs.Sub(letters, "letters")
	if err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(s.Folder, "letters"), files); err != nil {
		return fmt.Errorf("lay out the demo's letters: %w", err)
	}
	if s.imap, err = mailtest.StartIMAP(mailtest.IMAPOptions{}); err != nil {
		return fmt.Errorf("start the demo's IMAP server: %w", err)
	}
	s.imap.AddUser(Address, password)
	if s.smtp, err = mailtest.StartSMTP(mailtest.SMTPOptions{OnMessage: s.delivered}); err != nil {
		return fmt.Errorf("start the demo's SMTP server: %w", err)
	}
	s.Config = fmt.Appendf(nil, configYAML,
		filepath.Join(s.Folder, "returnpost.db"), filepath.Join(s.Folder, "letters"), port(s.smtp.Addr()), port(s.imap.Addr()), password)
	return nil
}

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// configYAML is the shop's configuration; the file that `serve` reads has the same keys.
const configYAML = `
business:
  name: Harbour Books
  website: https://harbourbooks.example
  phone: "+86 754 8888 6666"
  languages: [en, zh]
  time_zone: Asia/Shanghai
database: %q
letters: %q
smtp: {host: 127.0.0.1, port: %s, security: none}
mailboxes:
  support:
    address: support@harbourbooks.example
    name: Harbour Books Support
    imap: {host: 127.0.0.1, port: %s, security: none, username: support@harbourbooks.example, password: %s, poll: 5s}
hours:
  mon-fri: 09:00-12:00 13:30-18:00
  sat: 10:00-14:00
responder:
  respond_within: 8h
  # The visitors of the demo's page may write as often as they like.
  limits: {per_sender: 1000/24h, per_domain: 1000/1h, total: 5000/1h}
  rules:
    - {name: gold, when: 'member.tier == "gold"', respond_within: 2h, letter: acknowledgement-gold}
topics:
  news: {name: {en: News, zh: 店铺动态}, default: true}
  architecture: {name: {en: Architecture books, zh: 建筑图书}}
web: {listen: ""}
`

// Close stops the servers and removes the folder.
func (s *Shop) Close() error {
	if s.imap != nil {
		s.imap.Close()
	}
	if s.smtp != nil {
		s.smtp.Close()
	}
	return os.RemoveAll(s.Folder)
}

// Play lets the scenario happen, one message after the other, each waiting for
// what becomes of the one before. told is called as each is settled.
func (s *Shop) Play(ctx context.Context, told func(*Entry)) error {
	for i := range scenario {
		e, err := s.arrive(scenario[i].title, scenario[i].raw(s.now()))
		if err != nil {
			return err
		}
		settled, err := s.Settled(ctx, e.ID)
		if err != nil {
			return fmt.Errorf("%s: nothing became of it: %w", e.Title, err)
		}
		told(settled)
	}
	return nil
}

// Write puts a visitor's letter into the shop's inbox.
func (s *Shop) Write(name, from, subject, text string, zone int) (*Entry, error) {
	id := fmt.Sprintf("visitor-%d@demo.example", s.now().UnixNano())
	l := letter{from: name + " <" + from + ">", subject: subject, text: text, zone: zone, id: id}
	if name == "" {
		name = from
	}
	return s.arrive(name, l.bytes(s.now()))
}

// arrive appends a message to the inbox. The lock is held over the append, so
// that no decision is told before the entry is known.
func (s *Shop) arrive(title string, raw []byte) (*Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	written := s.now()
	uid, err := s.imap.Append(Address, "INBOX", raw, written)
	if err != nil {
		return nil, fmt.Errorf("put a message into the demo's inbox: %w", err)
	}
	e := &Entry{ID: 1, UID: uid, Title: title, Written: written, Message: message.Parse(raw)}
	if n := len(s.entries); n > 0 {
		e.ID = s.entries[n-1].ID + 1
	}
	s.entries = append(s.entries, e)
	if len(s.entries) > maxEntries {
		s.entries = s.entries[1:]
	}
	s.change()
	return e, nil
}

// Decided hears from the daemon what was decided on a message.
func (s *Shop) Decided(ev responder.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.entries) - 1; i >= 0; i-- {
		if e := s.entries[i]; e.UID == ev.UID {
			e.Event = &ev
			if ack := s.early[ev.AckID]; ack != nil && ev.AckID != "" {
				e.Ack = ack
				delete(s.early, ev.AckID)
			}
			s.change()
			return
		}
	}
}

// delivered hears from the SMTP server what a customer was sent.
func (s *Shop) delivered(r mailtest.Received) {
	ack, id := readAck(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.entries) - 1; i >= 0; i-- {
		if e := s.entries[i]; e.Event != nil && id != "" && e.Event.AckID == id {
			e.Ack = ack
			s.change()
			return
		}
	}
	s.early[id] = ack
}

// change wakes those who wait; the lock is held.
func (s *Shop) change() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Settled waits until all is known of an entry and gives a copy of it.
func (s *Shop) Settled(ctx context.Context, id int) (*Entry, error) {
	for {
		s.mu.Lock()
		changed := s.changed
		for _, e := range s.entries {
			if e.ID == id && e.Event != nil && (!e.Event.Acknowledged || e.Ack != nil) {
				c := *e
				s.mu.Unlock()
				return &c, nil
			}
		}
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// list gives copies of all entries, the newest first, and the channel that
// tells of the next change.
func (s *Shop) list() ([]Entry, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Entry, 0, len(s.entries))
	for i := len(s.entries) - 1; i >= 0; i-- {
		all = append(all, *s.entries[i])
	}
	return all, s.changed
}

// Check says what each message of the scenario got and did not get as it
// should; none when all is well.
func (s *Shop) Check() []string {
	var faults []string
	entries, _ := s.list()
	byTitle := map[string]*Entry{}
	acks := 0 // visitors may have written meanwhile
	for i := range entries {
		byTitle[entries[i].Title] = &entries[i]
		if entries[i].Ack != nil {
			acks++
		}
	}
	for _, sc := range scenario {
		e := byTitle[sc.title]
		if e == nil || e.Event == nil {
			faults = append(faults, sc.title+": was never decided")
			continue
		}
		if fault := sc.check(e); fault != "" {
			faults = append(faults, sc.title+": "+fault)
		}
	}
	if n := s.smtp.Count(); n > acks {
		faults = append(faults, fmt.Sprintf("%d letters went out, %d should have", n, acks))
	}
	return faults
}

func (sc *scene) check(e *Entry) string {
	switch {
	case string(e.Event.Reason) != sc.reason:
		return fmt.Sprintf("decided %s, should be %s", e.Event.Reason, sc.reason)
	case sc.language == "" && e.Ack != nil:
		return "was acknowledged, should not be"
	case sc.language == "":
		return ""
	case e.Ack == nil:
		return "was not acknowledged"
	case e.Ack.Language != sc.language:
		return fmt.Sprintf("acknowledged in %q, should be %q", e.Ack.Language, sc.language)
	case !strings.Contains(e.Ack.Text, sc.greeting) || !strings.Contains(e.Ack.HTML, sc.greeting):
		return fmt.Sprintf("the acknowledgement does not say %q", sc.greeting)
	case e.Ack.InReplyTo != e.Message.MessageID:
		return "the acknowledgement does not answer its letter"
	case !strings.EqualFold(e.Ack.To, e.Message.From.Addr):
		return "the acknowledgement went to " + e.Ack.To
	}
	return ""
}

// readAck reads a delivered acknowledgement as its reader's program would.
func readAck(r mailtest.Received) (*Ack, string) {
	a := &Ack{At: r.At}
	if len(r.Rcpts) > 0 {
		a.To = r.Rcpts[0]
	}
	m, err := mail.ReadMessage(bytes.NewReader(r.Data))
	if err != nil {
		a.Text = string(r.Data)
		return a, ""
	}
	a.Headers, _, _ = strings.Cut(string(r.Data), "\r\n\r\n")
	a.Subject, _ = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	a.Language, a.InReplyTo = m.Header.Get("Content-Language"), m.Header.Get("In-Reply-To")
	a.parts(m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body)
	return a, m.Header.Get("Message-ID")
}

// parts reads the text and the HTML of a body.
func (a *Ack) parts(contentType, encoding string, body io.Reader) {
	kind, params, _ := mime.ParseMediaType(contentType)
	if strings.HasPrefix(kind, "multipart/") {
		for mr := multipart.NewReader(body, params["boundary"]); ; {
			p, err := mr.NextRawPart()
			if err != nil {
				return
			}
			a.parts(p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p)
		}
	}
	if strings.EqualFold(encoding, "quoted-printable") {
		body = quotedprintable.NewReader(body)
	}
	text, err := io.ReadAll(io.LimitReader(body, 1<<20))
	if err != nil {
		return
	}
	if kind == "text/html" {
		a.HTML = string(text)
	} else {
		a.Text = string(text)
	}
}

// Follow tells of every entry that is settled after the call, until ctx ends.
func (s *Shop) Follow(ctx context.Context, told func(*Entry)) {
	entries, _ := s.list()
	next := 1
	if len(entries) > 0 {
		next = entries[0].ID + 1
	}
	for {
		e, err := s.Settled(ctx, next)
		if err != nil {
			return
		}
		told(e)
		next++
	}
}
