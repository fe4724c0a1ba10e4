package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/returnpost/returnpost/mailbox"
	"github.com/returnpost/returnpost/members"
	"github.com/returnpost/returnpost/outbox"
	"github.com/returnpost/returnpost/promise"
	"github.com/returnpost/returnpost/responder"
)

func TestDefaults(t *testing.T) {
	cfg := parse(t, minimal)
	m := cfg.Mailboxes[0]
	nine := []promise.Interval{{From: 540, To: 1080}}
	for what, pair := range map[string][2]any{
		"imap":      {m.IMAP, mailbox.Config{Host: "imap.example.com", Port: 993, Security: "tls", Folder: "INBOX", Sent: "auto", Poll: time.Minute}},
		"smtp":      {m.SMTP, outbox.Config{Host: "smtp.example.com", Port: 587, Security: "starttls", Connections: 4, Domain: "harbourbooks.example"}},
		"week":      {m.Schedule.Week, promise.Week{nil, nine, nine, nine, nine, nine, nil}},
		"zone":      {m.Schedule.Zone.String(), "UTC"},
		"languages": {cfg.Business.Languages, []string{"en"}},
		"responder": {m.Responder, Responder{Mode: "reply", RespondWithin: 8 * time.Hour, BacklogAge: day, Limits: Limits{Limit{3, day}, Limit{30, time.Hour}, Limit{600, time.Hour}}}},
		"database":  {cfg.Database, "/etc/returnpost/returnpost.db"},
		"listen":    {cfg.Web.Listen, "127.0.0.1:8025"},
		"names":     {cfg.MailboxNames(), []string{"support"}},
		"words":     {[]string{m.Addressed, m.Envelope, m.Letters}, []string{"named", "auto", "/etc/returnpost/letters"}},
		"retention": {cfg.Retention, Retention{365 * day, 730 * day}},
	} {
		if diff := cmp.Diff(pair[1], pair[0]); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
}

func TestAMailboxInheritsWhatItDoesNotSay(t *testing.T) {
	cfg := parse(t, `
mailboxes:
  zebra:
    address: zebra@harbourbooks.example
    imap: {host: imap.example.com, security: starttls}
  apple:
    address: apple@apple.example
    imap: {host: imap.example.com}
    smtp: {host: smtp.apple.example, security: tls, username: apple}
    hours: {sat: "24h"}
    closed: [2026-10-01]
    letters: letters-apple
    responder: {respond_within: 2h, limits: {total: 5/1h}, rules: []}
  empty:
    address: empty@harbourbooks.example
    imap: {host: imap.example.com}
    hours: {}
    calendars: []
business: {name: Harbour Books, time_zone: Asia/Shanghai}
smtp: {host: smtp.example.com, port: 2587, username: shop@harbourbooks.example, password: x, rate: 2.5}
hours: {mon-fri: 09:00-12:00 13:30-18:00}
calendars: [china]
closed: [2026-12-31]
letters: ours
responder: {mode: observe, hold: 5m, rules: [{name: gold, when: member.tier == "gold", respond_within: 2h}]}
`)
	if got := strings.Join(cfg.MailboxNames(), " "); got != "zebra apple empty" {
		t.Errorf("names %q are not in the file's order", got)
	}
	zebra, apple, empty := cfg.Mailboxes[0], cfg.Mailboxes[1], cfg.Mailboxes[2]
	for what, pair := range map[string][2]any{
		"inherited smtp":              {zebra.SMTP, cfg.Mailboxes[2].SMTP},
		"starttls port":               {zebra.IMAP.Port, 143},
		"inherited port":              {zebra.SMTP.Port, 2587},
		"port of its own security":    {apple.SMTP.Port, 465},
		"inherited password":          {apple.SMTP.Password, "x"},
		"own server, own greeting":    {apple.SMTP.Domain, "apple.example"},
		"inherited rate":              {apple.SMTP.Rate, 2.5},
		"hours are replaced":          {apple.Schedule.Week, promise.Week{time.Saturday: {{From: 0, To: 1440}}}},
		"calendars are inherited":     {len(apple.Schedule.Calendars), 1},
		"closed is replaced":          {apple.Schedule.Closed, []promise.Date{{Year: 2026, Month: 10, Day: 1}}},
		"closed is inherited":         {zebra.Schedule.Closed, []promise.Date{{Year: 2026, Month: 12, Day: 31}}},
		"zone":                        {apple.Schedule.Zone.String(), "Asia/Shanghai"},
		"letters":                     {apple.Letters, "/etc/returnpost/letters-apple"},
		"inherited letters":           {zebra.Letters, "/etc/returnpost/ours"},
		"mode":                        {apple.Responder.Mode, "observe"},
		"respond_within":              {apple.Responder.RespondWithin, 2 * time.Hour},
		"one limit, the others stand": {apple.Responder.Limits, Limits{Limit{3, day}, Limit{30, time.Hour}, Limit{5, time.Hour}}},
		"rules are replaced":          {len(apple.Responder.Rules), 0},
		"rules are inherited":         {zebra.Responder.Rules[0].When.String(), `member.tier == "gold"`},
		"no hours are known":          {empty.Schedule.Week, promise.Week{}},
		"no calendars":                {len(empty.Schedule.Calendars), 0},
	} {
		if diff := cmp.Diff(pair[1], pair[0]); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	if p := empty.Schedule.Promise(time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC), 8*time.Hour); !p.By.IsZero() {
		t.Errorf("a mailbox without hours promises %v", p.By)
	}
	gold, err := zebra.Responder.Rules[0].When.Match(&members.Member{Tier: "gold"}, nil)
	if err != nil || !gold {
		t.Errorf("the rule: %v, %v", gold, err)
	}
}

// TestInterface reads the file of the interface's description as it stands there.
func TestInterface(t *testing.T) {
	data, err := os.ReadFile("testdata/interface.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := Parse("config.yaml", data, lookup)
	if err != nil {
		t.Fatal(err)
	}
	monthly := cfg.Newsletters[0]
	next := monthly.Schedule.Schedule.Next(time.Date(2026, 11, 23, 0, 0, 0, 0, cfg.Zone()))
	for what, pair := range map[string][2]any{
		"topic title": {cfg.Topics[0].Title["zh"], "店铺动态"},
		"default":     {cfg.Topics[0].Default, true},
		"second step": {cfg.Series[0].Steps[1].After, 3 * day},
		"condition":   {cfg.Series[0].Steps[1].When.String(), "member.orders == 0"},
		"audience":    {monthly.Audience.String(), `member.status == "active"`},
		"schedule":    {next.Format("2006-01-02 15:04"), "2026-12-01 10:00"},
		"quiet hours": {cfg.Sending.QuietHours, ClockRange{1260, 480}},
		"cap":         {cfg.Sending.Cap, Limit{3, 7 * day}},
		"stop above":  {cfg.Sending.StopAbove, StopAbove{0.05, 0.003}},
		"rule":        {cfg.Responder.Rules[0].Alert, "owner@harbourbooks.example"},
		"saturday":    {cfg.Mailboxes[0].Schedule.Week[time.Saturday], []promise.Interval{{From: 600, To: 840}}},
	} {
		if diff := cmp.Diff(pair[1], pair[0]); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
}

// TestExample: the example is good, and has every key there is.
func TestExample(t *testing.T) {
	data, err := os.ReadFile("../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d := newDecoder("../config.example.yaml", lookup)
	root := d.document(data)
	if root == nil {
		t.Fatal(d.errors)
	}
	d.mapping(root, "", reflect.ValueOf(d.config).Elem(), false)
	d.check(d.config)
	if len(d.errors) > 0 {
		t.Fatal(d.errors.sorted())
	}
	given := map[string]bool{}
	for path := range d.nodes {
		given[general(path)] = true
	}
	for _, key := range Keys() {
		// What a mailbox takes from the top is shown there.
		rest, ofMailbox := strings.CutPrefix(key, "mailboxes.NAME.")
		commented := strings.HasPrefix(key, "smtp.dkim.") && strings.Contains(string(data), key[len("smtp.dkim."):]+": ")
		if !given[key] && !commented && !(ofMailbox && (given[rest] || strings.HasPrefix(rest, "smtp.dkim."))) {
			t.Errorf("config.example.yaml has no %s", key)
		}
	}
	// What it shows as a default is the default.
	want := parse(t, minimal)
	want.Sending.From, want.Sending.Domains = d.config.Sending.From, d.config.Sending.Domains
	want.Responder.Rules = d.config.Responder.Rules
	shown, standard := d.config.Mailboxes[0], want.Mailboxes[0]
	standard.IMAP.Username, standard.IMAP.Password = shown.IMAP.Username, shown.IMAP.Password
	standard.SMTP.Username, standard.SMTP.Password, standard.SMTP.DKIM, standard.SMTP.Domain = shown.SMTP.Username, shown.SMTP.Password, shown.SMTP.DKIM, ""
	for what, pair := range map[string][2]any{
		"sending": {d.config.Sending, want.Sending}, "retention": {d.config.Retention, want.Retention}, "survey": {d.config.Survey, want.Survey},
		"imap": {shown.IMAP, standard.IMAP}, "smtp": {shown.SMTP, standard.SMTP}, "week": {shown.Schedule.Week, standard.Schedule.Week},
		"words":     {[]string{shown.Addressed, shown.Envelope, shown.AuthservID}, []string{standard.Addressed, standard.Envelope, standard.AuthservID}},
		"responder": {shown.Responder.Limits, want.Responder.Limits}, "respond_within": {shown.Responder.RespondWithin, want.Responder.RespondWithin},
		"languages": {d.config.Business.Languages, want.Business.Languages}, "zone": {d.config.Zone(), want.Zone()}, "listen": {d.config.Web.Listen, want.Web.Listen},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: the example has %v, the default is %v", what, pair[0], pair[1])
		}
	}
}

// general replaces what people choose in a path by what Keys says for it.
func general(path string) string {
	parts := strings.Split(path, ".")
	for i := range parts {
		parts[i], _, _ = strings.Cut(parts[i], "[")
		if i == 1 && slices.Contains([]string{"mailboxes", "topics", "series", "newsletters", "people"}, parts[0]) || i == 2 && parts[1] == "domains" {
			parts[i] = "NAME"
		}
	}
	if len(parts) > 4 && parts[1] == "domains" { // example.com has a dot of its own
		parts = slices.Delete(parts, 3, len(parts)-1)
	}
	return strings.Join(parts, ".")
}

// TestReference: the reference names every key, in the table of its section.
func TestReference(t *testing.T) {
	data, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range Keys() {
		rest, ofMailbox := strings.CutPrefix(key, "mailboxes.NAME.")
		if !strings.Contains(string(data), "| `"+key+"`") && !(ofMailbox && strings.Contains(string(data), "| `"+rest+"`")) {
			t.Errorf("docs/configuration.md has no row for %s", key)
		}
	}
}

func TestAliasesCannotMultiplyTheFile(t *testing.T) {
	text := minimal + "series:\n  a: &s {on: member.joined, steps: [&t {letter: x}" + strings.Repeat(", *t", 2000) + "]}\n"
	for i := range 500 {
		text += "  b" + strings.Repeat("x", i%50) + string(rune('a'+i/50)) + ": *s\n"
	}
	started := time.Now()
	_, err := Parse("config.yaml", []byte(text), lookup)
	if err == nil || !strings.Contains(err.Error(), "repeats itself too often") {
		t.Errorf("%.300v", err)
	}
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	_, err = Parse("config.yaml", []byte("smtp: &a {host: *a}\nbusiness: &b\n  name: *b\n"), lookup)
	if err == nil {
		t.Error("a file that holds itself was taken")
	}
}

func TestLoadAndFind(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	t.Setenv("RETURNPOST_CONFIG", "")
	places[1] = filepath.Join(folder, "etc.yaml")
	t.Cleanup(func() { places[1] = "/etc/returnpost/config.yaml" })
	find := func(flag, want, mistake string) {
		t.Helper()
		got, err := Find(flag)
		if got != want || (err == nil) != (mistake == "") || err != nil && !strings.Contains(err.Error(), mistake) {
			t.Errorf("Find(%q) = %q, %v; want %q, %q", flag, got, err, want, mistake)
		}
	}
	write := func(name string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(minimal), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	find("", "", "there is no configuration: neither config.yaml nor ")
	find("missing.yaml", "", "the configuration missing.yaml, named by --config: there is no such file")
	write("etc.yaml")
	find("", places[1], "")
	write("config.yaml")
	find("", "config.yaml", "")
	write("flag.yaml")
	find("flag.yaml", "flag.yaml", "")
	t.Setenv("RETURNPOST_CONFIG", "flag.yaml")
	find("", "flag.yaml", "")
	t.Setenv("RETURNPOST_CONFIG", "gone.yaml")
	find("", "", "the configuration gone.yaml, named by $RETURNPOST_CONFIG: there is no such file")

	cfg, err := Load(filepath.Join(folder, "config.yaml"))
	if err != nil || cfg.Database != filepath.Join(folder, "returnpost.db") {
		t.Errorf("Load: %v, %v", cfg, err)
	}
	if _, err := Load("gone.yaml"); err == nil || err.Error() != "the configuration gone.yaml cannot be read: there is no such file" {
		t.Errorf("Load: %v", err)
	}
}

func TestErrorsAreFoundOneByOne(t *testing.T) {
	_, err := Parse("config.yaml", []byte("buisness: {}\n"), lookup)
	var one *Error
	if !errors.As(err, &one) || one.Line != 1 || one.Key == "" {
		t.Errorf("%#v", one)
	}
}

// TestPlaceInsideAValue: a mistake in a condition is pointed at in the file, however YAML wrote the value down.
func TestPlaceInsideAValue(t *testing.T) {
	for _, written := range []string{
		`member.name == "x" and BAD == 1`,
		`'member.name == "O''Brien" and BAD == 1'`,
		`"member.name == \"x\\\\y\" and\tBAD == 1"`,
		`"member.name == \"\u4e2d\x41\U0001F600文\" and BAD == 1"`,
		"|\n          member.name == \"x\"\n\n            and BAD == 1",
		">-\n          member.name == \"x\"\n          and BAD == 1\n          or true",
		"member.name == \"中文\"\n        and\n          BAD == 1",
		"\"member.name == \\\"x\\\" \\\n        and   BAD == 1\"",
	} {
		text := minimal + "responder:\n  rules:\n    - when: " + written + "\n"
		row := strings.Count(text[:strings.Index(text, "BAD")], "\n") + 1
		line := strings.Split(text, "\n")[row-1]
		column := len([]rune(line[:strings.Index(line, "BAD")])) + 1
		_, err := Parse("config.yaml", []byte(text), lookup)
		var mistake *Error
		if !errors.As(err, &mistake) || mistake.Line != row || mistake.Column != column {
			t.Errorf("%s\n: %v; want %d:%d", written, err, row, column)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, "testdata/interface.yaml") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(minimal))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := Parse("config.yaml", data, lookup, func(string) ([]byte, error) { return nil, os.ErrNotExist })
		if err == nil {
			if len(cfg.Mailboxes) == 0 || cfg.Mailboxes[0].Schedule == nil || cfg.Mailboxes[0].IMAP.Port == 0 {
				t.Fatal("a configuration without a usable mailbox was taken")
			}
			return
		}
		var mistakes Errors
		if !errors.As(err, &mistakes) || len(mistakes) == 0 {
			t.Fatalf("not Errors: %v", err)
		}
		for _, m := range mistakes {
			if m.Line < 1 || m.Column < 1 || m.Message == "" {
				t.Fatalf("%#v", m)
			}
		}
	})
}

// TestMessageNames: a rule is checked with the names that the responder will give it.
func TestMessageNames(t *testing.T) {
	if diff := cmp.Diff(responder.ConditionNames(), messageNames); diff != "" {
		t.Error(diff)
	}
}
