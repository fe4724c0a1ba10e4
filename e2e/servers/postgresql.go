package servers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// cluster is the one PostgreSQL of this test binary. It is started by the first call and ends with the binary.
var cluster struct {
	sync.Mutex
	process   *process
	port      int
	databases int
}

// PostgreSQL gives the URL of a fresh, empty database in a private PostgreSQL, dropped at the end of the test.
// The cluster is shared by all tests of the binary; its durability settings are PostgreSQL's defaults (fsync and
// synchronous_commit on), because durability is among the things tested.
func PostgreSQL(t testing.TB) string {
	t.Helper()
	cluster.Lock()
	defer cluster.Unlock()
	if cluster.process == nil {
		startCluster(t)
	}
	cluster.databases++
	name := fmt.Sprintf("test%d", cluster.databases)
	if err := psql(t, "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cluster.Lock()
		defer cluster.Unlock()
		if err := psql(t, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	showLog(t, "PostgreSQL", cluster.process.log)
	return fmt.Sprintf("postgres://postgres@%s/%s?sslmode=disable", loopback(cluster.port), name)
}

const postgresBin = "/usr/lib/postgresql/*/bin"

func startCluster(t testing.TB) {
	t.Helper()
	initdb, server := program(t, "initdb", postgresBin), program(t, "postgres", postgresBin)
	owner := account(t, "postgres") // the server refuses to run as root
	folder, err := newFolder()
	if err != nil {
		t.Fatalf("servers: folder for PostgreSQL: %v", err)
	}
	// SIGQUIT is PostgreSQL's immediate shutdown: the data is thrown away anyway.
	p := &process{name: "PostgreSQL", folder: folder, log: filepath.Join(folder, "log"), signal: "QUIT", owner: owner}
	fail := func(what string, err error) {
		t.Helper()
		p.stop(false)
		t.Fatalf("servers: %s: %v", what, err)
	}
	if owner != nil {
		if err := os.Chown(folder, int(owner.Uid), int(owner.Gid)); err != nil {
			fail("folder for PostgreSQL", err)
		}
	}
	data := filepath.Join(folder, "data")
	// C.UTF-8: Unicode letter cases as in a shop's own database, and the same on every machine.
	create := exec.Command(initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	create.Dir = folder
	create.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	if out, err := create.CombinedOutput(); err != nil {
		fail("initdb", fmt.Errorf("%w\n%s", err, out))
	}
	for attempt := 1; ; attempt++ { // another process may take the port just before us
		port, err := freePort()
		if err != nil {
			fail("port for PostgreSQL", err)
		}
		err = p.start(func() error {
			return exec.Command(program(t, "pg_isready", postgresBin), "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(port)).Run()
		}, server, "-D", data, "-p", strconv.Itoa(port), "-h", "127.0.0.1", "-k", folder,
			"-c", "shared_buffers=16MB", "-c", "max_connections=100", "-c", "wal_level=minimal", "-c", "max_wal_senders=0",
			"-c", "log_checkpoints=off")
		if err == nil {
			cluster.process, cluster.port = p, port
			return
		}
		if attempt == 3 {
			fail("PostgreSQL", err)
		}
	}
}

// psql runs one statement as the superuser.
func psql(t testing.TB, statement string) error {
	out, err := exec.Command(program(t, "psql", postgresBin), "-X", "-q", "-v", "ON_ERROR_STOP=1",
		"-h", "127.0.0.1", "-p", strconv.Itoa(cluster.port), "-U", "postgres", "-d", "postgres", "-c", statement).CombinedOutput()
	if err != nil {
		return fmt.Errorf("servers: %s: %w\n%s", statement, err, out)
	}
	return nil
}
