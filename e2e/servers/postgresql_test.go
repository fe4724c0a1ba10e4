package servers

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestPostgreSQLGivesFreshDatabases(t *testing.T) {
	first, second := PostgreSQL(t), PostgreSQL(t)
	if first == second {
		t.Fatalf("the same database twice: %s", first)
	}
	for _, url := range []string{first, second} {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		db, err := pgx.Connect(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close(ctx)
		if _, err := db.Exec(ctx, "CREATE TABLE letters (id int)"); err != nil {
			t.Fatal(err)
		}
		var fsync, lower string
		if err := db.QueryRow(ctx, "SELECT current_setting('fsync'), lower('ÄÖ')").Scan(&fsync, &lower); err != nil {
			t.Fatal(err)
		}
		if fsync != "on" || lower != "äö" {
			t.Errorf("fsync %q, lower %q", fsync, lower)
		}
	}
}

// TestServersEndWithTheTestBinary runs this test binary again, has it start a server and kills it.
func TestServersEndWithTheTestBinary(t *testing.T) {
	if os.Getenv("RETURNPOST_TEST_CHILD") != "" {
		PostgreSQL(t)
		os.Stdout.WriteString("server in " + cluster.process.folder + "\n")
		select {}
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), "RETURNPOST_TEST_CHILD=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var folder string
	text, buffer := "", make([]byte, 4096)
	for folder == "" {
		n, err := out.Read(buffer)
		text += string(buffer[:n])
		if _, after, ok := strings.Cut(text, "server in "); ok && strings.Contains(after, "\n") {
			folder, _, _ = strings.Cut(after, "\n")
		}
		if err != nil {
			t.Fatalf("the child ended: %v\n%s", err, text)
		}
	}
	if _, err := os.Stat(filepath.Join(folder, "data")); err != nil {
		t.Fatal(err)
	}
	child.Process.Kill()
	child.Wait()
	if err := until(10*time.Second, func() error {
		if _, err := os.Stat(folder); !os.IsNotExist(err) {
			return os.ErrExist
		}
		return nil
	}); err != nil {
		t.Errorf("the server's folder %s is still there", folder)
	}
}
