// Package e2e holds scenarios that run the built binary against real servers: Dovecot, Postfix and PostgreSQL from
// e2e/servers, which each test starts for itself. What is asserted here is what a shop owner and the shop's
// customers can see: mail in mailboxes, /healthz, the reports' JSON and exit codes. The benchmarks of docs/performance.md
// are here as well, see `make bench`.
package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/returnpost/returnpost/e2e/servers"
)

// patience bounds every wait for something that takes a moment on an idle machine.
const patience = 30 * time.Second

var built struct {
	sync.Once
	folder, path string
	err          error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.folder != "" {
		os.RemoveAll(built.folder)
	}
	os.Exit(code)
}

// binary builds the program, once a run, as it is shipped: without cgo.
func binary(t testing.TB) string {
	t.Helper()
	built.Do(func() {
		if built.folder, built.err = os.MkdirTemp("", "returnpost-e2e-"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.folder, "returnpost")
		build := exec.Command("go", "build", "-o", built.path, "./cmd/returnpost")
		build.Dir = ".."
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("go build ./cmd/returnpost: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// daemon is one `returnpost serve`.
type daemon struct {
	t       testing.TB
	cmd     *exec.Cmd
	config  string
	address string // of web.listen
	log     string
	ended   chan struct{} // closed when the process is gone
	started time.Time
}

// launch starts `serve` with the shop's configuration and does not wait for anything.
func launch(t testing.TB, s *shop) *daemon {
	t.Helper()
	d := &daemon{t: t, config: s.write(t), address: s.Listen, log: filepath.Join(s.Folder, "serve.log"), ended: make(chan struct{})}
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	d.cmd = exec.Command(binary(t), "--config", d.config, "serve")
	d.cmd.Dir = s.Folder
	d.cmd.Env = append(os.Environ(), s.Env...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	// The daemon must not outlive a test binary that is killed.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	d.started = time.Now()
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // Wait, so that nobody signals a process number which is another's by now
		d.cmd.Wait()
		close(d.ended)
	}()
	t.Cleanup(func() {
		d.kill()
		if t.Failed() {
			t.Logf("log of returnpost serve:\n%s", d.logTail())
		}
	})
	return d
}

// serve starts the daemon and waits until it watches and sends.
func serve(t testing.TB, s *shop) *daemon {
	t.Helper()
	d := launch(t, s)
	d.healthy()
	return d
}

// healthy waits until /healthz says 200.
func (d *daemon) healthy() {
	d.t.Helper()
	await(d.t, "healthz 200", patience, func() error {
		select {
		case <-d.ended:
			d.t.Fatalf("the daemon ended: %v\n%s", d.cmd.ProcessState, d.logTail())
		default:
		}
		code, body := d.health()
		if code != http.StatusOK {
			return fmt.Errorf("healthz %d: %s", code, body)
		}
		return nil
	})
}

// health asks /healthz; 0 when nobody answers.
func (d *daemon) health() (code int, body string) {
	client := http.Client{Timeout: 5 * time.Second}
	r, err := client.Get("http://" + d.address + "/healthz")
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(b)
}

// kill ends the daemon as a power cut would.
func (d *daemon) kill() {
	select {
	case <-d.ended:
	default:
		d.cmd.Process.Kill()
		<-d.ended
	}
}

// terminate asks the daemon to end, as systemd does, and gives its exit code and how long it took.
func (d *daemon) terminate() (code int, took time.Duration) {
	d.t.Helper()
	begin := time.Now()
	d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(45 * time.Second):
		d.t.Fatal("the daemon did not end within 45 s of SIGTERM")
	}
	return d.cmd.ProcessState.ExitCode(), time.Since(begin)
}

func (d *daemon) logTail() string {
	b, _ := os.ReadFile(d.log)
	if len(b) > 32<<10 {
		b = b[len(b)-32<<10:]
	}
	return string(b)
}

// memory is the daemon's resident memory in bytes: now, and at its highest.
func (d *daemon) memory() (now, peak int64) {
	d.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		d.t.Fatal(err)
	}
	field := func(name string) int64 {
		m := regexp.MustCompile(name + `:\s+(\d+) kB`).FindSubmatch(b)
		if m == nil {
			d.t.Fatalf("no %s in the process's status", name)
		}
		n, _ := strconv.ParseInt(string(m[1]), 10, 64)
		return n << 10
	}
	return field("VmRSS"), field("VmHWM")
}

// command runs a further command of the program on the shop's configuration.
func command(t testing.TB, s *shop, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(binary(t), append([]string{"--config", s.write(t)}, args...)...)
	cmd.Dir = s.Folder
	cmd.Env = append(os.Environ(), s.Env...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// report runs a command with --json and reads its lines, each an object.
func report[T any](t testing.TB, s *shop, args ...string) []T {
	t.Helper()
	out, errOut, code := command(t, s, append(args, "--json")...)
	if code != 0 {
		t.Fatalf("returnpost %s: exit code %d: %s", strings.Join(args, " "), code, errOut)
	}
	var all []T
	for d := json.NewDecoder(strings.NewReader(out)); ; {
		var v T
		if err := d.Decode(&v); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("returnpost %s: %v in %q", strings.Join(args, " "), err, out)
		}
		all = append(all, v)
	}
}

// delivery is a line of `deliveries list --json`.
type delivery struct {
	To        string `json:"to"`
	State     string `json:"state"`
	Attempts  int    `json:"attempts"`
	Reason    string `json:"reason"`
	MessageID string `json:"message_id"`
}

// await asks until the condition has no complaint, and fails the test with its last one.
func await(t testing.TB, what string, wait time.Duration, condition func() error) {
	t.Helper()
	deadline := time.Now().Add(wait)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s: %v", wait, what, err)
		}
		<-time.After(pause)
	}
}

// shop is the configuration of a daemon under test. Its limits are raised, its office is always open, so that a
// promise is always eight hours away.
type shop struct {
	Folder    string
	Database  string // "": a file in Folder
	Listen    string
	SMTP      string // the keys of `smtp:` in YAML's short form
	Mailboxes []box
	Env       []string // of the process
	file      string
}

type box struct {
	Name, Address string
	IMAP          string // the keys of `imap:` in YAML's short form
	Envelope      string // "": as `check` found out
}

// newShop is a shop with a free port for its web server.
func newShop(t testing.TB, smtp string, mailboxes ...box) *shop {
	t.Helper()
	return &shop{Folder: t.TempDir(), Listen: servers.FreeAddr(t), SMTP: smtp, Mailboxes: mailboxes}
}

// write writes config.yaml once.
func (s *shop) write(t testing.TB) string {
	t.Helper()
	if s.file != "" {
		return s.file
	}
	if s.Database == "" {
		s.Database = filepath.Join(s.Folder, "returnpost.db")
	}
	var b strings.Builder
	fmt.Fprintf(&b, `business:
  name: Harbour Books
  languages: [en, zh]
  time_zone: Asia/Shanghai
database: %q
smtp: {%s}
web: {listen: %q}
hours: {mon-sun: 24h}
calendars: []
responder:
  respond_within: 8h
  limits: {per_sender: 1000000/24h, per_domain: 1000000/1h, total: 1000000/1h}
mailboxes:
`, s.Database, s.SMTP, s.Listen)
	for _, m := range s.Mailboxes {
		fmt.Fprintf(&b, "  %s:\n    address: %s\n    name: Harbour Books Support\n    imap: {%s}\n", m.Name, m.Address, m.IMAP)
		if m.Envelope != "" {
			fmt.Fprintf(&b, "    envelope: %s\n", m.Envelope)
		}
	}
	s.file = filepath.Join(s.Folder, "config.yaml")
	if err := os.WriteFile(s.file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.file
}

// plain are the keys of a connection without TLS.
func plain(addr string) string {
	host, port, _ := strings.Cut(addr, ":")
	return fmt.Sprintf("host: %s, port: %s, security: none", host, port)
}

// login adds a user name and a password.
func login(keys, user, password string) string {
	return fmt.Sprintf("%s, username: %q, password: %q", keys, user, password)
}
