package mailbox

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/returnpost/returnpost/internal/mailtest"
)

// One message is bad; those before and behind it must come in order all the same, and it comes in its place.
func TestBadMessageIsGivenUpAndTheNextGoesOn(t *testing.T) {
	for _, trick := range []mailtest.Trick{
		mailtest.TrickCut, mailtest.TrickCutNow, mailtest.TrickHang, mailtest.TrickGarbage, mailtest.TrickHide,
		mailtest.TrickRefuse, mailtest.TrickEmpty,
	} {
		t.Run(string(trick), func(t *testing.T) {
			s := startServer(t, mailtest.IMAPOptions{Mischief: mailtest.Mischief{UIDs: map[uint32]mailtest.Trick{4: trick}}})
			l := newLedger()
			opts := hasty(t)
			if trick == mailtest.TrickHang {
				opts.Patience = 300 * time.Millisecond
			}
			_, stop := watch(t, configOf(s), l, opts)
			l.waitBegun(t, 1)
			stop()
			for n := range 8 {
				put(t, s, letter(n))
			}
			watch(t, configOf(s), l, opts)
			l.waitArrivals(t, 8)
			if got := l.uids(); !slices.Equal(got, upTo(8)) {
				t.Fatalf("arrivals: %v", got)
			}
			for _, f := range l.all() {
				if (f.Fault != "") != (f.UID == 4) || (f.Raw == nil) != (f.UID == 4) || f.Internal.IsZero() {
					t.Errorf("UID %d: fault %q, %d bytes, %v", f.UID, f.Fault, len(f.Raw), f.Internal)
				}
			}
		})
	}
}

// These servers are odd, and every message of theirs can be had.
func TestOddServersLoseNothing(t *testing.T) {
	for name, mischief := range map[string]mailtest.Mischief{
		"BODY before UID":             {BodyFirst: true},
		"no partial fetch":            {WholeBody: true},
		"a date that cannot be read":  {UIDs: map[uint32]mailtest.Trick{4: mailtest.TrickBadDate}},
		"a listing answered NO":       {UIDs: map[uint32]mailtest.Trick{4: mailtest.TrickNoList}},
		"a listing broken off":        {UIDs: map[uint32]mailtest.Trick{4: mailtest.TrickByeList}},
		"IDLE that tells nothing":     {DeafIdle: true},
		"connections that die idling": {DeadIdle: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, mailtest.IMAPOptions{Mischief: mischief})
			l := newLedger()
			cfg, opts := configOf(s), hasty(t)
			if mischief.DeafIdle || mischief.DeadIdle {
				cfg.Poll = 50 * time.Millisecond
			}
			if mischief.DeadIdle {
				opts.Patience = 300 * time.Millisecond
			}
			watch(t, cfg, l, opts)
			l.waitBegun(t, 1)
			for n := range 8 {
				put(t, s, letter(n))
			}
			l.waitArrivals(t, 8)
			if got := l.uids(); !slices.Equal(got, upTo(8)) {
				t.Fatalf("arrivals: %v", got)
			}
			for i, f := range l.all() {
				if f.Fault != "" || !strings.HasPrefix(string(f.Raw), string(letter(i))) {
					t.Errorf("UID %d: fault %q, %.40q", f.UID, f.Fault, f.Raw)
				}
			}
		})
	}
}

func TestPollsWithoutIdle(t *testing.T) {
	s := startServer(t, mailtest.IMAPOptions{NoIdle: true})
	l := newLedger()
	cfg := configOf(s)
	cfg.Poll = 20 * time.Millisecond
	watch(t, cfg, l, hasty(t))
	l.waitBegun(t, 1)
	for n := range 5 {
		put(t, s, letter(n))
		l.waitArrivals(t, n+1)
	}
	if slices.Contains(s.Commands(), "IDLE") {
		t.Error("IDLE was sent to a server that does not offer it")
	}
}

func TestServersThatFallSilent(t *testing.T) {
	for name, mischief := range map[string]mailtest.Mischief{"before the greeting": {Mute: true}, "after the greeting": {Silent: true}} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, mailtest.IMAPOptions{Mischief: mischief})
			l := newLedger()
			opts := hasty(t)
			opts.Patience = 200 * time.Millisecond
			w, _ := watch(t, configOf(s), l, opts)
			eventually(t, "the reason", func() bool { return strings.Contains(w.Health().Error(), "it said nothing for 200ms") })
			s.SetMischief(mailtest.Mischief{})
			l.waitBegun(t, 1)
		})
	}
}

// A server that is overloaded refuses everything: nothing of that is a message's fault.
func TestRefusalsOfTheMomentCountAgainstNoMessage(t *testing.T) {
	bad := map[uint32]mailtest.Trick{}
	for _, uid := range upTo(5) {
		bad[uid] = mailtest.TrickThrottle
	}
	s := startServer(t, mailtest.IMAPOptions{Mischief: mailtest.Mischief{UIDs: bad}})
	l := newLedger()
	w, _ := watch(t, configOf(s), l, hasty(t))
	l.waitBegun(t, 1)
	for n := range 5 {
		put(t, s, letter(n))
	}
	_, before := s.Connections()
	eventually(t, "ten refusals", func() bool { _, total := s.Connections(); return total >= before+10 })
	eventually(t, "the reason", func() bool {
		err := w.Health()
		return err != nil && strings.Contains(err.Error(), "will not give messages (it says: [THROTTLED]")
	})
	s.SetMischief(mailtest.Mischief{})
	l.waitArrivals(t, 5)
	for _, f := range l.all() {
		if f.Fault != "" {
			t.Errorf("UID %d was given up: %s", f.UID, f.Fault)
		}
	}
}

// A server that is restarted again and again just when the one letter is asked for costs nothing.
func TestRestartsLoseNoLetter(t *testing.T) {
	s := startServer(t, mailtest.IMAPOptions{Mischief: mailtest.Mischief{UIDs: map[uint32]mailtest.Trick{1: mailtest.TrickCutNow}}})
	l := newLedger()
	opts := hasty(t)
	cuts := 0
	opts.Sleep = func(context.Context, time.Duration) {
		if cuts++; cuts == 4 {
			s.SetMischief(mailtest.Mischief{})
		}
	}
	watch(t, configOf(s), l, opts)
	l.waitBegun(t, 1)
	put(t, s, letter(1))
	l.waitArrivals(t, 1)
	if f := l.all()[0]; f.Fault != "" || string(f.Raw) != string(letter(1)) {
		t.Errorf("given up after %d cuts: %s", cuts, f.Fault)
	}
}

func TestSuspects(t *testing.T) {
	var s suspects
	s.under(7)
	var items []item
	for uid := range uint32(500) {
		items = append(items, item{uid: uid + 1, known: Fetched{Size: 10}})
	}
	if n := s.next(items); n != maxBatch {
		t.Errorf("a batch of %d", n)
	}
	s.suspect(items[3:5])
	if n := s.next(items); n != 3 {
		t.Errorf("%d before the suspect", n)
	}
	if n := s.next(items[3:]); n != 1 {
		t.Errorf("a suspect among %d", n)
	}
	if s.strike(4, true) || !s.strike(4, true) {
		t.Error("not given up at the second strike within its answer")
	}
	for n := range 4 {
		if s.strike(5, false) {
			t.Errorf("given up after %d strikes, though nothing of it came: that may be the server", n+1)
		}
	}
	if !s.strike(5, false) {
		t.Error("not given up at the fifth strike without an answer")
	}
	for n, begun := range []bool{false, true, false} { // restarts, and one within the body
		if s.strike(7, begun) {
			t.Errorf("given up after %d strikes, though but one was within its answer", n+1)
		}
	}
	if !s.strike(7, true) {
		t.Error("not given up at the second strike within its answer, with others between")
	}
	s.streak = 0
	for n, begun := range []bool{true, false, false, false} {
		if s.strike(8, begun) {
			t.Errorf("given up after %d strikes, though but one was within its answer", n+1)
		}
	}
	if !s.strike(8, false) {
		t.Error("not given up at the fifth strike of either kind")
	}
	s.streak = 5
	for n := range 9 {
		if s.strike(5, true) {
			t.Errorf("given up after %d strikes, though many were before: that is the server", n+1)
		}
	}
	if !s.strike(5, true) {
		t.Error("never given up")
	}
	s.clear(6)
	s.strike(6, true)
	s.under(8)
	if s.strike(6, true) {
		t.Error("a strike outlived its UIDVALIDITY")
	}
	heavy := []item{{uid: 1}, {uid: 2}, {uid: 3}, {uid: 4}, {uid: 5}} // sizes unknown
	if n := s.next(heavy[1:]); n != 4 {
		t.Errorf("%d messages of unknown size in a batch", n)
	}
}

func TestPausesGrow(t *testing.T) {
	o := Options{}.withDefaults()
	want := []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300}
	for i, w := range want {
		if got := o.pause(i+1, 0); got != w*time.Second {
			t.Errorf("pause %d is %v, want %v", i+1, got, w*time.Second)
		}
	}
	if got := o.pause(1000, 1); got != 6*time.Minute {
		t.Errorf("the longest pause is %v", got)
	}
}

func TestPausesBetweenTries(t *testing.T) {
	s := startServer(t, mailtest.IMAPOptions{})
	cfg := configOf(s)
	cfg.Password = "wrong"
	opts := hasty(t)
	pauses := make(chan time.Duration, 100)
	opts.FirstPause, opts.LastPause = time.Second, 5*time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	opts.Sleep = func(_ context.Context, d time.Duration) {
		if pauses <- d; len(pauses) == 6 {
			cancel()
		}
	}
	l := newLedger()
	if err := New("support", cfg, l, l.handle, opts).Run(ctx); err != nil {
		t.Fatal(err)
	}
	last := time.Duration(0)
	for n := range 6 {
		d := <-pauses
		if n < 4 && d <= last || n >= 4 && d < time.Minute {
			t.Errorf("pause %d is %v after %v", n+1, d, last)
		}
		last = d
	}
}

func TestLoginByOtherMeans(t *testing.T) {
	t.Run("AUTHENTICATE where LOGIN is off", func(t *testing.T) {
		s := startServer(t, mailtest.IMAPOptions{LoginDisabled: true})
		l := newLedger()
		watch(t, configOf(s), l, hasty(t))
		l.waitBegun(t, 1)
		if slices.Contains(s.Commands(), "LOGIN") {
			t.Error("LOGIN was sent")
		}
	})
	t.Run("a password beyond ASCII", func(t *testing.T) {
		s := startServer(t, mailtest.IMAPOptions{})
		s.AddUser("店铺@example.com", "密码")
		cfg := configOf(s)
		cfg.Username, cfg.Password = "店铺@example.com", "密码"
		if _, err := Check(t.Context(), cfg); err != nil {
			t.Error(err)
		}
	})
	t.Run("ID before anything", func(t *testing.T) {
		s := startServer(t, mailtest.IMAPOptions{WantsID: true})
		l := newLedger()
		watch(t, configOf(s), l, hasty(t))
		l.waitBegun(t, 1)
		if !slices.ContainsFunc(s.Commands(), func(c string) bool { return strings.HasPrefix(c, `ID ("name" "Returnpost"`) }) {
			t.Errorf("commands: %q", s.Commands())
		}
	})
}

// authority makes a CA file beside what else a test needs of it.
func authority(t *testing.T) (*mailtest.Authority, string) {
	t.Helper()
	a, err := mailtest.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	file, err := a.WriteFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return a, file
}

func TestWatchesOverTLS(t *testing.T) {
	for _, security := range []string{"tls", "starttls"} {
		t.Run(security, func(t *testing.T) {
			a, file := authority(t)
			s := startServer(t, mailtest.IMAPOptions{Security: security, Authority: a})
			cfg := configOf(s)
			cfg.Security, cfg.CAFile = security, file
			l := newLedger()
			watch(t, cfg, l, hasty(t))
			l.waitBegun(t, 1)
			for n := range 300 {
				put(t, s, letter(n))
			}
			l.waitArrivals(t, 300)
			s.Cut()
			put(t, s, letter(301))
			l.waitArrivals(t, 301)
			if got := l.uids(); !slices.Equal(got, upTo(301)) {
				t.Errorf("arrivals: %v", got)
			}
			r, err := Check(t.Context(), cfg)
			if err != nil || r.Encryption == "none" || r.Encryption == "" {
				t.Errorf("check: %+v, %v", r, err)
			}
		})
	}
}

func TestSentences(t *testing.T) {
	a, file := authority(t)
	certificate := func(notAfter time.Time, names ...string) *tls.Certificate {
		c, err := a.Certificate(notAfter, names...)
		if err != nil {
			t.Fatal(err)
		}
		return &c
	}
	later := time.Now().Add(time.Hour)
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	for _, test := range []struct {
		name   string
		server mailtest.IMAPOptions
		change func(*Config)
		want   string
	}{
		{"wrong password", mailtest.IMAPOptions{}, func(c *Config) { c.Password = "x" },
			"wrong user name or password for shop@example.com at 127.0.0.1 (it says: [AUTHENTICATIONFAILED] Authentication failed): check imap.username"},
		{"not now", mailtest.IMAPOptions{Mischief: mailtest.Mischief{Login: "NO [UNAVAILABLE] Temporary failure"}}, nil,
			"127.0.0.1 lets nobody in just now (it says: [UNAVAILABLE] Temporary failure)"},
		{"another's certificate", mailtest.IMAPOptions{Security: "tls", Authority: a, Certificate: certificate(later, "other.example")},
			func(c *Config) { c.Security, c.CAFile = "tls", file }, "the certificate of 127.0.0.1 is for other.example: set imap.host"},
		{"another's certificate, STARTTLS", mailtest.IMAPOptions{Security: "starttls", Authority: a, Certificate: certificate(later, "other.example")},
			func(c *Config) { c.Security, c.CAFile = "starttls", file }, "the certificate of 127.0.0.1 is for other.example"},
		{"an expired certificate", mailtest.IMAPOptions{Security: "tls", Authority: a, Certificate: certificate(time.Now().Add(-time.Hour), "127.0.0.1")},
			func(c *Config) { c.Security, c.CAFile = "tls", file }, "the certificate of 127.0.0.1 is good only from"},
		{"an unknown authority", mailtest.IMAPOptions{Security: "tls", Authority: a},
			func(c *Config) { c.Security = "tls" }, "is signed by an authority that is not known here: name that authority's file in imap.ca_file"},
		{"no TLS there", mailtest.IMAPOptions{}, func(c *Config) { c.Security = "tls" }, "does not speak TLS from the start on port"},
		{"no STARTTLS there", mailtest.IMAPOptions{}, func(c *Config) { c.Security = "starttls" }, "refuses STARTTLS"},
		{"a password in the clear", mailtest.IMAPOptions{Security: "starttls"}, nil, "takes no password on this connection: set imap.security to tls or starttls"},
		{"no such folder", mailtest.IMAPOptions{}, func(c *Config) { c.Folder = "Support" }, `will not open the folder "Support" (it says: [NONEXISTENT] No such mailbox): check imap.folder`},
		{"nobody there", mailtest.IMAPOptions{}, func(c *Config) { c.Port = nobody.Addr().(*net.TCPAddr).Port }, "nothing listens at 127.0.0.1 port"},
		{"no CA file", mailtest.IMAPOptions{}, func(c *Config) { c.Security, c.CAFile = "tls", "/nowhere.pem" }, "imap.ca_file cannot be read"},
		{"no such sent folder", mailtest.IMAPOptions{}, func(c *Config) { c.Sent = "Outbox" }, `there is no folder "Outbox" at 127.0.0.1: set imap.sent to one of Drafts, INBOX, Junk, Sent, Trash`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startServer(t, test.server)
			cfg := configOf(s)
			if test.change != nil {
				test.change(&cfg)
			}
			_, err := Check(t.Context(), cfg)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), password) {
				t.Errorf("got  %v\nwant …%s…", err, test.want)
			}
		})
	}
	t.Run("a CA file with nothing in it", func(t *testing.T) {
		empty := filepath.Join(t.TempDir(), "empty.pem")
		if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Check(t.Context(), Config{Host: "127.0.0.1", CAFile: empty}); err == nil || !strings.Contains(err.Error(), "holds no certificate") {
			t.Errorf("got %v", err)
		}
	})
}

func TestUnreachable(t *testing.T) {
	c := &Config{Host: "imap.example.com", Port: 993}
	for want, err := range map[string]error{
		"there is no server imap.example.com: check imap.host":   &net.OpError{Err: &net.DNSError{IsNotFound: true}},
		"imap.example.com port 993 does not answer":              context.DeadlineExceeded,
		"cannot reach imap.example.com port 993: no route to it": errors.New("no route to it"),
	} {
		if got := unreachable(c, err).Error(); !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestCheckReports(t *testing.T) {
	s := startServer(t, mailtest.IMAPOptions{})
	put(t, s, letter(1))
	r, err := Check(t.Context(), configOf(s))
	if err != nil || r.Messages != 1 || !r.Idle || r.Sent != "Sent" || r.Encryption != "none" || len(r.Folders) != 5 || !slices.Contains(r.Capabilities, "IDLE") {
		t.Errorf("got %+v, %v", r, err)
	}
	silent := startServer(t, mailtest.IMAPOptions{Mischief: mailtest.Mischief{Silent: true}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Check(ctx, configOf(silent)); err == nil || !strings.Contains(err.Error(), "took too long") {
		t.Errorf("got %v", err)
	}
}

func TestFind(t *testing.T) {
	s := startServer(t, mailtest.IMAPOptions{})
	put(t, s, letter(1))
	for id, want := range map[string]bool{"<1@example.com>": true, "<2@example.com>": false} {
		if got, err := Find(t.Context(), configOf(s), id); err != nil || got != want {
			t.Errorf("%s: %v, %v", id, got, err)
		}
	}
}

func TestSentFolderByName(t *testing.T) {
	list := func(names ...string) (folders []*imap.ListData) {
		for _, name := range names {
			folders = append(folders, &imap.ListData{Mailbox: name, Delim: '/'})
		}
		return folders
	}
	marked := list("Sent", "Archive/Elsewhere")
	marked[1].Attrs = []imap.MailboxAttr{`\sent`}
	for want, folders := range map[string][]*imap.ListData{
		"Archive/Elsewhere": marked, "已发送": list("INBOX", "已发送", "草稿箱"), "INBOX/Sent Items": list("INBOX", "INBOX/Sent Items"), "": list("INBOX"),
	} {
		if got := sent(folders); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A server that talks without end is cut off, whatever it says.
func TestFloodIsCutOff(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sent := make(chan int64, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "* OK welcome ")
		var n int64
		for err == nil {
			var m int
			m, err = conn.Write([]byte(strings.Repeat("X", 1<<16)))
			n += int64(m)
		}
		sent <- n
	}()
	_, err = Check(t.Context(), Config{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Security: "none"})
	if err == nil || !strings.Contains(err.Error(), "far more than it was asked for") {
		t.Errorf("got %v", err)
	}
	if n := <-sent; n > 32<<20 {
		t.Errorf("it could send %d MB", n>>20)
	}
}

func TestServersWordsAreMadeHarmless(t *testing.T) {
	got := brief(errors.New("imapclient: panic\nstack\x1b[31m"))
	if got != "panic" {
		t.Errorf("got %q", got)
	}
	if got := plain("a\x1b\r\n\xffb" + strings.Repeat("x", 500)); strings.ContainsAny(got, "\x1b\r\n") || len([]rune(got)) > 201 {
		t.Errorf("got %q", got)
	}
}
