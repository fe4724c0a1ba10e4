package responder

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/returnpost/returnpost/members"
	"github.com/returnpost/returnpost/message"
	"github.com/returnpost/returnpost/promise"
	"github.com/returnpost/returnpost/templates"
)

var update = flag.Bool("update", false, "rewrite the .want files from what comes out")

// shop is the policy that the corpus is judged by.
func shop(t testing.TB) *Policy {
	t.Helper()
	letters, err := templates.Open("")
	if err != nil {
		t.Fatal(err)
	}
	zone, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	day, err := promise.ParseIntervals("09:00-12:00 13:30-18:00")
	if err != nil {
		t.Fatal(err)
	}
	s := &promise.Schedule{Zone: zone, Calendars: []*promise.Calendar{promise.China()}}
	for _, d := range []time.Weekday{1, 2, 3, 4, 5} {
		s.Week[d] = day
	}
	return &Policy{
		Mailbox: "support", Address: "support@harbourbooks.example", Name: "Harbour Books Support",
		Aliases:  []string{"help@harbourbooks.example", "*@old.example"},
		Siblings: []string{"sales@harbourbooks.example"},
		Forms:    []string{"no-reply@forms.harbourbooks.example"}, AuthservID: "mx.harbourbooks.example",
		Business:  templates.Business{Name: "Harbour Books"},
		Languages: []string{"en", "zh"}, Letters: letters, Schedule: s,
		RespondWithin: 8 * time.Hour, BacklogAge: 24 * time.Hour,
		PerSender: Limit{3, 24 * time.Hour}, PerDomain: Limit{30, time.Hour}, Total: Limit{600, time.Hour},
		Marker: NewMarker([]byte("a secret for the tests")),
	}
}

// writerOf reads what a corpus message's .history file says of its writer.
func writerOf(t *testing.T, file string) History {
	t.Helper()
	b, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return History{}
	}
	if err != nil {
		t.Fatal(err)
	}
	var h History
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "follow-up":
			h.FollowUp = value
		case "answered":
			h.Answered = true
		case "suppressed":
			h.Suppressed = value
		case "stale":
			h.Stale = value
		case "blown":
			h.Blown = Reason(value)
		case "muted":
			h.Muted = value
		case "acknowledgements":
			h.Member = &members.Member{Email: "li.wei@customer.example", Acknowledgements: value, Status: "active"}
		case "status":
			h.Member = &members.Member{Email: "li.wei@customer.example", Status: value}
		default:
			t.Fatalf("%s: unknown key %q", file, key)
		}
	}
	return h
}

func TestDecideCorpus(t *testing.T) {
	p := shop(t)
	files, err := filepath.Glob("testdata/corpus/*.eml")
	if err != nil || len(files) == 0 {
		t.Fatal("the corpus is missing", err)
	}
	seen := map[Reason]int{}
	for _, file := range files {
		base := strings.TrimSuffix(file, ".eml")
		t.Run(filepath.Base(base), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			h := writerOf(t, base+".history")
			m := message.Parse(raw)
			d := Decide(m, h, p)
			seen[d.Reason]++
			got := fmt.Sprintf("acknowledge: %v\nreason: %s\nrule: %s\nevidence: %s\nkind: %s\nauthor: %s\nwaits: %v\n",
				d.Acknowledge, d.Reason, d.Rule, d.Evidence, d.Kind, d.Author.Addr, d.Waits)
			if *update {
				if err := os.WriteFile(base+".want", []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(base + ".want")
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
			// The file's name says which rule it is for, and "near" that it must pass it by.
			name := filepath.Base(base)[3:]
			near := strings.Contains(name, "-near-")
			for i := range rules {
				if r := rules[i].reason; strings.HasPrefix(name, string(r)) && near == (d.Reason == r) {
					t.Errorf("decided %s", d.Reason)
				}
			}
			// The trace must tell the same story as the decision.
			steps := Trace(m, h, p)
			if last := steps[len(steps)-1]; last.Reason != d.Reason || !last.Hit {
				t.Errorf("the trace ends in %+v, the decision is %s", last, d.Reason)
			}
		})
	}
	for i := range rules {
		if seen[rules[i].reason] == 0 {
			t.Errorf("no message of the corpus is silenced by %s", rules[i].reason)
		}
	}
}
