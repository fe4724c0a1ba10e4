package members

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNormalAddress(t *testing.T) {
	long := strings.Repeat("a", 64)
	good := map[string]string{
		"li@example.com":                 "li@example.com",
		" Li.Wei+shop@EXAMPLE.Com\u00a0": "Li.Wei+shop@example.com",
		"\ufeffli@example.com\u200b":     "li@example.com",
		"o'brien@example.ie":             "o'brien@example.ie",
		"李伟@例子.中国":                       "李伟@例子.中国",
		"li@BÜCHER.example":              "li@bücher.example",
		`"li wei"@example.com`:           `"li wei"@example.com`,
		`"li\"@\\"@example.com`:          `"li\"@\\"@example.com`,
		"root@localhost":                 "root@localhost",
		long + "@example.com":            long + "@example.com",
		"=1+1@example.com":               "=1+1@example.com",
		"li@xn--fiqs8s.example":          "li@xn--fiqs8s.example",
	}
	for in, want := range good {
		got, err := NormalAddress(in)
		if err != nil || got != want {
			t.Errorf("NormalAddress(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	bad := map[string]string{
		"":                             "empty",
		"li":                           "no @",
		"li@":                          "nothing stands after",
		"@example.com":                 "nothing stands before",
		"Li <li@example.com>":          "bare address",
		"li＠example.com":               "wide ＠",
		"li@gmail":                     "no dot",
		"li@example。com":               "wide dot",
		"li@example.com.":              "dot at its edge",
		"li@.example.com":              "dot at its edge",
		"li..wei@example.com":          "two in a row",
		".li@example.com":              "dot stands at the edge",
		"li wei@example.com":           "' '",
		"li@exa mple.com":              "' '",
		"li@-example.com":              "hyphen",
		"li@[127.0.0.1]":               "brackets",
		"li@127.0.0.1":                 "number",
		"a@b@example.com":              "'@'",
		"li\r\nBcc: x@example.com":     `'\r'`,
		"li@example.com\x00":           `'\x00'`,
		"li\xff@example.com":           "UTF-8",
		`"li@example.com`:              "not closed",
		`"l"i"@example.com`:            "inside the quotes",
		long + "a@example.com":         "longer than 64",
		"li@" + long + ".example.com":  "longer than 63",
		"li@exam_ple.com":              "'_'",
		"li@example.com, wei@example.": "'@'",
	}
	for in, want := range bad {
		got, err := NormalAddress(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("NormalAddress(%q) = %q, %v; want an error with %q", in, got, err, want)
		}
	}
}

func TestSetSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ column, value, want string }{
		{"email", "li", `email: "li" is not an address: it has no @`},
		{"time_zone", "Asia/Beijing", `time_zone: "Asia/Beijing" is not a time zone of the IANA list, such as Asia/Shanghai; did you mean "Asia/Shanghai"?`},
		{"time_zone", "Europe/Berln", `did you mean "Europe/Berlin"?`},
		{"time_zone", "asia/shanghai", `did you mean "Asia/Shanghai"?`},
		{"time_zone", "../../etc/passwd", "not a time zone"},
		{"time_zone", "Local", "not a time zone"},
		{"language", "Chinese", `did you mean "zh"?`},
		{"language", "x y", "not a language code"},
		{"format", "plain", `format: "plain" is not known: it is one of html or text`},
		{"acknowledgements", "breif", `did you mean "brief"?`},
		{"status", "activ", `did you mean "active"?`},
		{"status", "", "may not be empty"},
		{"preferred_hour", "24", "0 to 23"},
		{"preferred_hour", "9:30", "0 to 23"},
		{"pause_until", "31.12.2026", "write it like 2026-12-31"},
		{"joined", "2026-02-30", "not a date"},
		{"topics", "news,architecture", "semicolons"},
		{"name", strings.Repeat("x", 201), "longer than 200"},
		{"orders", "many", `orders: "many" is not a number`},
		{"last_order", "yesterday", "is not a date"},
		{"notes", strings.Repeat("x", 5000), "longer than 4096 bytes"},
		{"notes", "\xff", "not valid UTF-8"},
	} {
		var m Member
		err := m.Set(c.column, c.value)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Set(%q, %q): %v; want %q", c.column, c.value, err, c.want)
		}
	}
}

func TestSetTakes(t *testing.T) {
	var m Member
	for _, c := range [][2]string{
		{"Email", "Li@Example.com"}, {"name", " Li \r\n Wei\x07"}, {"language", "zh_cn"}, {"Time Zone", "Asia/Shanghai"}, {"tier", "gold"},
		{"topics", " news; architecture;news;"}, {"format", "HTML"}, {"acknowledgements", "brief"}, {"cadence", "weekly"},
		{"preferred_hour", "09:00"}, {"pause_until", "2026-12-31"}, {"status", "Active"}, {"joined", "2026-01-02T03:04:05+08:00"},
		{"visits", "12"}, {"phone", "+8675488886666"}, {"postcode", "012345"}, {"vip", "TRUE"}, {"birthday", "1990-05-06"},
		{"order_no", "123456789012345678"}, {"Shoe Size (EU)", "41.5"}, {"notes", "first\r\nsecond\x00"}, {"slashed", "2026/1/9"}, {"minus", "-3"},
		{"gone", "x"}, {"gone", ""}, {"exponent", "1e5"}, {"生日", "1990-05-06"},
	} {
		if err := m.Set(c[0], c[1]); err != nil {
			t.Errorf("Set(%q, %q): %v", c[0], c[1], err)
		}
	}
	nine := 9
	day := func(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC) }
	want := Member{
		Email: "Li@example.com", Name: "Li Wei", Language: "zh-CN", TimeZone: "Asia/Shanghai", Tier: "gold", Topics: []string{"architecture", "news"},
		Format: "html", Acknowledgements: "brief", Cadence: "weekly", PreferredHour: &nine, PauseUntil: day(2026, 12, 31), Status: "active",
		Joined: time.Date(2026, 1, 1, 19, 4, 5, 0, time.UTC),
		Fields: map[string]any{
			"visits": 12.0, "phone": "+8675488886666", "postcode": "012345", "vip": true, "birthday": day(1990, 5, 6), "order_no": "123456789012345678",
			"shoe_size_eu": 41.5, "notes": "first\nsecond", "slashed": day(2026, 1, 9), "minus": -3.0, "exponent": "1e5", "生日": day(1990, 5, 6),
		},
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Error(diff)
	}
	if m.Zone().String() != "Asia/Shanghai" || (&Member{}).Zone() != nil || (*Member)(nil).Zone() != nil {
		t.Error("Zone is not the member's, or not nil where it is unknown")
	}
	if !m.Follows("news") || m.Follows("other") || (*Member)(nil).Follows("news") {
		t.Error("Follows does not follow Topics")
	}
}

func TestApplyReportsEveryMistakeAndPassesOverEmptyCells(t *testing.T) {
	m := Member{Name: "Li"}
	err := m.Apply(map[string]string{"name": " ", "format": "pdf", "status": "x", "tier": "gold"})
	want := `format: "pdf" is not known: it is one of html or text; status: "x" is not known: it is one of pending, active, unsubscribed, bounced or complained`
	if err == nil || err.Error() != want {
		t.Errorf("Apply: %v\nwant %s", err, want)
	}
	if m.Name != "Li" || m.Tier != "gold" {
		t.Errorf("name %q, tier %q", m.Name, m.Tier)
	}
}

func TestAMemberHoldsAtMostTwoHundredFields(t *testing.T) {
	var m Member
	for i := range maxFields {
		if err := m.Set(fmt.Sprint("field", i), "x"); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Set("one_more", "x"); err == nil {
		t.Error("one field too many was taken")
	}
	if err := m.Set("field7", "y"); err != nil {
		t.Errorf("a field that is there could not be changed: %v", err)
	}
}

func TestMerge(t *testing.T) {
	held := func() *Member {
		return &Member{ID: 7, Email: "Li@example.com", Name: "Li", Language: "zh", Status: "active", Topics: []string{"news"},
			Joined: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), Fields: map[string]any{"visits": 3.0}}
	}
	for _, c := range []struct {
		name    string
		held    *Member
		own     map[string]bool
		row     map[string]string
		changed []string
		check   func(m Member) bool
	}{
		{"a new member is active", nil, nil, map[string]string{"email": "wei@example.com", "name": "Wei"}, []string{"email", "name", "status"},
			func(m Member) bool { return m.Status == "active" && m.Name == "Wei" }},
		{"a new member may be pending", nil, nil, map[string]string{"email": "wei@example.com", "status": "pending"}, []string{"email", "status"},
			func(m Member) bool { return m.Status == "pending" }},
		{"the same row again changes nothing", held(), nil,
			map[string]string{"email": "li@EXAMPLE.com", "name": "Li", "language": "zh", "topics": "news", "joined": "2026-01-02", "visits": "3", "tier": ""}, nil,
			func(m Member) bool { return m.Email == "Li@example.com" && m.ID == 7 }},
		{"a row updates", held(), nil, map[string]string{"email": "Li@example.com", "name": "Li Wei", "visits": "4", "vip": "true"}, []string{"name", "vip", "visits"},
			func(m Member) bool { return m.Fields["visits"] == 4.0 && m.Fields["vip"] == true }},
		{"a member's own choice wins", held(), map[string]bool{"language": true, "topics": true},
			map[string]string{"language": "en", "topics": "news;sale", "tier": "gold"}, []string{"tier"},
			func(m Member) bool { return m.Language == "zh" && len(m.Topics) == 1 }},
		{"who unsubscribed stays away", &Member{Email: "li@example.com", Status: "unsubscribed"}, nil,
			map[string]string{"status": "active", "topics": "news", "tier": "gold"}, []string{"tier"},
			func(m Member) bool { return m.Status == "unsubscribed" && m.Topics == nil }},
		{"who complained is not merely unsubscribed", &Member{Email: "li@example.com", Status: "complained"}, nil,
			map[string]string{"status": "unsubscribed"}, nil, func(m Member) bool { return m.Status == "complained" }},
		{"a dead address does not come back", &Member{Email: "li@example.com", Status: "bounced"}, nil,
			map[string]string{"status": "pending"}, nil, func(m Member) bool { return m.Status == "bounced" }},
		{"a file may unsubscribe", held(), nil, map[string]string{"status": "unsubscribed"}, []string{"status"},
			func(m Member) bool { return m.Status == "unsubscribed" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before Member
			if c.held != nil {
				before = c.held.clone()
			}
			got, changed, err := Merge(c.held, c.own, c.row)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.changed, changed); diff != "" {
				t.Error("changed: ", diff)
			}
			if !c.check(got) {
				t.Errorf("updated: %+v", got)
			}
			if c.held != nil && !cmp.Equal(before, *c.held) {
				t.Error("the held member was written to")
			}
		})
	}
	if _, _, err := Merge(nil, nil, map[string]string{"email": "li", "format": "x"}); err == nil {
		t.Error("a row without a usable address was taken")
	}
	if _, _, err := Merge(held(), nil, map[string]string{"email": "other@example.com"}); err == nil {
		t.Error("a row for somebody else was taken")
	}
	if got, changed, err := Merge(held(), nil, map[string]string{"name": "X", "format": "x"}); err == nil || changed != nil || got.Name != "" {
		t.Error("a row with a mistake changed something")
	}
}

func TestNearest(t *testing.T) {
	among := []string{"respond_within", "responder", "mailboxes", "hours", "closed"}
	for word, want := range map[string]string{
		"respond_witin": "respond_within", "mailbox": "mailboxes", "horus": "hours", "Closed": "closed", "xyz": "", "": "", "h": "", "responders": "responder",
	} {
		if got := Nearest(word, among); got != want {
			t.Errorf("Nearest(%q) = %q; want %q", word, got, want)
		}
	}
}
