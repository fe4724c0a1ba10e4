package config

import (
	"fmt"
	"testing"
	"time"
)

func TestValues(t *testing.T) {
	const hour, minute = time.Hour, time.Minute
	for _, c := range []struct {
		kind, text string
		want       any // nil: a mistake
	}{
		{"duration", "3d", 72 * hour}, {"duration", "60s", minute}, {"duration", "90m", 90 * minute}, {"duration", "2h30m", 150 * minute},
		{"duration", "1.5h", 90 * minute}, {"duration", "2w", 14 * 24 * hour}, {"duration", "250ms", 250 * time.Millisecond}, {"duration", "0", time.Duration(0)},
		{"duration", "0s", time.Duration(0)}, {"duration", "8", nil}, {"duration", "", nil}, {"duration", "8 h", nil}, {"duration", "-1h", nil}, {"duration", "h", nil},
		{"duration", "9999999999999d", nil}, {"duration", "1y", nil}, {"duration", "1e3s", nil},
		{"limit", "3/24h", Limit{3, 24 * hour}}, {"limit", "30/1h", Limit{30, hour}}, {"limit", "200/d", Limit{200, 24 * hour}}, {"limit", "none", Limit{}},
		{"limit", "3", nil}, {"limit", "3/0s", nil}, {"limit", "-3/h", nil}, {"limit", "3/24", nil}, {"limit", "", nil},
		{"percent", "5%", Percent(0.05)}, {"percent", "0.3%", Percent(0.003)}, {"percent", "0%", Percent(0)}, {"percent", "0.05", nil}, {"percent", "101%", nil}, {"percent", "NaN%", nil},
		{"clock", "21:00-08:00", ClockRange{21 * 60, 8 * 60}}, {"clock", "none", ClockRange{}}, {"clock", "", ClockRange{}}, {"clock", "9-5", nil}, {"clock", "08:00-08:00", nil},
		{"ramp", "200/d doubling", Ramp{200, true}}, {"ramp", "200/d", Ramp{200, false}}, {"ramp", "", Ramp{}}, {"ramp", "200 doubling", nil},
		{"cron", "TZ=UTC", nil}, {"cron", "CRON_TZ=UTC 0 10 1 * *", nil}, {"cron", "0 0 31 2 *", nil}, {"cron", "@every 1s", nil}, {"cron", "", nil}, {"cron", "* * * * * *", nil},
		{"pattern", "*@OLD.example", "*@old.example"}, {"pattern", "Help@x.example", "help@x.example"}, {"pattern", "*", nil}, {"pattern", "*@*", nil}, {"pattern", "help", nil},
		{"mailbox", "Harbour Books <news@x.example>", "Harbour Books <news@x.example>"}, {"mailbox", "news@x.example", "news@x.example"}, {"mailbox", "a <b@c>", nil},
		{"url", "https://x.example/", "https://x.example"}, {"url", "x.example", nil}, {"url", "javascript:x", nil}, {"url", "https://a:b@x.example", nil},
		{"listen", "127.0.0.1:8025", "127.0.0.1:8025"}, {"listen", ":0", ":0"}, {"listen", "", ""}, {"listen", "[::1]:80", "[::1]:80"}, {"listen", "8025", nil}, {"listen", "x:http", nil},
	} {
		var got any
		var err error
		switch c.kind {
		case "duration":
			got, err = parseDuration(c.text)
		case "limit":
			got, err = parseLimit(c.text)
		case "percent":
			got, err = parsePercent(c.text)
		case "clock":
			got, err = parseClockRange(c.text)
		case "ramp":
			got, err = parseRamp(c.text)
		case "cron":
			got, err = parseCron(c.text)
		default:
			got, err = checkWord(c.kind, c.text)
		}
		if c.want == nil && err == nil || c.want != nil && (err != nil || got != c.want) {
			t.Errorf("%s %q: %v, %v; want %v", c.kind, c.text, got, err, c.want)
		}
	}
}

// minimal is the shortest configuration, with room for more at the end.
const minimal = `business: {name: Harbour Books}
smtp: {host: smtp.example.com}
mailboxes: {support: {address: support@harbourbooks.example, imap: {host: imap.example.com}}}
`

func parse(t *testing.T, text string) *Config {
	t.Helper()
	cfg, err := Parse("/etc/returnpost/config.yaml", []byte(text), lookup, func(name string) ([]byte, error) {
		switch name {
		case "/run/secret":
			return []byte("\ufefffirst line\r\nsecond\n"), nil
		case "/etc/returnpost/ca.pem":
			return []byte("-----BEGIN CERTIFICATE-----\n"), nil
		case "/etc/returnpost/dkim.pem":
			return []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), nil
		case "/etc/returnpost/ours.ics":
			return []byte("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\nDTSTART;VALUE=DATE:20261230\r\nSUMMARY:Stocktaking\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"), nil
		}
		return nil, fmt.Errorf("no file %s", name)
	})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestAValueIsFilledInAndTakenAsItIsWritten(t *testing.T) {
	cfg := parse(t, `business:
  name: Harbour $$ Books $$$${X}
  phone: +8675488886666
  website: https://harbourbooks.example/
  postal_address: |
    12 Pier Road
    Shantou 515000
smtp: {host: smtp.example.com, username: shop, password: "${SECRET}", ca_file: ca.pem,
       dkim: [{domain: harbourbooks.example, selector: s1, key: file:dkim.pem}]}
mailboxes:
  support:
    address: support@HarbourBooks.example
    name: 012345
    aliases: ["*@Old.example"]
    envelope: null
    imap: {host: 127.0.0.1, port: "${PORT}", security: none, folder: "file:/run/secret"}
calendars: [china, ours.ics]
closed: [2026-12-31]
database: postgres://returnpost:${SMTP_PASSWORD}@db.example/returnpost
`)
	m := cfg.Mailboxes[0]
	for what, pair := range map[string][2]any{
		"dollars":                        {cfg.Business.Name, "Harbour $ Books $${X}"},
		"phone":                          {cfg.Business.Phone, "+8675488886666"},
		"lines":                          {cfg.Business.PostalAddress, "12 Pier Road\nShantou 515000\n"},
		"website":                        {cfg.Business.Website, "https://harbourbooks.example"},
		"a secret is not expanded again": {m.SMTP.Password, "pa$$word ${X}"},
		"ca":                             {m.SMTP.CAFile, "/etc/returnpost/ca.pem"},
		"dkim":                           {m.SMTP.DKIM[0].Key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"},
		"hello":                          {m.SMTP.Domain, "harbourbooks.example"},
		"address":                        {m.Address, "support@harbourbooks.example"},
		"zeros":                          {m.DisplayName, "012345"},
		"alias":                          {m.Aliases[0], "*@old.example"},
		"null":                           {m.Envelope, "null"},
		"port":                           {m.IMAP.Port, 1993},
		"first line":                     {m.IMAP.Folder, "first line"},
		"calendars":                      {len(m.Schedule.Calendars), 2},
		"closed":                         {m.Schedule.Closed[0].String(), "2026-12-31"},
		"database":                       {cfg.Database, "postgres://returnpost:one@db.example/returnpost"},
		"letters":                        {m.Letters, "/etc/returnpost/letters"},
		"faq":                            {cfg.FAQ, "/etc/returnpost/faq"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %q, want %q", what, pair[0], pair[1])
		}
	}
}
