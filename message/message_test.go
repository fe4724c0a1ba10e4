package message

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the .want files of the corpus")

// summary is what a .want file holds: a message as a person would describe it.
func summary(m *Message) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		if s := fmt.Sprintf(format, args...); strings.TrimSpace(s) != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, s)
		}
	}
	line("from", "%s", m.From)
	line("subject", "%s", m.Subject)
	line("kind", "%s", m.Kind)
	line("broken", "%s", m.Broken)
	for _, e := range m.Evidence {
		line("mark", "%s: %s = %q (%s)", e.Mark, e.Field, e.Value, e.Rule)
	}
	for _, r := range m.Bounces {
		line("bounce", "%s %s %s %s permanent=%t", r.Recipient, r.Action, r.Status, r.Reason, r.Permanent)
	}
	if m.Complaint != nil {
		line("complaint", "%s %s", m.Complaint.Recipient, m.Complaint.Type)
	}
	line("language", "%s", m.Language([]string{"en", "zh"}))
	text := strings.Split(m.NewText, "\n")
	for _, l := range text[:min(len(text), 12)] {
		b.WriteString(strings.TrimRight("| "+l, " ") + "\n")
	}
	return b.String()
}

func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/corpus/*.eml")
	if err != nil || len(files) < 40 {
		t.Fatal(len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".eml"), func(t *testing.T) {
			got, want := summary(parseFile(t, file)), strings.TrimSuffix(file, ".eml")+".want"
			if *update {
				if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			expected, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(expected), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

var _ = time.Now
