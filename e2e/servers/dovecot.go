package servers

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"
)

// DovecotOptions are the choices a test has. The zero value is right for most.
type DovecotOptions struct {
	// Maildir keeps mail in Maildir instead of sdbox. sdbox is the default because every look at a Maildir of
	// 100,000 messages reads the whole folder; Maildir is for tests of renumbering (see Renumber).
	Maildir bool
	// VacationThrough is the host:port of an SMTP server through which Pigeonhole (Dovecot's Sieve) answers every
	// letter that comes by LMTP: the peer in the benchmarks. Empty: it answers nothing.
	VacationThrough string
}

// DovecotServer is a private Dovecot with IMAP (STARTTLS offered), IMAPS and LMTP. A user's name is the whole
// address; LMTP ignores a +detail in it. Mailboxes have the folders INBOX, Sent (\Sent) and Junk (\Junk). Mail
// is not synced to disk: a killed Dovecot loses nothing by that, and filling is fast.
type DovecotServer struct {
	process                  *process
	config                   string
	tls                      authority
	imap, imaps, lmtp        int
	passwords                map[string]string
	maildir                  bool
	vacation                 string
	dovecot, doveadm, folder string
}

// Dovecot starts a private Dovecot, stopped at the end of the test.
func Dovecot(t testing.TB, options DovecotOptions) *DovecotServer {
	t.Helper()
	s := &DovecotServer{passwords: map[string]string{}, maildir: options.Maildir, vacation: options.VacationThrough,
		dovecot: program(t, "dovecot"), doveadm: program(t, "doveadm")}
	program(t, "imap", "/usr/lib/dovecot", "/usr/libexec/dovecot")
	program(t, "lmtp", "/usr/lib/dovecot", "/usr/libexec/dovecot")
	if v, _ := exec.Command(s.dovecot, "--version").Output(); !strings.HasPrefix(string(v), "2.3.") {
		t.Fatalf("servers: the tests know how to configure Dovecot 2.3, this is %s", strings.TrimSpace(string(v)))
	}
	var err error
	if s.folder, err = newFolder(); err != nil {
		t.Fatalf("servers: folder for Dovecot: %v", err)
	}
	s.process = &process{name: "Dovecot", folder: s.folder, log: filepath.Join(s.folder, "log"), signal: "TERM"}
	t.Cleanup(func() {
		if err := s.process.stop(false); err != nil {
			t.Error(err)
		}
	})
	if s.tls, err = newAuthority(s.folder); err != nil {
		t.Fatalf("servers: certificate for Dovecot: %v", err)
	}
	showLog(t, "Dovecot", s.process.log)
	for attempt := 1; ; attempt++ {
		if err = s.configure(); err != nil {
			t.Fatalf("servers: configure Dovecot: %v", err)
		}
		if err = s.start(); err == nil {
			return s
		}
		if attempt == 3 {
			t.Fatal(err)
		}
	}
}

// IMAPAddr is host:port of plain IMAP, with STARTTLS offered and plain-text logins allowed.
func (s *DovecotServer) IMAPAddr() string { return loopback(s.imap) }

// IMAPSAddr is host:port of IMAP over TLS, with a certificate by CAFile.
func (s *DovecotServer) IMAPSAddr() string { return loopback(s.imaps) }

// LMTPAddr is host:port of LMTP.
func (s *DovecotServer) LMTPAddr() string { return loopback(s.lmtp) }

// CAFile is the certificate of the authority behind the server's certificate, as PEM.
func (s *DovecotServer) CAFile() string { return s.tls.caFile }

// AuthSocket is the Unix socket at which Postfix checks the same users' passwords.
func (s *DovecotServer) AuthSocket() string { return filepath.Join(s.folder, "auth") }

var dovecotConf = template.Must(template.New("dovecot.conf").Parse(`
base_dir = {{.Folder}}/run
state_dir = {{.Folder}}/state
log_path = {{.Folder}}/log
protocols = imap lmtp
listen = 127.0.0.1
ssl = yes
ssl_cert = <{{.Cert}}
ssl_key = <{{.Key}}
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
default_internal_user = {{.Internal}}
default_internal_group = {{.InternalGroup}}
default_login_user = {{.Login}}
default_vsz_limit = 2G
default_process_limit = 1000
default_client_limit = 4000
first_valid_uid = 1
first_valid_gid = 1
mail_uid = {{.MailUID}}
mail_gid = {{.MailGID}}
mail_location = {{.Storage}}:~/mail
mail_fsync = never
mail_max_userip_connections = 1000
recipient_delimiter = +
postmaster_address = postmaster@localhost
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%Lu {{.Folder}}/users
}
userdb {
  driver = static
  args = uid={{.MailUID}} gid={{.MailGID}} home={{.Folder}}/mail/%Lu
}
namespace inbox {
  inbox = yes
  separator = /
  mailbox Sent {
    auto = subscribe
    special_use = \Sent
  }
  mailbox Junk {
    auto = subscribe
    special_use = \Junk
  }
}
service imap-login {
  chroot =
  service_count = 0
  inet_listener imap {
    port = {{.IMAP}}
  }
  inet_listener imaps {
    port = {{.IMAPS}}
    ssl = yes
  }
}
service anvil {
  chroot =
}
service lmtp {
  inet_listener lmtp {
    port = {{.LMTP}}
  }
}
service auth {
  unix_listener {{.Folder}}/auth {
    mode = 0666
  }
}
{{if .Vacation}}
submission_host = {{.Vacation}}
protocol lmtp {
  mail_plugins = sieve
}
plugin {
  sieve = file:{{.Folder}}/sieve/active.sieve
}
{{end}}
`))

// vacationSieve answers whoever writes, once a week (RFC 5230).
const vacationSieve = `require "vacation";
vacation :addresses ["support@shop.example"] :subject "We have got your letter" "Thank you, we will answer soon.";
`

// configure writes the configuration, with fresh ports.
func (s *DovecotServer) configure() error {
	var err error
	for _, port := range []*int{&s.imap, &s.imaps, &s.lmtp} {
		if *port, err = freePort(); err != nil {
			return err
		}
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	group, err := user.LookupGroupId(me.Gid)
	if err != nil {
		return err
	}
	data := map[string]any{"Folder": s.folder, "Cert": s.tls.certFile, "Key": s.tls.keyFile,
		"IMAP": s.imap, "IMAPS": s.imaps, "LMTP": s.lmtp, "Storage": "sdbox", "Vacation": s.vacation,
		"Internal": me.Username, "InternalGroup": group.Name, "Login": me.Username, "MailUID": me.Uid, "MailGID": me.Gid}
	if s.maildir {
		data["Storage"] = "maildir"
	}
	mail := filepath.Join(s.folder, "mail")
	if err := os.MkdirAll(mail, 0o755); err != nil {
		return err
	}
	sieve := filepath.Join(s.folder, "sieve")
	if err := errors.Join(os.MkdirAll(sieve, 0o755), os.Chmod(sieve, 0o777),
		os.WriteFile(filepath.Join(sieve, "active.sieve"), []byte(vacationSieve), 0o644)); err != nil {
		return err
	}
	if os.Geteuid() == 0 { // the processes that clients talk to must not be root
		owner, err := user.Lookup("mail")
		if err != nil {
			return err
		}
		data["Internal"], data["InternalGroup"], data["Login"] = "dovecot", "dovecot", "dovenull"
		data["MailUID"], data["MailGID"] = owner.Uid, owner.Gid
		uid, _ := strconv.Atoi(owner.Uid)
		gid, _ := strconv.Atoi(owner.Gid)
		if err := os.Chown(mail, uid, gid); err != nil {
			return err
		}
	}
	s.config = filepath.Join(s.folder, "dovecot.conf")
	f, err := os.Create(s.config)
	if err != nil {
		return err
	}
	return errors.Join(dovecotConf.Execute(f, data), f.Close(), s.writeUsers())
}

func (s *DovecotServer) start() error {
	return s.process.start(func() error {
		return errors.Join(answers(s.IMAPAddr()), answers(s.LMTPAddr()))
	}, s.dovecot, "-F", "-c", s.config)
}

// Stop ends Dovecot in good order, closing all connections; Start starts it again.
func (s *DovecotServer) Stop(t testing.TB) {
	t.Helper()
	if err := s.process.stop(true); err != nil {
		t.Fatal(err)
	}
}

// Kill ends all of Dovecot's processes at once with SIGKILL; Start starts it again.
func (s *DovecotServer) Kill(t testing.TB) {
	t.Helper()
	s.process.killGroup()
	s.Stop(t)
}

// Start starts Dovecot again after Stop or Kill, on the same ports, with the same mail.
func (s *DovecotServer) Start(t testing.TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// AddUser makes a mailbox for the address.
func (s *DovecotServer) AddUser(t testing.TB, address, password string) {
	t.Helper()
	s.passwords[strings.ToLower(address)] = password
	if err := s.writeUsers(); err != nil {
		t.Fatalf("servers: add user %s: %v", address, err)
	}
}

func (s *DovecotServer) writeUsers() error {
	var b strings.Builder
	for name, password := range s.passwords {
		fmt.Fprintf(&b, "%s:{PLAIN}%s\n", name, password)
	}
	file := filepath.Join(s.folder, "users")
	if err := os.WriteFile(file+".new", []byte(b.String()), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file) // whole or not at all: Dovecot may read it at any time
}

var uidValidity = regexp.MustCompile(`UIDVALIDITY (\d+)`)

// SetUIDValidity gives the folder another UIDVALIDITY; the messages keep their UIDs.
func (s *DovecotServer) SetUIDValidity(t testing.TB, user, folder string, value uint32) {
	t.Helper()
	out, err := exec.Command(s.doveadm, "-c", s.config, "mailbox", "update", "-u", user,
		"--uid-validity", strconv.FormatUint(uint64(value), 10), folder).CombinedOutput()
	if err != nil {
		t.Fatalf("servers: doveadm mailbox update: %v\n%s", err, out)
	}
	if got := s.UIDValidity(t, user, folder); got != value {
		t.Fatalf("servers: %s of %s has UIDVALIDITY %d, not %d", folder, user, got, value)
	}
}

// UIDValidity asks for the folder's UIDVALIDITY.
func (s *DovecotServer) UIDValidity(t testing.TB, user, folder string) uint32 {
	t.Helper()
	c := s.login(t, user)
	defer c.Close()
	lines, err := c.command("STATUS %s (UIDVALIDITY)", quoted(folder))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if m := uidValidity.FindStringSubmatch(l.text); m != nil {
			n, _ := strconv.ParseUint(m[1], 10, 32)
			return uint32(n)
		}
	}
	t.Fatalf("servers: no UIDVALIDITY in %v", lines)
	return 0
}

// Renumber makes Dovecot forget a Maildir INBOX's UIDs, as happens when a mailbox is moved or restored: it comes
// back with another UIDVALIDITY and all messages numbered anew from 1. Dovecot is restarted for it.
func (s *DovecotServer) Renumber(t testing.TB, user string) {
	t.Helper()
	if !s.maildir {
		t.Fatal("servers: Renumber needs DovecotOptions{Maildir: true}")
	}
	before := s.UIDValidity(t, user, "INBOX")
	s.Stop(t)
	for _, pattern := range []string{"dovecot-uidlist", "dovecot-uidvalidity*", "dovecot.index*"} {
		files, _ := filepath.Glob(filepath.Join(s.folder, "mail", strings.ToLower(user), "mail", pattern))
		for _, file := range files {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The new UIDVALIDITY is the time in seconds: it must not be the old one again.
	for uint32(time.Now().Unix()) == before {
		time.Sleep(50 * time.Millisecond)
	}
	s.Start(t)
	if after := s.UIDValidity(t, user, "INBOX"); after == before {
		t.Fatalf("servers: INBOX of %s still has UIDVALIDITY %d", user, before)
	}
}

// Hang stops all of Dovecot's processes where they are, so that connections stay open and nothing answers;
// the function it returns lets them go on.
func (s *DovecotServer) Hang(t testing.TB) (resume func()) {
	t.Helper()
	// Dovecot's own processes have the master's session; the group is stopped as one.
	if err := syscall.Kill(-s.process.pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	resume = func() { syscall.Kill(-s.process.pid, syscall.SIGCONT) }
	t.Cleanup(resume)
	return resume
}
