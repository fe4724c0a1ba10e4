package servers

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"
)

// PostfixOptions are the choices a test has.
type PostfixOptions struct {
	// Domains are the domains whose mail is handed to the Dovecot server by LMTP; every other address is refused.
	Domains []string
	Dovecot *DovecotServer
	// Auth offers AUTH with Dovecot's users. Postfix then takes no connection while Dovecot is down.
	Auth bool
}

// PostfixServer is a private Postfix on one loopback port: it takes mail for its domains from anybody on the
// loopback, with or without STARTTLS, gives it to Dovecot, and retries every second what Dovecot does not take. No
// mail ever leaves it for another place: the transports for that end in an error.
type PostfixServer struct {
	process *process
	folder  string
	port    int
	tls     authority
	master  string
}

const postfixDaemons = "/usr/lib/postfix/sbin"

// Postfix starts a private Postfix, stopped at the end of the test. It needs root, as Postfix itself does.
func Postfix(t testing.TB, options PostfixOptions) *PostfixServer {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("servers: Postfix can be started by root only: run `make test` as root, or with sudo")
	}
	s := &PostfixServer{master: program(t, "master", postfixDaemons, "/usr/libexec/postfix")}
	owner := account(t, "postfix")
	drop := program(t, "postdrop") // its group is the one that may hand in mail
	var err error
	if s.folder, err = newFolder(); err != nil {
		t.Fatalf("servers: folder for Postfix: %v", err)
	}
	s.process = &process{name: "Postfix", folder: s.folder, log: filepath.Join(s.folder, "log"), signal: "TERM"}
	t.Cleanup(func() {
		if err := s.process.stop(false); err != nil {
			t.Error(err)
		}
	})
	if s.tls, err = newAuthority(s.folder); err != nil {
		t.Fatalf("servers: certificate for Postfix: %v", err)
	}
	if err := s.makeFolders(owner, drop); err != nil {
		t.Fatalf("servers: folders for Postfix: %v", err)
	}
	showLog(t, "Postfix", s.process.log, filepath.Join(s.folder, "mail.log"))
	for attempt := 1; ; attempt++ {
		if err = s.configure(options); err != nil {
			t.Fatalf("servers: configure Postfix: %v", err)
		}
		if err = s.start(); err == nil {
			return s
		}
		if attempt == 3 {
			t.Fatalf("%v\n%s", err, tail(filepath.Join(s.folder, "mail.log"), 0))
		}
	}
}

// Addr is host:port of SMTP.
func (s *PostfixServer) Addr() string { return loopback(s.port) }

// CAFile is the certificate of the authority behind the server's certificate, as PEM.
func (s *PostfixServer) CAFile() string { return s.tls.caFile }

// Send hands in a message by SMTP, as another mail server does; from "" is the null sender.
func (s *PostfixServer) Send(t testing.TB, from, to string, raw []byte) {
	t.Helper()
	if err := transact(s.Addr(), "EHLO", from, to, raw); err != nil {
		t.Fatalf("servers: send to %s through Postfix: %v", to, err)
	}
}

// Log is what Postfix has logged so far.
func (s *PostfixServer) Log(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.folder, "mail.log"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b)
}

// Stop ends Postfix in good order; Start starts it again, on the same port, with the same queue.
func (s *PostfixServer) Stop(t testing.TB) {
	t.Helper()
	if err := s.process.stop(true); err != nil {
		t.Fatal(err)
	}
}

// Kill ends all of Postfix's processes at once with SIGKILL; Start starts it again.
func (s *PostfixServer) Kill(t testing.TB) {
	t.Helper()
	s.process.killGroup()
	s.Stop(t)
}

// Start starts Postfix again after Stop or Kill.
func (s *PostfixServer) Start(t testing.TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

func (s *PostfixServer) start() error {
	config := filepath.Join(s.folder, "etc")
	return s.process.start(func() error { return answers(s.Addr()) },
		"env", "MAIL_CONFIG="+config, s.master, "-d", "-c", config)
}

// makeFolders makes the queue as `postfix post-install` would.
func (s *PostfixServer) makeFolders(owner *syscall.Credential, postdrop string) error {
	st, err := os.Stat(postdrop)
	if err != nil {
		return err
	}
	group := int(st.Sys().(*syscall.Stat_t).Gid)
	uid, gid := int(owner.Uid), int(owner.Gid)
	folders := []struct {
		path     string
		mode     os.FileMode
		uid, gid int
	}{
		{"etc", 0o755, 0, 0}, {"data", 0o700, uid, gid}, {"queue", 0o755, 0, 0}, {"queue/pid", 0o755, 0, 0},
		{"queue/public", 0o710, uid, group}, {"queue/maildrop", 0o730, uid, group},
	}
	for _, name := range strings.Fields("active bounce corrupt defer deferred flush hold incoming private saved trace") {
		folders = append(folders, struct {
			path     string
			mode     os.FileMode
			uid, gid int
		}{"queue/" + name, 0o700, uid, gid})
	}
	for _, f := range folders {
		path := filepath.Join(s.folder, f.path)
		if err := errors.Join(os.MkdirAll(path, f.mode), os.Chmod(path, f.mode), os.Chown(path, f.uid, f.gid)); err != nil {
			return err
		}
	}
	return nil
}

var postfixMain = template.Must(template.New("main.cf").Parse(`
compatibility_level = 3.6
queue_directory = {{.Folder}}/queue
data_directory = {{.Folder}}/data
daemon_directory = {{.Daemons}}
maillog_file = {{.Folder}}/mail.log
maillog_file_prefixes = {{.Folder}}
myhostname = mx.test.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
recipient_delimiter = +
virtual_mailbox_domains = {{.Domains}}
virtual_transport = lmtp:inet:{{.LMTP}}
default_transport = error:5.1.2 no mail leaves this test
relay_transport = $default_transport
local_transport = $default_transport
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = permit
smtpd_tls_security_level = may
smtpd_tls_cert_file = {{.Cert}}
smtpd_tls_key_file = {{.Key}}
{{if .Auth}}smtpd_sasl_auth_enable = yes
{{end}}smtpd_sasl_type = dovecot
smtpd_sasl_path = {{.AuthSocket}}
smtpd_sasl_security_options = noanonymous
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 2000
message_size_limit = 104857600
virtual_mailbox_limit = 0
in_flow_delay = 0
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
lmtp_initial_destination_concurrency = 10
lmtp_destination_concurrency_failed_cohort_limit = 100
`))

// postfixMaster is the usual master.cf without chroot and without what no test needs (postfix(1) services for
// mail from outside, UUCP and the like).
const postfixMaster = `
SMTP      inet  n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 1 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
proxywrite unix - - n - 1 proxymap
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
lmtp      unix  - - n - - lmtp
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
`

// configure writes the configuration, with a fresh port.
func (s *PostfixServer) configure(options PostfixOptions) error {
	var err error
	if s.port, err = freePort(); err != nil {
		return err
	}
	var main strings.Builder
	if err := postfixMain.Execute(&main, map[string]any{"Folder": s.folder, "Daemons": filepath.Dir(s.master),
		"Domains": strings.Join(options.Domains, ", "), "LMTP": options.Dovecot.LMTPAddr(), "Auth": options.Auth,
		"AuthSocket": options.Dovecot.AuthSocket(), "Cert": s.tls.certFile, "Key": s.tls.keyFile}); err != nil {
		return err
	}
	// Postfix reads a file again and again while it is younger than two seconds, in every process it starts.
	old := time.Now().Add(-time.Hour)
	write := func(name, text string) error {
		file := filepath.Join(s.folder, "etc", name)
		return errors.Join(os.WriteFile(file, []byte(text), 0o644), os.Chtimes(file, old, old))
	}
	return errors.Join(write("main.cf", main.String()),
		write("master.cf", strings.Replace(postfixMaster, "SMTP ", loopback(s.port)+" ", 1)))
}

// Queue lists what waits in Postfix's queue, for a test's failure.
func (s *PostfixServer) Queue(t testing.TB) string {
	t.Helper()
	out, err := exec.Command(program(t, "postqueue"), "-c", filepath.Join(s.folder, "etc"), "-p").CombinedOutput()
	if err != nil {
		t.Logf("servers: postqueue: %v", err)
	}
	return string(out)
}
