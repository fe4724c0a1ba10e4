package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/returnpost/returnpost/config"
	"github.com/returnpost/returnpost/internal/mailtest"
	"github.com/returnpost/returnpost/mailbox"
	"github.com/returnpost/returnpost/outbox"
	"github.com/returnpost/returnpost/responder"
	"github.com/returnpost/returnpost/store"
)

// Each file of testdata/script is a session with the program. Beside
// testscript's own commands a script has:
//
//	returnpost ARG… [< FILE]   must exit 0; with ! before it, 1
//	exits N ARG… [< FILE]      must exit N
//	fields NAME…               every line printed is a JSON object of exactly these fields
//	bytes FILE 'TEXT'          a file of any bytes, written as in a Go string
//	gb18030 FILE               the file, in UTF-8 till now, becomes GB18030
//	arrive MAILBOX FILE…       the daemon's responder takes the files in as messages that have just come
//	settle STATE [WORDS]       every delivery that is due ends like this
//
// A script that brings no config.yaml gets testdata/config.yaml.
func TestScripts(t *testing.T) {
	im, err := mailtest.StartIMAP(mailtest.IMAPOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	im.AddUser("support@harbourbooks.example", "secret")
	sm, err := mailtest.StartSMTP(mailtest.SMTPOptions{Users: map[string]string{"support@harbourbooks.example": "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sm.Close() })
	folder, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	shop, err := os.ReadFile(filepath.Join(folder, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	surroundings := map[string]string{
		"IMAP_PORT": strconv.Itoa(im.Port()), "SMTP_PORT": strconv.Itoa(sm.Port()), "DEAD_PORT": strconv.Itoa(deadPort(t)),
		"MAIL_PASSWORD": "secret", "RETURNPOST_CONFIG": "",
	}
	var s scripts
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join(folder, "script"), // whole: commands change the process's folder
		Setup: func(env *testscript.Env) error {
			for name, value := range surroundings {
				env.Setenv(name, value)
			}
			file := filepath.Join(env.WorkDir, "config.yaml")
			if _, err := os.Stat(file); err == nil {
				return nil
			}
			return os.WriteFile(file, shop, 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"returnpost": func(ts *testscript.TestScript, neg bool, args []string) {
				want := exitDone
				if neg {
					want = exitFailed
				}
				s.run(ts, slices.Collect(maps.Keys(surroundings)), want, args)
			},
			"exits": func(ts *testscript.TestScript, _ bool, args []string) {
				want, err := strconv.Atoi(args[0])
				ts.Check(err)
				s.run(ts, slices.Collect(maps.Keys(surroundings)), want, args[1:])
			},
			"fields": fields, "bytes": writeBytes, "gb18030": toGB18030,
			"arrive": arrive, "settle": settle,
		},
	})
}

// deadPort is a port of this machine at which nothing listens.
func deadPort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// scripts lends the process's folder and environment to one command at a time.
type scripts struct{ mu sync.Mutex }

func (s *scripts) run(ts *testscript.TestScript, names []string, want int, args []string) {
	var in io.Reader = strings.NewReader("")
	if n := len(args); n >= 2 && args[n-2] == "<" {
		in, args = strings.NewReader(ts.ReadFile(args[n-1])), args[:n-2]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	back, err := os.Getwd()
	ts.Check(err)
	ts.Check(os.Chdir(ts.MkAbs(".")))
	for _, name := range names {
		ts.Check(os.Setenv(name, ts.Getenv(name)))
	}
	code := run(context.Background(), args, in, ts.Stdout(), ts.Stderr())
	for _, name := range names {
		ts.Check(os.Unsetenv(name))
	}
	ts.Check(os.Chdir(back))
	if code != want {
		ts.Fatalf("returnpost %s: exit code %d, want %d", strings.Join(args, " "), code, want)
	}
}

func fields(ts *testscript.TestScript, _ bool, want []string) {
	slices.Sort(want)
	out := strings.TrimSpace(ts.ReadFile("stdout"))
	for line := range strings.SplitSeq(out, "\n") {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			ts.Fatalf("this line is no JSON object: %v\n%s", err, line)
		}
		if got := slices.Sorted(maps.Keys(object)); !slices.Equal(got, want) {
			ts.Fatalf("fields\n%q, want\n%q", got, want)
		}
	}
}

func writeBytes(ts *testscript.TestScript, _ bool, args []string) {
	text, err := strconv.Unquote(`"` + args[1] + `"`)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

func toGB18030(ts *testscript.TestScript, _ bool, args []string) {
	encoded, err := simplifiedchinese.GB18030.NewEncoder().String(ts.ReadFile(args[0]))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(encoded), 0o600))
}

// opened is the configuration and the database of the script's folder.
func opened(ts *testscript.TestScript) (*config.Config, *store.DB) {
	file := ts.MkAbs("config.yaml")
	cfg, err := config.Parse(file, []byte(ts.ReadFile(file)), func(name string) (string, bool) { return ts.Getenv(name), true })
	ts.Check(err)
	db, err := store.Open(context.Background(), cfg.Database, store.Options{})
	ts.Check(err)
	return cfg, db
}

func arrive(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	cfg, db := opened(ts)
	defer db.Close()
	mb, err := mailboxNamed(cfg, args[0])
	ts.Check(err)
	letters, err := openLetters(cfg)
	ts.Check(err)
	held, err := db.RegisterMailbox(ctx, mb.Name, mb.Address)
	ts.Check(err)
	secret, err := db.Secret(ctx)
	ts.Check(err)
	at, err := db.Resume(ctx, mb.Name)
	ts.Check(err)
	if at.UIDValidity == 0 {
		at.UIDValidity = 1
		ts.Check(db.Begin(ctx, mb.Name, at, 0))
	}
	var batch []mailbox.Fetched
	for i, name := range args[1:] {
		raw := strings.ReplaceAll(ts.ReadFile(name), "\n", "\r\n")
		batch = append(batch, mailbox.Fetched{
			UIDValidity: at.UIDValidity, UID: at.UID + uint32(i) + 1, Internal: time.Now(), Noticed: time.Now(), Size: int64(len(raw)), Raw: []byte(raw),
		})
	}
	policy := policyOf(cfg, mb, letters[mb.Letters], responder.NewMarker(secret), held)
	ts.Check(responder.New(policy, db, responder.Options{Started: held.Started}).Handle(ctx, batch))
}

func settle(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	_, db := opened(ts)
	defer db.Close()
	state, err := outbox.ParseState(args[0])
	ts.Check(err)
	claimed, _, err := db.Settle(ctx, nil, 100)
	ts.Check(err)
	if len(claimed) == 0 {
		ts.Fatalf("no delivery is due")
	}
	var finished []outbox.Outcome
	for _, d := range claimed {
		o := outbox.Outcome{Sending: d.Sending, Recipient: d.Recipient, State: state, At: time.Now()}
		if len(args) > 1 {
			fmt.Sscanf(args[1], "%d %s", &o.Code, &o.Status)
			o.Words = args[1]
		}
		if state == outbox.Deferred || state == outbox.Doubt {
			o.Due = o.At.Add(time.Hour)
		}
		finished = append(finished, o)
	}
	_, _, err = db.Settle(ctx, finished, 0)
	ts.Check(err)
}
