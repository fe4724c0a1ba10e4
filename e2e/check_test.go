package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/returnpost/returnpost/e2e/servers"
)

// finding is a line of `check --json`.
type finding struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// TestCheckNamesWhatIsWrong: `check` looks at real servers and says of each failure what it is; the others stay well.
func TestCheckNamesWhatIsWrong(t *testing.T) {
	o := newOffice(t, servers.DovecotOptions{}, true)
	for _, c := range []struct {
		name   string
		change func(s *shop)
		wrong  map[string]string // check to a word that its line must have
	}{
		{name: "nothing", change: func(*shop) {}},
		{"the authority is unknown", func(s *shop) { s.Env = nil }, map[string]string{"imap": "certificate", "smtp": "certificate"}},
		{"the IMAP password", func(s *shop) { s.Mailboxes[0].IMAP = strings.Replace(s.Mailboxes[0].IMAP, secret, "wrong", 1) }, map[string]string{"imap": "password"}},
		{"the SMTP password", func(s *shop) { s.SMTP = strings.Replace(s.SMTP, secret, "wrong", 1) }, map[string]string{"smtp": "password"}},
		{"nobody listens", func(s *shop) { s.SMTP = plain(servers.FreeAddr(t)) }, map[string]string{"smtp": "listens"}},
		{"no such folder", func(s *shop) { s.Mailboxes[0].IMAP += ", folder: Elsewhere" }, map[string]string{"imap": "Elsewhere"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := secureShop(t, o)
			c.change(s)
			out, words, code := command(t, s, "check", "--json")
			if want := min(len(c.wrong), 1); code != want {
				t.Errorf("exit code %d, want %d: %s", code, want, words)
			}
			seen := map[string]bool{}
			for line := range strings.Lines(out) {
				var f finding
				if err := json.Unmarshal([]byte(line), &f); err != nil {
					t.Fatalf("%v in %q", err, line)
				}
				seen[f.Check] = true
				word, wrong := c.wrong[f.Check]
				if f.OK == wrong || !strings.Contains(strings.ToLower(f.Detail), strings.ToLower(word)) {
					t.Errorf("%+v", f)
				}
			}
			for _, check := range []string{"config", "letters", "database", "imap", "smtp"} {
				if !seen[check] {
					t.Errorf("nothing is said of %s", check)
				}
			}
		})
	}
}

// TestFaultyConfigurationIsAUsageError: exit code 2, with the place of each mistake, before anything is started.
func TestFaultyConfigurationIsAUsageError(t *testing.T) {
	s := newShop(t, plain("127.0.0.1:25"), box{Name: "support", Address: support, IMAP: plain("127.0.0.1:143")})
	file := s.write(t)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	bad := strings.Replace(string(good), "respond_within: 8h", "respond_witin: 8h", 1)
	bad = strings.Replace(bad, "Asia/Shanghai", "Asia/Shanghigh", 1)
	if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	_, words, code := command(t, s, "serve")
	if code != 2 || !strings.Contains(words, "config.yaml:4:14") || !strings.Contains(words, "config.yaml:11:3") || !strings.Contains(words, "respond_within") {
		t.Errorf("exit code %d: %s", code, words)
	}
}
