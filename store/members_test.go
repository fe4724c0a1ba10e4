package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/returnpost/returnpost/members"
)

func (l *ledger) importCSV(text string, on Import) Imported {
	l.t.Helper()
	_, file, err := members.ReadCSV(strings.NewReader(text))
	if err != nil {
		l.t.Fatal(err)
	}
	sum, err := l.ImportMembers(l.t.Context(), file, on)
	if err != nil {
		l.t.Fatal(err)
	}
	return sum
}

func (l *ledger) member(address string) *members.Member {
	l.t.Helper()
	m, err := l.Member(l.t.Context(), address)
	if err != nil {
		l.t.Fatal(err)
	}
	return m
}

func TestImportAndExport(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		const file = "email,name,language,time_zone,tier,topics,format,acknowledgements,cadence,preferred_hour,pause_until,status,joined,visits,vip,birthday,note\n" +
			"Li@Example.com,李雷,zh,Asia/Shanghai,gold,news;architecture,text,brief,monthly,9,2026-12-31,active,2024-05-01,12.5,true,1990-02-03,\"two\nlines\"\n" +
			"wang@example.com,,,,,,,,,,,,,,,,\n" +
			"nobody,,,,,,,,,,,,,,,,\n" +
			"li@example.com,Again,,,,,,,,,,,,,,,\n" + // the same person a second time
			"late@example.com,,,,,,,,,25,,,,,,,\n"
		var rejected []string
		var progress []Imported
		sum := l.importCSV(file, Import{
			Rejected: func(r members.Row) { rejected = append(rejected, fmt.Sprint(r.Line, " ", r.Err)) },
			Progress: func(s Imported) { progress = append(progress, s) },
		})
		want := Imported{Read: 5, Added: 2, Updated: 1, Rejected: 2}
		if sum != want || len(progress) != 1 || progress[0] != want {
			t.Errorf("%+v %v", sum, progress)
		}
		if len(rejected) != 2 || !strings.Contains(rejected[0], "nobody") || !strings.Contains(rejected[1], "preferred_hour") {
			t.Errorf("%q", rejected)
		}
		hour := 9
		wantMember := &members.Member{
			ID: 1, Email: "Li@example.com", Name: "Again", Language: "zh", TimeZone: "Asia/Shanghai", Tier: "gold", Topics: []string{"architecture", "news"},
			Format: "text", Acknowledgements: "brief", Cadence: "monthly", PreferredHour: &hour, PauseUntil: time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC),
			Status: "active", Joined: time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC),
			Fields: map[string]any{"visits": 12.5, "vip": true, "birthday": time.Date(1990, 2, 3, 0, 0, 0, 0, time.UTC), "note": "two\nlines"},
		}
		if diff := cmp.Diff(wantMember, l.member("LI@example.com")); diff != "" {
			t.Error(diff)
		}
		if m := l.member("unknown@example.com"); m != nil {
			t.Errorf("%+v", m)
		}
		if m := l.member(""); m != nil {
			t.Errorf("%+v", m)
		}
		exported := all(t, l.ExportMembers(t.Context()))
		if len(exported) != 2 || !cmp.Equal(exported[0], wantMember) || exported[1].Email != "wang@example.com" || exported[1].Fields != nil {
			t.Errorf("%+v", exported)
		}
		if n, err := l.MemberCount(t.Context()); err != nil || n != 2 {
			t.Error(n, err)
		}
		h, err := l.Histories(t.Context(), []Query{{Mailbox: l.box("support").Name, From: "li@EXAMPLE.com"}, {Mailbox: "support", From: "x@x"}})
		if err != nil || h[0].MemberID != 1 || h[0].Member.Tier != "gold" || h[1].Member != nil {
			t.Errorf("%+v %v", h, err)
		}
	})
}

// TestImportAgainWritesNothing: also for what JSON and milliseconds could have changed on the way.
func TestImportAgainWritesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		var file strings.Builder
		file.WriteString("email,name,topics,joined,visits,last_order\n")
		for i := range 1200 {
			fmt.Fprintf(&file, "person%d@example.com,人%d,news;b%d,2025-01-02T03:04:05+08:00,%d.25,2026-03-0%d\n", i, i, i%3, i, i%9+1)
		}
		if sum := l.importCSV(file.String(), Import{}); sum != (Imported{Read: 1200, Added: 1200}) {
			t.Errorf("%+v", sum)
		}
		l.clock.turn(time.Hour)
		if sum := l.importCSV(file.String(), Import{}); sum != (Imported{Read: 1200, Unchanged: 1200}) {
			t.Errorf("%+v", sum)
		}
		if n := l.count("SELECT count(*) FROM members WHERE changed = (SELECT min(changed) FROM members)"); n != 1200 {
			t.Errorf("only %d rows were left alone", n)
		}
		if got := all(t, l.ExportMembers(t.Context())); len(got) != 1200 || !slices.IsSortedFunc(got, func(a, b *members.Member) int { return int(a.ID - b.ID) }) {
			t.Error(len(got))
		}
	})
}

func TestImportRespectsTheMember(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		added, err := l.SetMember(t.Context(), "li@example.com", []string{"language", "topics"}, func(m *members.Member) error {
			return errors.Join(m.Set("status", "active"), m.Set("language", "en"), m.Set("topics", "news"), m.Set("name", "Li"))
		})
		if err != nil || !added {
			t.Fatal(added, err)
		}
		added, err = l.SetMember(t.Context(), "gone@example.com", nil, func(m *members.Member) error { return m.Set("status", "unsubscribed") })
		if err != nil || !added {
			t.Fatal(added, err)
		}
		sum := l.importCSV("email,language,topics,name,status\nli@example.com,zh,news;b,Li Lei,active\ngone@example.com,,news,,active\n", Import{})
		if sum != (Imported{Read: 2, Updated: 1, Unchanged: 1}) {
			t.Errorf("%+v", sum)
		}
		if m := l.member("li@example.com"); m.Language != "en" || m.Name != "Li Lei" || !cmp.Equal(m.Topics, []string{"news"}) {
			t.Errorf("%+v", m)
		}
		if m := l.member("gone@example.com"); m.Status != "unsubscribed" || m.Topics != nil {
			t.Errorf("%+v", m)
		}
		// A change that is refused leaves everything as it was.
		_, err = l.SetMember(t.Context(), "li@example.com", nil, func(m *members.Member) error {
			return errors.Join(m.Set("name", "Other"), m.Set("time_zone", "Mars/Olympus"))
		})
		var refusal *Refusal
		if !errors.As(err, &refusal) || l.member("li@example.com").Name != "Li Lei" {
			t.Error(err)
		}
		if _, err = l.SetMember(t.Context(), "li@example.com", nil, func(m *members.Member) error { return m.Set("email", "wang@example.com") }); !errors.As(err, &refusal) {
			t.Error(err)
		}
	})
}

func TestSuppressions(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		suppress := func(address, scope, reason string) {
			t.Helper()
			if err := l.Suppress(t.Context(), address, scope, reason); err != nil {
				t.Fatal(err)
			}
		}
		suppress("a@x", ScopeUnsubscribed, "a link")
		suppress("b@x", ScopeComplainedAck, "a report")
		suppress("c@x", ScopeDead, "550")
		suppress("c@x", ScopeComplainedAck, "")
		first := l.clock.now()
		l.clock.turn(time.Hour)
		suppress("C@X", ScopeDead, "551")
		h, err := l.Histories(t.Context(), []Query{{Mailbox: "support", From: "A@x"}, {Mailbox: "support", From: "b@x"}, {Mailbox: "support", From: "c@x"}})
		if err != nil || h[0].Suppressed != "" || h[1].Suppressed != "complained-ack" || h[2].Suppressed != "dead" {
			t.Errorf("%+v %v", h, err)
		}
		got, err := l.Suppression(t.Context(), "c@X")
		want := []Suppression{{ScopeComplainedAck, "complained-ack", first}, {ScopeDead, "551", first}}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Error(diff, err)
		}
		var refusal *Refusal
		if err := l.Suppress(t.Context(), "a@x", "whatever", ""); !errors.As(err, &refusal) {
			t.Error(err)
		}
	})
}
