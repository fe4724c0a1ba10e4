package promise

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-ical"
	"pgregory.net/rapid"
)

// event is a VEVENT of the given lines.
func event(lines ...string) string {
	return "BEGIN:VEVENT\r\n" + strings.Join(lines, "\r\n") + "\r\nEND:VEVENT\r\n"
}

func calendarFile(body string) []byte {
	return []byte("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n" + body + "END:VCALENDAR\r\n")
}

func mustICS(t testing.TB, body string) *Calendar {
	t.Helper()
	c, err := ReadICS("test.ics", calendarFile(body))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// listed are the dates a calendar marks, make-up workdays with a plus.
func listed(c *Calendar) []string {
	var all []string
	for d, m := range c.days {
		if m.makeUp {
			all = append(all, "+"+d.String())
		} else {
			all = append(all, d.String())
		}
	}
	slices.Sort(all)
	return all
}

func TestICSDates(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"DTEND is exclusive": {
			event("SUMMARY:Fair", "DTSTART;VALUE=DATE:20261001", "DTEND;VALUE=DATE:20261003"), "2026-10-01 2026-10-02"},
		"no DTEND is one day": {
			event("DTSTART;VALUE=DATE:20261001"), "2026-10-01"},
		"an end at the start is one day": {
			event("DTSTART;VALUE=DATE:20261001", "DTEND;VALUE=DATE:20261001"), "2026-10-01"},
		"a duration in days": {
			event("DTSTART;VALUE=DATE:20261001", "DURATION:P2D"), "2026-10-01 2026-10-02"},
		"a date is known by its form": {
			event("DTSTART:20261001"), "2026-10-01"},
		"a date has no zone, whatever it says": {
			event("DTSTART;VALUE=DATE;TZID=America/New_York:20261001"), "2026-10-01"},
		"cancelled": {
			event("DTSTART:20261001", "STATUS:Cancelled") + event("DTSTART:20261002", "STATUS:CONFIRMED"), "2026-10-02"},
		"make-up workdays": {
			event("SUMMARY:上班(补国庆节假期)", "DTSTART:20261010") + event("SUMMARY:补班", "DTSTART:20260920") + event("SUMMARY:不上班", "DTSTART:20261001"),
			"+2026-09-20 +2026-10-10 2026-10-01"},
		"a make-up workday beats a holiday of its date": {
			event("SUMMARY:补班", "DTSTART:20261010") + event("SUMMARY:Fair", "DTSTART:20261010"), "+2026-10-10"},
		"a make-up workday with times": {
			event("SUMMARY:上班", "DTSTART;TZID=China Standard Time:20261010T090000", "DTEND;TZID=China Standard Time:20261010T180000"), "+2026-10-10"},
		"a year of repetitions": {
			event("DTSTART:20251224", "DTEND:20251226", "RRULE:FREQ=YEARLY;COUNT=2"), "2025-12-24 2025-12-25 2026-12-24 2026-12-25"},
		"the fourth Thursday": {
			event("DTSTART:20241128", "RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH;UNTIL=20261126"), "2024-11-28 2025-11-27 2026-11-26"},
		"the last Monday, until a time": {
			event("DTSTART:20250526", "RRULE:freq=yearly;bymonth=5;byday=-1MO;until=20270101T000000Z"), "2025-05-26 2026-05-25"},
		"exceptions and additions": {
			event("DTSTART:20260105", "RRULE:FREQ=WEEKLY;COUNT=4", "EXDATE;VALUE=DATE:20260112,20260119", "RDATE;VALUE=DATE:20260301"),
			"2026-01-05 2026-01-26 2026-03-01"},
		"one repetition moved, one cancelled": {
			event("UID:a", "DTSTART:20260105", "RRULE:FREQ=WEEKLY;COUNT=3") + event("UID:a", "RECURRENCE-ID:20260112", "DTSTART:20260113") +
				event("UID:a", "RECURRENCE-ID:20260119", "DTSTART:20260119", "STATUS:CANCELLED"),
			"2026-01-05 2026-01-13"},
		"a time takes away a date, and a date a time": {
			event("DTSTART:20260105", "RRULE:FREQ=WEEKLY;COUNT=3", "EXDATE:20260112T090000") +
				event("SUMMARY:补班", "DTSTART:20260201T090000", "DURATION:PT8H", "RRULE:FREQ=DAILY;COUNT=3", "EXDATE:20260202,20260203T100000"),
			"+2026-02-01 +2026-02-03 2026-01-05 2026-01-19"},
		"an alarm's lines are not the event's": {
			event("DTSTART:20261001", "BEGIN:VALARM", "DURATION:P9D", "SUMMARY:上班", "END:VALARM"), "2026-10-01"},
		"folded lines, and lines that do not matter": {
			event("DTSTART;VALUE=DA", " TE:20261001", "X-NOISE;A", "ATTENDEE;CN=\"x:", "DESCRIPTION:"+strings.Repeat("long ", 5000)), "2026-10-01"},
		"two files in one": {
			event("DTSTART:20261001") + "END:VCALENDAR\r\nBEGIN:VCALENDAR\r\n" + event("DTSTART:20261002"), "2026-10-01 2026-10-02"},
	} {
		if got := strings.Join(listed(mustICS(t, c.body)), " "); got != c.want {
			t.Errorf("%s: %s; want %s", name, got, c.want)
		}
	}
	c, err := ReadICS("owner.ics", []byte("\ufeffBEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:国庆节（班）\nDTSTART:20261010\nEND:VEVENT\nEND:VCALENDAR\n"), regexp.MustCompile(`（班）$`))
	if err != nil || listed(c)[0] != "+2026-10-10" {
		t.Errorf("the owner's pattern: %v, %v", c, err)
	}
}

func TestICSKnowsYears(t *testing.T) {
	endless := event("SUMMARY:New Year", "DTSTART:20200101", "RRULE:FREQ=YEARLY")
	for name, c := range map[string]struct {
		body           string
		known, unknown int
	}{
		"where something begins":            {event("DTSTART:20261230", "DTEND:20270103"), 2026, 2027},
		"where a repetition with an end is": {event("DTSTART:20260101", "RRULE:FREQ=YEARLY;COUNT=2"), 2027, 2028},
		"where nothing has an end":          {endless, 2090, 2019},
		"not by what has no end":            {endless + event("DTSTART:20260406"), 2026, 2027},
		"nowhere in an empty file":          {"", 0, 2026},
	} {
		years := mustICS(t, c.body).Years()
		if c.known != 0 && !slices.Contains(years, c.known) || slices.Contains(years, c.unknown) {
			t.Errorf("%s: %v", name, years)
		}
	}
}

// TestICSTimes: an event with times takes those hours on the firm's clock, whatever zone it was written in.
func TestICSTimes(t *testing.T) {
	for name, c := range map[string]struct{ body, date, want string }{
		"an afternoon": {
			event("DTSTART;TZID=Asia/Shanghai:20261125T140000", "DTEND;TZID=Asia/Shanghai:20261125T150000"), "2026-11-25", "09:00-12:00 13:30-14:00 15:00-18:00"},
		"Outlook's name of the zone, from midnight to midnight": {
			event("DTSTART;TZID=China Standard Time:20261125T000000", "DTEND;TZID=China Standard Time:20261126T000000"), "2026-11-25", ""},
		"and not the day after": {
			event("DTSTART;TZID=China Standard Time:20261125T000000", "DTEND;TZID=China Standard Time:20261126T000000"), "2026-11-26", "09:00-12:00 13:30-18:00"},
		"the zone as Outlook shows it": {
			event(`DTSTART;TZID="(UTC+08:00) Beijing, Chongqing, Hong Kong, Urumqi":20261125T000000`, "DURATION:PT12H"), "2026-11-25", "13:30-18:00"},
		"a zone behind a path": {
			event("DTSTART;TZID=/example.org/20050126_1/Asia/Shanghai:20261125T000000", "DURATION:PT12H"), "2026-11-25", "13:30-18:00"},
		"another zone": {
			event("DTSTART;TZID=Eastern Standard Time:20261124T200000", "DTEND;TZID=Eastern Standard Time:20261124T230000"), "2026-11-25", "13:30-18:00"},
		"UTC": {
			event("DTSTART:20261124T160000Z", "DTEND:20261125T040000Z"), "2026-11-25", "13:30-18:00"},
		"no zone is the firm's clock": {
			event("DTSTART:20261125T090000", "DTEND:20261125T120000"), "2026-11-25", "13:30-18:00"},
		"a zone nobody knows too": {
			event("DTSTART;TZID=Customized Time Zone:20261125T090000", "DTEND;TZID=Customized Time Zone:20261125T120000"), "2026-11-25", "13:30-18:00"},
		"no end is the rest of the day": {
			event("DTSTART:20261125T150000"), "2026-11-25", "09:00-12:00 13:30-15:00"},
		"over several days": {
			event("DTSTART:20261124T150000", "DTEND:20261126T100000"), "2026-11-25", ""},
		"each week": {
			event("DTSTART;TZID=Asia/Shanghai:20261104T133000", "DURATION:PT4H30M", "RRULE:FREQ=WEEKLY;UNTIL=20261125T053000Z"), "2026-11-25", "09:00-12:00"},
		"until a time in UTC, on the firm's clock": {
			event("DTSTART:20261104T133000", "DURATION:PT4H30M", "RRULE:FREQ=WEEKLY;UNTIL=20261125T000000Z"), "2026-11-25", "09:00-12:00 13:30-18:00"},
		"until a date, which is part of it": {
			event("DTSTART;TZID=Asia/Shanghai:20261104T133000", "DURATION:PT4H30M", "RRULE:FREQ=WEEKLY;UNTIL=20261125"), "2026-11-25", "09:00-12:00"},
		"a second longer than a minute": {
			event("DTSTART:20261125T090000", "DTEND:20261125T091501"), "2026-11-25", "09:16-12:00 13:30-18:00"},
		"behind UTC": {
			event("DTSTART;TZID=\"(UTC-05:00) Eastern Time (US & Canada)\":20261124T200000", "DURATION:PT3H"), "2026-11-25", "13:30-18:00"},
		"each week but one": {
			event("DTSTART;TZID=Asia/Shanghai:20261104T133000", "DURATION:PT4H30M", "RRULE:FREQ=WEEKLY", "EXDATE:20261125T053000Z"), "2026-11-25", "09:00-12:00 13:30-18:00"},
	} {
		s := shop(t)
		s.Calendars = append(s.Calendars, mustICS(t, c.body))
		got := s.Day(day(t, c.date))
		var hours []string
		for _, in := range got.Hours {
			hours = append(hours, in.String())
		}
		if strings.Join(hours, " ") != c.want || (got.Why == WhyHoliday) != (c.want == "") {
			t.Errorf("%s: %v, %s; want %q", name, hours, got.Why, c.want)
		}
	}
}

func TestReadICSRefuses(t *testing.T) {
	whole := func(s string) string { return string(calendarFile(s)) }
	for name, c := range map[string]struct{ data, want string }{
		"nothing":                    {"", "not a complete iCalendar file"},
		"another format":             {"Dear Sir", "not a complete iCalendar file"},
		"a file cut off":             {strings.TrimSuffix(whole(event("DTSTART:20261001")), "END:VCALENDAR\r\n"), "cut off"},
		"a second file cut off":      {whole("") + "BEGIN:VCALENDAR\r\n", "cut off"},
		"crossed components":         {"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nEND:VCALENDAR\r\nEND:VEVENT\r\n", "not a complete iCalendar file"},
		"a parameter without value":  {whole(event("DTSTART;VALUE=DATE")), "line 4 is not a line"},
		"a quote within":             {whole(event(`DTSTART;TZID="a"b:20261001`)), "line 4 is not a line"},
		"an endless parameter":       {whole(event("DTSTART;TZID=" + strings.Repeat("a", 2000) + ":20261001")), "line 4 is not a line"},
		"an endless line":            {whole(event("SUMMARY:" + strings.Repeat("a", 5000))), "too long"},
		"nesting without end":        {strings.Repeat("BEGIN:VEVENT\r\n", 1000), "nested too deep"},
		"no start":                   {whole(event("SUMMARY:Fair")), `event "Fair": it has no DTSTART`},
		"an impossible date":         {whole(event("DTSTART:20260230")), "is not a date or time"},
		"the year 1":                 {whole(event("DTSTART:00010101")), "not within"},
		"an end before the start":    {whole(event("DTSTART:20261002", "DTEND:20261001")), "ends before it starts"},
		"an end of another kind":     {whole(event("DTSTART:20261002", "DTEND:20261003T000000")), "different kinds"},
		"a negative duration":        {whole(event("DTSTART:20261002", "DURATION:-P1D")), "DURATION"},
		"an endless event":           {whole(event("DTSTART:20261002", "DTEND:20281002")), "lasts longer"},
		"every hour":                 {whole(event("DTSTART:20261002", "RRULE:FREQ=HOURLY")), "must repeat by day"},
		"by week number":             {whole(event("DTSTART:20261002", "RRULE:FREQ=YEARLY;BYWEEKNO=20")), "only BYMONTH"},
		"a broken exception":         {whole(event("DTSTART:20261002", "EXDATE:tomorrow")), "EXDATE"},
		"a broken addition":          {whole(event("DTSTART:20261002", "RDATE:20261003,soon")), "RDATE"},
		"endless additions":          {whole(event("DTSTART:20261002", strings.Repeat("RDATE:20261003"+strings.Repeat(",20261003", 400)+"\r\n", 3))), "more than 1000 dates"},
		"a broken end of repetition": {whole(event("DTSTART:20261002", "RRULE:FREQ=DAILY;UNTIL=20260231")), "cannot be followed"},
		"a repetition elsewhere":     {whole(event("UID:a", "RECURRENCE-ID:never", "DTSTART:20261002")), "RECURRENCE-ID"},
		"a rule of endless parts":    {whole(event("DTSTART:20261002", "RRULE:FREQ=DAILY;BYDAY=MO"+strings.Repeat(",MO", 200))), "more days than there can be"},
		"no rule":                    {whole(event("DTSTART:20261002", "RRULE:often")), "cannot be followed"},
		"too many days":              {whole(strings.Repeat(event("DTSTART:19000101", "DURATION:P100D", "RRULE:FREQ=DAILY"), 2)), "more than 100000 days"},
		"too many rules":             {whole(strings.Repeat(event("DTSTART:20200101", "RRULE:FREQ=YEARLY;COUNT=2"), 201)), "more than 200 events repeat"},
		"too many events":            {whole(strings.Repeat(event("DTSTART:20200101"), 10_001)), "at most 10000"},
		"too large":                  {whole(strings.Repeat("X-NOISE:1234567890\r\n", 1<<18)), "larger than"},
	} {
		if cal, err := ReadICS("x.ics", []byte(c.data)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v; want an error with %q", name, cal, err, c.want)
		}
	}
}

// TestRulesAgreeWithTheLibrary holds our recurrence rules against another implementation's.
func TestRulesAgreeWithTheLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := Date{2020, 1, 1}.AddDays(rapid.IntRange(0, 2000).Draw(t, "start"))
		freq := rapid.SampledFrom([]string{"YEARLY", "MONTHLY", "WEEKLY", "DAILY"}).Draw(t, "freq")
		parts := []string{"FREQ=" + freq, "INTERVAL=" + rapid.SampledFrom([]string{"1", "2", "3", "5"}).Draw(t, "interval")}
		maybe := func(name string, values ...string) {
			if v := rapid.SampledFrom(append(values, "", "")).Draw(t, name); v != "" {
				parts = append(parts, name+"="+v)
			}
		}
		maybe("WKST", "SU", "MO", "SA")
		maybe("BYMONTH", "1", "2,10", "5,6,7")
		maybe("BYMONTHDAY", "1", "13,14", "-1", "31")
		if freq == "YEARLY" || freq == "MONTHLY" {
			maybe("BYDAY", "MO", "1MO", "-1FR,2SA", "TU,TH", "5WE")
		} else {
			maybe("BYDAY", "MO", "TU,TH", "SA,SU")
		}
		maybe("COUNT", "1", "2", "10")
		text := strings.Join(parts, ";")

		e := ical.NewEvent()
		e.Props.SetDate(ical.PropDateTimeStart, start.midnight())
		e.Props.Set(&ical.Prop{Name: ical.PropRecurrenceRule, Params: ical.Params{}, Value: text})
		rule, err := newRule(e.Props, start)
		if err != nil {
			t.Fatal(err)
		}
		end := start.AddDays(4000)
		got := []string{}
		if rule.matches(start) && (len(rule.months) == 0 || slices.Contains(rule.months, int(start.Month))) {
			got = append(got, start.String())
		} else if rule.count > 0 {
			return // a start its own rule does not match counts for us, as RFC 5545 §3.8.5.3 has it, and not for them
		}
		for d := range rule.dates() {
			if end.Before(d) {
				break
			}
			got = append(got, d.String())
		}
		set, err := e.RecurrenceSet(time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{}
		for _, at := range set.Between(start.midnight(), end.midnight(), true) {
			want = append(want, DateOf(at).String())
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s from %v: %v; the library says %v", text, start, got, want)
		}
	})
}

func FuzzReadICS(f *testing.F) {
	data, err := os.ReadFile("holidays-cn/2026.ics")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	for _, body := range []string{
		event("SUMMARY:a\\,b", "DTSTART;TZID=China Standard Time:20261001T000000", "DTEND;TZID=\"Asia/Shanghai\":20261002T000000"),
		event("UID:1", "DTSTART:20240131", "RRULE:FREQ=MONTHLY;INTERVAL=2;BYDAY=-1MO,2TU;WKST=SU;UNTIL=20300101T000000Z", "EXDATE:20240226"),
		event("UID:1", "RECURRENCE-ID:20240226", "DTSTART:20240227T120000Z", "DURATION:PT36H"),
		event("DTSTART:20240229", "RRULE:FREQ=YEARLY;COUNT=3", "RDATE;VALUE=PERIOD:20240301T000000Z/PT5H"),
		event("DTSTART:19000101", "DURATION:P300D", "RRULE:FREQ=DAILY;INTERVAL=99999999999999999999"),
		event("DTSTART;VALUE=DATE"), event("DTSTART;TZID=\"a\"b:1"), "BEGIN:A\r\n", "END:\r\n",
	} {
		f.Add(calendarFile("X-WR-TIMEZONE:Asia/Shanghai\r\n" + body))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		began := time.Now()
		c, err := ReadICS("fuzz", data)
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("it took %v", took)
		}
		if err != nil {
			return
		}
		if len(c.days) > maxDays {
			t.Fatalf("%d days", len(c.days))
		}
		s := Schedule{Calendars: []*Calendar{c}, Week: everyDay(0, fullDay)}
		for d, m := range c.days {
			if strings.ContainsAny(m.name, "\x00\r\n") {
				t.Fatalf("%v is %q", d, m.name)
			}
			s.Day(d)
		}
		s.Between(time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
	})
}
