package members

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var testFields = Fields{"birthday": "date", "visits": "number", "vip": "boolean", "city": "string", "生日": "date"}

func testExtra() map[string]any {
	return map[string]any{"message": map[string]any{"subject": "", "text": "", "language": "", "to": "", "from": ""}}
}

var testNow = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func testMember() *Member {
	return &Member{
		Email: "li@example.com", Name: "Li", Language: "zh", TimeZone: "Asia/Shanghai", Tier: "gold", Topics: []string{"architecture", "news"},
		Format: "html", Acknowledgements: "brief", Status: "active", Joined: testNow.Add(-100 * 24 * time.Hour),
		Fields: map[string]any{
			"orders": 3.0, "spent": 1200.5, "last_order": testNow.Add(-10 * 24 * time.Hour), "visits": "12", "vip": "yes", "city": 515000.0,
			"birthday": time.Date(1990, 5, 6, 0, 0, 0, 0, time.UTC),
		},
	}
}

func TestMatch(t *testing.T) {
	message := map[string]any{"subject": "Refund please", "text": "发票", "language": "zh", "to": "support@x.example"}
	for _, c := range []struct {
		source         string
		member, nobody bool // with testMember and its message, with nil and nothing
	}{
		{`member.tier == "gold"`, true, false},
		{`member["tier"] == "gold"`, true, false},
		{`member.tier in ["gold", "silver"]`, true, false},
		{`member.tier == ""`, false, true},
		{`member.email endsWith "@example.com"`, true, false},
		{`member.language == "zh" and member.time_zone == 'Asia/Shanghai' and member.name == "Li"`, true, false},
		{`"news" in member.topics`, true, false},
		{`follows("news") and not follows("sale")`, true, false},
		{`len(member.topics) == 0`, false, true},
		{`count(member.topics, # startsWith "n") == 1`, true, false},
		{`member.format == "html" and member.acknowledgements == "brief" and member.status == "active"`, true, false},
		{`member.orders == 3 and member.spent > 1000`, true, false},
		{`member.orders == 0`, false, true},
		{`member.orders % 2 == 1`, true, false},
		{`member.days_since_joined == 100`, true, false},
		{`member.days_since_order > 9 && member.days_since_order < 11`, true, false},
		// Who never ordered has neither ordered lately nor long ago.
		{`member.days_since_order >= 0 or member.days_since_order < 0`, true, false},
		{`member.joined > date("2026-01-01")`, true, false},
		{`member.joined.Year() == 2026`, true, false},
		{`member.birthday < date("2000/1/1")`, true, true},
		{`member.birthday.IsZero()`, false, true},
		{`member.visits >= 12`, true, false},
		{`member.vip`, true, false},
		{`member.city == "515000"`, true, false},
		{`member.生日.IsZero()`, true, true},
		{`message.subject contains "Refund"`, true, false},
		{`lower(message.subject) matches "^refund\\b" and message.text contains "发票"`, true, false},
		{`message.from == ""`, true, true},
		{`message.language == member.language`, true, true},
		{"member.tier == \"gold\" // our best\n  or member.spent > 5000", true, false},
		{`member.spent > 1e3 ? follows("news") : false`, true, false},
		{`true`, true, true},
	} {
		condition, err := Compile(c.source, testFields, testExtra())
		if err != nil {
			t.Errorf("%s: %v", c.source, err)
			continue
		}
		got, err := condition.Match(testMember(), map[string]any{"message": message, "now": testNow})
		if err != nil || got != c.member {
			t.Errorf("%s: member: %v, %v", c.source, got, err)
		}
		for _, extra := range []map[string]any{nil, {"message": nil}, {"message": "no map"}, {"message": map[string]any{"subject": 7}}} {
			got, err = condition.Match(nil, extra)
			if err != nil || got != c.nobody {
				t.Errorf("%s: nobody, %v: %v, %v", c.source, extra, got, err)
			}
		}
		if condition.String() != c.source {
			t.Errorf("String() = %q", condition.String())
		}
	}
}

func TestNowOnlyWhereItIsDeclared(t *testing.T) {
	source := `now() - member.joined > duration("720h")`
	if _, err := Compile(source, nil, nil); err == nil || !strings.Contains(err.Error(), "now() is not available here") {
		t.Errorf("without now: %v", err)
	}
	condition, err := Compile(source, nil, map[string]any{"now": time.Time{}})
	if err != nil {
		t.Fatal(err)
	}
	for days, want := range map[int]bool{0: true, -80: false} {
		got, err := condition.Match(testMember(), map[string]any{"now": testNow.AddDate(0, 0, days)})
		if err != nil || got != want {
			t.Errorf("%d days: %v, %v", days, got, err)
		}
	}
}

func TestCompileSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ source, want string }{
		{``, `line 1, column 1: the condition is empty`},
		{`member.teir == "gold"`, `line 1, column 8, near "teir == \"gold\"": a member has no "teir"; did you mean "tier"?`},
		{"follows(\"news\")\n  and member.vistis > 3", `line 2, column 14, near "vistis > 3": a member has no "vistis"; did you mean "visits"?`},
		{`member.shoe == "x"`, `a further column of your lists has to be declared under fields, like shoe: string`},
		{`member.tier = "gold"`, `column 13, near "= \"gold\"": a single = says nothing; write == to compare`},
		{`member.tier == gold`, `column 16, near "gold": gold is not known here; a text stands in quotes: "gold"`},
		{`tier == "gold"`, `tier is not known here; did you mean member.tier?`},
		{`member.tier == “gold”`, `“ is a curly quote; write a straight one: "`},
		{`member.tier ＝＝ "gold"`, `＝ is a wide character`},
		{`member.orders == "3"`, `== cannot be used between a number and a text`},
		{`member.spent % 2 == 0`, `% needs whole numbers`},
		{`member.orders in ["3"]`, `a number is looked for among texts`},
		{`member.orders > 3 and`, `line 1, column 22: the condition stops in the middle`},
		{`member.tier == "gold`, `a quote is opened and never closed`},
		{`(member.tier == "gold"`, `the condition stops in the middle`},
		{`member.tier == "gold")`, `column 22, near ")": ")" is not expected here`},
		{`member.tier`, `a condition must be true or false, but this is a text`},
		{`member.spent + 1`, `but this is a number`},
		{`member.name.x == 1`, `a text has no part x`},
		{`not member.tier`, `not cannot be used with a text`},
		{`message.subjet contains "x"`, `message has no "subjet"; it has from, language, subject, text or to; did you mean "subject"?`},
		{`message`, `message alone says nothing`},
		{`member == member`, `member alone says nothing`},
		{`member[message.subject] == "x"`, `name the part of member you mean`},
		{`$env == 1`, `$env is not available`},
		{`$env["member"].tier == "x"`, `$env is not available`},
		{`folows("news")`, `folows is not known here; did you mean follows?`},
		{`follows(member.tier)`, `follows needs a topic in quotes`},
		{`member.status == "actve"`, `member.status is never "actve": it is one of pending, active, unsubscribed, bounced or complained; did you mean "active"?`},
		{`"plain" != member.format`, `member.format is never "plain"`},
		{`member.acknowledgements in ["full", "short"]`, `member.acknowledgements is never "short"`},
		{`member.joined > date("2026-13-01")`, `the date 2026-13-01 cannot be read`},
		{`member.joined > date(member.name)`, `date needs one date in quotes`},
		{`duration("2 days") > duration("1h")`, `the duration 2 days cannot be read`},
		{`member.joined.Format("x") == "2"`, `a date has no Format`},
		{`message.text matches member.name`, `matches needs a pattern in quotes`},
		{`message.text matches "("`, `the pattern cannot be read: missing closing )`},
		{`member.topics[0] == "news"`, `the places of a list have no meaning`},
		{`member.tier == nil`, `nil is not available`},
		{`any(member.topics, any(member.topics, # == "x"))`, `any may not stand inside another any`},
		{`let x = 1; x == 1`, `let is not available`},
		{`1 in 1..1000000000`, `a range is not available`},
		{`member.name + "x" == "y"`, `texts cannot be joined`},
		{`repeat("a", 1000000000) == "a"`, `repeat is not available in a condition; there are all, any`},
		{`env("HOME") == ""`, `env is not known here`},
		{`member.tier == "gold"; true`, `one expression`},
		{"member.tier == \"\xff\"", `not valid UTF-8`},
		{strings.Repeat(`true or `, 1500) + `true`, `more than 2000 parts`},
		{strings.Repeat(`true or `, 2100) + `true`, `longer than 16 KiB`},
		{strings.Repeat(`(`, 8000), `stops in the middle`},
	} {
		_, err := Compile(c.source, testFields, testExtra())
		var mistake *ConditionError
		if !errors.As(err, &mistake) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.80s\n got %v\nwant %s", c.source, err, c.want)
		}
	}
}

func TestFollowedNamesTheTopics(t *testing.T) {
	condition, err := Compile("follows(\"news\") or\n not follows('sale')", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Mention{{"news", 1, 9}, {"sale", 2, 14}}, condition.Followed()); diff != "" {
		t.Error(diff)
	}
}

func TestAConditionIsSharedByManyGoroutines(t *testing.T) {
	condition, err := Compile(`member.tier == "gold" and follows("news") and message.subject == "x"`, testFields, testExtra())
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			m := &Member{Tier: []string{"gold", "silver"}[i%2], Topics: []string{"news"}}
			for range 500 {
				got, err := condition.Match(m, map[string]any{"message": map[string]any{"subject": "x"}})
				if err != nil || got != (i%2 == 0) {
					t.Errorf("goroutine %d: %v, %v", i, got, err)
					return
				}
			}
		})
	}
	all.Wait()
}

func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		`member.tier == "gold"`, `follows("a") or member.orders > 3`, `any(member.topics, # == "x")`, `message.text matches "a+"`, `member.joined > date("2026-01-01")`,
		`{"a": [1]}.a[0] == 1`, `member?.name ?? "x" == b"y"`, "`raw` == 'x' /* c */", `1 / 0 > 2 ? !true : -1.5e3 ** 2 < 4`, `int("x") == 1`, `min(member.orders, 2) in [1]`, "“",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		condition, err := Compile(source, testFields, testExtra())
		if err != nil {
			var mistake *ConditionError
			if !errors.As(err, &mistake) || mistake.Line < 1 || mistake.Column < 1 || mistake.Message == "" {
				t.Fatalf("%q: %#v", source, err)
			}
			return
		}
		for _, m := range []*Member{nil, testMember()} {
			if _, err := condition.Match(m, nil); err != nil && fmt.Sprint(err) == "" {
				t.Fatal("an error without words")
			}
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	for _, source := range []string{`member.tier == "gold"`, `member.spent > 1000 and member.orders >= 3 and follows("news") and message.subject contains "Refund"`} {
		condition, err := Compile(source, testFields, testExtra())
		if err != nil {
			b.Fatal(err)
		}
		m, extra := testMember(), map[string]any{"message": map[string]any{"subject": "Refund please", "text": "", "language": "", "to": "", "from": ""}, "now": testNow}
		b.Run(fmt.Sprint(len(source)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := condition.Match(m, extra); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
