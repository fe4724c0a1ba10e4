package message

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// expected is a line of testdata/bounces.jsonl: real reports with what a mature bounce parser makes of them. Its reasons are its own.
type expected struct {
	File    string
	Kind    string
	Bounces []struct {
		Status, Reason, Other string
		Hard                  bool
	}
}

func readExpected(t *testing.T) (all []expected) {
	f, err := os.Open("testdata/bounces.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e expected
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func parseFile(t testing.TB, path string) *Message {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return Parse(raw)
}

// What the corpus' reasons are called here; the others have no counterpart.
var reasonNames = map[string]string{
	"userunknown": "user-unknown", "mailboxfull": "mailbox-full", "blocked": "blocked", "badreputation": "blocked", "requireptr": "blocked", "toomanyconn": "blocked",
	"policyviolation": "policy", "securityerror": "policy", "notcompliantrfc": "policy", "mesgtoobig": "too-large", "exceedlimit": "too-large", "hostunknown": "host-unknown",
	"norelaying": "relaying", "authfailure": "auth-failure", "spamdetected": "content", "virusdetected": "content", "expired": "expired",
}

func TestRealBounces(t *testing.T) {
	files, kinds, recipients, verdicts, reasons, named := 0, 0, 0, 0, 0, 0
	for _, e := range readExpected(t) {
		m := parseFile(t, filepath.Join("testdata", e.File))
		files++
		if m.Kind == KindPerson || m.Kind == KindBroken {
			t.Errorf("%s: %s", e.File, m.Kind)
		}
		if string(m.Kind) == e.Kind {
			kinds++
		} else {
			t.Logf("%s: %s, not %s", e.File, m.Kind, e.Kind)
		}
		if e.Kind != "bounce" || len(m.Bounces) == 0 {
			continue
		}
		if len(m.Bounces) != len(e.Bounces) {
			t.Logf("%s: %d recipients, not %d: %+v", e.File, len(m.Bounces), len(e.Bounces), m.Bounces)
		}
		for i, want := range e.Bounces {
			got := m.Bounces[min(i, len(m.Bounces)-1)]
			recipients++
			if got.Permanent == want.Hard {
				verdicts++
			} else {
				t.Logf("%s: permanent %t: %+v; %s", e.File, got.Permanent, got, want.Reason)
			}
			if name := reasonNames[want.Reason]; name != "" {
				named++
				if got.Reason == name {
					reasons++
				} else {
					t.Logf("%s: %+v; %s", e.File, got, want.Reason)
				}
			}
		}
	}
	t.Logf("kind %d of %d, dead or not %d of %d, reason %d of %d", kinds, files, verdicts, recipients, reasons, named)
	if kinds*100 < files*98 || verdicts*100 < recipients*93 || reasons*100 < named*85 {
		t.Errorf("worse than before: kind %d of %d, dead or not %d of %d, reason %d of %d", kinds, files, verdicts, recipients, reasons, named)
	}
}

func TestMalformedMessages(t *testing.T) {
	files, err := filepath.Glob("testdata/malformed/*.eml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		start := time.Now()
		m := parseFile(t, file)
		if d := time.Since(start); d > time.Second {
			t.Errorf("%s took %v", file, d)
		}
		t.Logf("%s: %s, %q, %q, %d bytes of text", filepath.Base(file), m.Kind, m.From, m.Subject, len(m.Text))
		raw, _ := os.ReadFile(file)
		readable := strings.Contains(strings.ToLower(string(raw)), "\nfrom:") || strings.HasPrefix(strings.ToLower(string(raw)), "from:")
		if readable != (m.From.Addr != "") || readable != (m.Broken == "") {
			t.Errorf("%s: From %q, broken %q", file, m.From, m.Broken)
		}
	}
}
