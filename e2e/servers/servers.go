// Package servers starts real mail and database servers for tests: PostgreSQL, Dovecot and Postfix as Debian
// ships them, each a private instance with its own configuration in a temporary folder, on free loopback ports.
// Nothing of the machine's own services is used or changed.
//
// A server never outlives the test binary, not even one that is killed: a small shell guard holds the reading end
// of a pipe whose writing end only the test binary has, and stops the server and removes its folder when that
// end is closed, by whatever means. A server that cannot be started fails the test with the tail of its log; its
// log is also shown when a test that used it fails. A missing program fails the test, saying which one.
package servers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startWait bounds every wait for a server to come up or go down.
const startWait = 30 * time.Second

// guardScript runs a server in a session of its own and stops it when its third file descriptor is closed or
// written to. Its arguments: the signal that stops the server, the folder, then the server's command. A line in
// the pipe means: stop the server, keep the folder (it will be started again). The limit of open files is set
// because Postfix closes each possible one at its start, and some machines allow a billion.
const guardScript = `
signal=$1 folder=$2
shift 2
ulimit -n 8192
setsid "$@" </dev/null 3<&- &
server=$!
echo $server >"$folder/pid.new" && mv "$folder/pid.new" "$folder/pid"
read -r keep <&3
kill -"$signal" $server 2>/dev/null
wait $server
kill -KILL -- -$server 2>/dev/null
[ -n "$keep" ] || rm -rf "$folder"
`

// process is one server under its guard.
type process struct {
	name   string
	folder string
	log    string // the file that has what the server prints
	signal string
	owner  *syscall.Credential
	guard  *exec.Cmd
	hold   *os.File // the writing end; closing it stops the server
	pid    int
}

// newFolder makes a folder for a server's files: under /tmp and short, because the paths of the Unix sockets in
// it may have 107 bytes only, and open to the users that servers drop to. The guard removes it.
func newFolder() (string, error) {
	root := os.TempDir()
	if len(root) > 40 {
		root = "/tmp"
	}
	dir, err := os.MkdirTemp(root, "rp-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

// start runs the command under a guard and waits until ready says nil. After an error nothing runs any more,
// but the folder is still there.
func (p *process) start(ready func() error, command ...string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		w.Close()
		return err
	}
	defer out.Close()
	pidFile := filepath.Join(p.folder, "pid")
	os.Remove(pidFile)
	args := append([]string{"-c", guardScript, "guard", p.signal, p.folder}, command...)
	p.guard = exec.Command("/bin/sh", args...)
	p.guard.Dir = p.folder
	p.guard.Stdout, p.guard.Stderr = out, out
	p.guard.ExtraFiles = []*os.File{r}
	// A group of its own, so that an interrupt from the terminal reaches the tests only and the guard can tidy up.
	p.guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: p.owner}
	if err := p.guard.Start(); err != nil {
		w.Close()
		return fmt.Errorf("servers: start %s: %w", p.name, err)
	}
	p.hold = w
	p.pid = 0
	err = until(startWait, func() error {
		if p.pid == 0 {
			b, err := os.ReadFile(pidFile)
			if err != nil {
				return err
			}
			if p.pid, err = strconv.Atoi(strings.TrimSpace(string(b))); err != nil {
				return err
			}
		}
		if !alive(p.pid) {
			return errEnded
		}
		return ready()
	})
	if err != nil {
		err = fmt.Errorf("servers: %s did not come up: %w\n%s", p.name, err, tail(p.log, 0))
		return errors.Join(err, p.stop(true))
	}
	return nil
}

// stop ends the server and its guard. With keep it ends in good order and the folder stays, for a further start;
// else its data is thrown away, and so there is no order to wait for.
func (p *process) stop(keep bool) error {
	if p.hold == nil {
		if !keep {
			os.RemoveAll(p.folder)
		}
		return nil
	}
	if keep {
		io.WriteString(p.hold, "keep\n")
	} else {
		p.killGroup()
	}
	p.hold.Close()
	p.hold = nil
	timer := time.AfterFunc(startWait, func() { p.killGroup() })
	defer timer.Stop()
	if err := p.guard.Wait(); err != nil {
		return fmt.Errorf("servers: stop %s: %w", p.name, err)
	}
	return nil
}

// killGroup ends the server and all it started, at once, as a power cut would.
func (p *process) killGroup() {
	if p.pid > 1 {
		syscall.Kill(-p.pid, syscall.SIGKILL)
	}
}

var errEnded = errors.New("it ended by itself")

// alive reports whether the process runs. (A zombie, which the guard has not waited for yet, does not.)
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	after := b[bytes.LastIndexByte(b, ')')+1:]
	return len(after) < 2 || after[1] != 'Z'
}

// until asks again and again until the condition has no complaint, and returns the last complaint if it still
// has one after the wait.
func until(wait time.Duration, condition func() error) error {
	deadline := time.Now().Add(wait)
	pause := 2 * time.Millisecond
	for {
		err := condition()
		if err == nil || errors.Is(err, errEnded) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(pause)
		pause = min(pause*3/2, 50*time.Millisecond)
	}
}

// freePort finds a loopback port that nobody listens on, below the range from which the kernel takes ports for
// outgoing connections, so that it is still free when a server is started again.
func freePort() (int, error) {
	for range 200 {
		port := 20000 + rand.IntN(12000)
		l, err := net.Listen("tcp", loopback(port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("servers: no free loopback port found")
}

// FreeAddr is a loopback address that nobody listens on.
func FreeAddr(t testing.TB) string {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return loopback(port)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// answers dials the address and reads a little: a server that greets is ready.
func answers(addr string) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err = c.Read(make([]byte, 1))
	return err
}

// program finds a server's program or fails the test, saying what is missing.
func program(t testing.TB, name string, folders ...string) string {
	t.Helper()
	for _, folder := range append(folders, "/usr/sbin", "/usr/bin") {
		if found, _ := filepath.Glob(filepath.Join(folder, name)); len(found) > 0 {
			return found[len(found)-1]
		}
	}
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	t.Fatalf("servers: the program %q is missing; `make test` installs it (or run e2e/install.sh)", name)
	return ""
}

// account looks up a system user whom a server runs as; nil when we are not root and so run it as ourselves.
func account(t testing.TB, name string) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatalf("servers: the user %q is missing (its package makes it); `make test` installs it: %v", name, err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// showLog prints what the server logged since the call, when the test has failed at its end.
func showLog(t testing.TB, name string, logs ...string) {
	from := make([]int64, len(logs))
	for i, log := range logs {
		if st, err := os.Stat(log); err == nil {
			from[i] = st.Size()
		}
	}
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for i, log := range logs {
			if text := tail(log, from[i]); text != "" {
				t.Logf("log of %s:\n%s", name, text)
			}
		}
	})
}

// tail is the end of a file, from the offset at the earliest.
func tail(file string, from int64) string {
	const most = 8 << 10
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Size()-from > most {
		from = st.Size() - most
	}
	b := make([]byte, most)
	n, _ := f.ReadAt(b, from)
	return strings.TrimSpace(string(b[:n]))
}
