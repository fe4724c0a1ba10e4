package promise

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestPromiseRoundsUp(t *testing.T) {
	for name, c := range map[string]struct {
		made, within, by string
		workDays         int
	}{
		"today, to the full hour":              {"2026-11-23 09:10", "1h", "2026-11-23 11:00", 0},
		"today, on the hour":                   {"2026-11-23 09:00", "2h", "2026-11-23 11:00", 0},
		"today, a second later":                {"2026-11-23 09:00:01", "2h", "2026-11-23 12:00", 0},
		"today, to the hour over the break":    {"2026-11-23 11:30", "40m", "2026-11-23 14:00", 0},
		"today, into the break":                {"2026-11-23 10:59", "1h", "2026-11-23 12:00", 0},
		"today, at most to the end of the day": {"2026-11-21 12:30", "1h15m", "2026-11-21 14:00", 0},
		"tomorrow, to noon":                    {"2026-11-23 17:00", "2h", "2026-11-24 12:00", 1},
		"tomorrow, at noon":                    {"2026-11-23 17:00", "4h", "2026-11-24 12:00", 1},
		"tomorrow, to the end of the day":      {"2026-11-23 17:00", "4h1s", "2026-11-24 18:00", 1},
		"at the end of today, not of tomorrow": {"2026-11-23 17:00", "1h", "2026-11-23 18:00", 0},
		"written at night":                     {"2026-11-24 03:00", "1h", "2026-11-24 10:00", 0},
		"written on Friday night":              {"2026-11-20 22:00", "5h", "2026-11-23 12:00", 2},
		"a Saturday ends at two":               {"2026-11-20 17:00", "4h30m", "2026-11-21 14:00", 1},
		"over the National Day":                {"2026-09-30 17:30", "1h", "2026-10-08 12:00", 1},
		"the sample: about two working days":   {"2026-11-23 16:30", "12h", "2026-11-25 12:00", 2},
	} {
		s := shop(t)
		within, err := time.ParseDuration(c.within)
		if err != nil {
			t.Fatal(err)
		}
		made := at(t, c.made, s.Zone)
		p := s.Promise(made, within)
		if want := at(t, c.by, s.Zone); !p.By.Equal(want) || p.WorkDays != c.workDays {
			t.Errorf("%s: by %v, %d working days; want %v, %d", name, p.By.In(s.Zone), p.WorkDays, want, c.workDays)
		}
		if p.By.Location() != time.UTC || !p.FollowUp.IsZero() || p.Reason != "" || p.Zone != s.Zone || !p.Made.Equal(made) {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestRoundingInOtherHours(t *testing.T) {
	for name, c := range map[string]struct{ hours, zone, made, within, by string }{
		"an end on the half hour":       {"09:00-17:30", "Asia/Shanghai", "2026-11-23 16:00", "1h10m", "2026-11-23 17:30"},
		"a day that ends before noon":   {"06:00-11:00", "Asia/Shanghai", "2026-11-23 10:00", "2h", "2026-11-24 11:00"},
		"a day that begins after noon":  {"13:00-18:00", "Asia/Shanghai", "2026-11-23 17:00", "2h", "2026-11-24 18:00"},
		"today until midnight":          {"20:00-24:00", "Asia/Shanghai", "2026-11-23 20:00", "3h30m", "2026-11-24 00:00"},
		"exactly at midnight":           {"20:00-24:00", "Asia/Shanghai", "2026-11-23 20:00", "4h", "2026-11-24 00:00"},
		"tomorrow until midnight":       {"20:00-24:00", "Asia/Shanghai", "2026-11-23 20:00", "5h", "2026-11-25 00:00"},
		"a full hour of Kathmandu":      {"09:00-18:00", "Asia/Kathmandu", "2026-11-23 09:10", "1h", "2026-11-23 11:00"},
		"an hour the clock shows twice": {"24h", "America/New_York", "2026-11-01 00:00", "40m", "2026-11-01 01:00"},
		"an hour the clock skips":       {"24h", "America/New_York", "2026-03-08 00:30", "1h10m", "2026-03-08 03:00"},
		"around the clock, tomorrow":    {"24h", "Asia/Shanghai", "2026-11-23 23:10", "8h", "2026-11-24 12:00"},
	} {
		hours, err := ParseIntervals(c.hours)
		if err != nil {
			t.Fatal(err)
		}
		s := &Schedule{Zone: zone(t, c.zone), Week: everyDay(0, 1)}
		for d := range s.Week {
			s.Week[d] = hours
		}
		within, _ := time.ParseDuration(c.within)
		want := at(t, c.by, s.Zone)
		if name == "an hour the clock shows twice" {
			want = want.Add(time.Hour) // the second one o'clock: never the earlier reading
		}
		if p := s.Promise(at(t, c.made, s.Zone), within); !p.By.Equal(want) {
			t.Errorf("%s: by %v; want %v", name, p.By.In(s.Zone), want)
		}
	}
}

func TestNoBasis(t *testing.T) {
	always := shop(t)
	always.Closed = nil
	for name, c := range map[string]struct {
		change         func(*Schedule)
		made, within   string
		reason         Reason
		followUpBefore string // midnight at the end of the day
	}{
		"no response time":             {nil, "2026-11-23 10:00", "0s", ReasonNoResponseTime, "2026-11-28 00:00"},
		"less than none":               {nil, "2026-11-23 10:00", "-1h", ReasonNoResponseTime, "2026-11-28 00:00"},
		"nobody works":                 {func(s *Schedule) { s.Week = Week{} }, "2026-11-20 10:00", "8h", ReasonNoHours, "2026-11-27 00:00"},
		"nobody works, over holidays":  {func(s *Schedule) { s.Week = Week{} }, "2026-09-30 10:00", "8h", ReasonNoHours, "2026-10-13 00:00"},
		"an unknown year":              {nil, "2026-12-28 17:00", "40h", ReasonUnknownYear, "2027-01-01 00:00"},
		"with nothing known before it": {nil, "2026-12-31 17:00", "8h", ReasonUnknownYear, "2027-01-06 00:00"},
		"too far":                      {nil, "2026-03-02 10:00", "1000h", ReasonTooFar, "2026-03-07 00:00"},
		"closed for months":            {func(s *Schedule) { s.Closed = dates(t, "2026-03-02", 200) }, "2026-03-02 10:00", "8h", ReasonTooFar, "2026-03-10 00:00"},
	} {
		s := shop(t)
		if c.change != nil {
			c.change(s)
		}
		within, _ := time.ParseDuration(c.within)
		p := s.Promise(at(t, c.made, s.Zone), within)
		if want := at(t, c.followUpBefore, s.Zone); !p.By.IsZero() || p.Reason != c.reason || !p.FollowUp.Equal(want) || p.Closure != nil {
			t.Errorf("%s: %+v; want %s and a word before %v", name, p, c.reason, want)
		}
	}
}

func dates(t testing.TB, first string, n int) (all []Date) {
	for i := range n {
		all = append(all, day(t, first).AddDays(i))
	}
	return all
}

func TestClosure(t *testing.T) {
	july := event("SUMMARY:Independence Day (observed)", "DTSTART:20260703") + event("SUMMARY:Thanksgiving", "DTSTART:20261126")
	for name, c := range map[string]struct {
		change       func(*Schedule)
		made, within string
		want         *Closure
	}{
		"an ordinary night":   {nil, "2026-11-23 17:00", "2h", nil},
		"an ordinary weekend": {nil, "2026-11-20 17:00", "6h", nil},
		"National Day": {nil, "2026-09-30 17:00", "2h",
			&Closure{"国庆节", day(t, "2026-10-01"), day(t, "2026-10-07"), day(t, "2026-10-08"), []Date{day(t, "2026-10-10")}}},
		"written within it": {nil, "2026-10-04 10:00", "2h",
			&Closure{"国庆节", day(t, "2026-10-01"), day(t, "2026-10-07"), day(t, "2026-10-08"), []Date{day(t, "2026-10-10")}}},
		"written before a make-up Saturday before it": {nil, "2026-02-13 15:00", "11h",
			&Closure{"春节", day(t, "2026-02-15"), day(t, "2026-02-23"), day(t, "2026-02-24"), []Date{day(t, "2026-02-14"), day(t, "2026-02-28")}}},
		"answered before it": {nil, "2026-09-30 09:00", "2h", nil},
		"back on a make-up Sunday": {nil, "2024-02-09 17:00", "2h",
			&Closure{"春节", day(t, "2024-02-10"), day(t, "2024-02-17"), day(t, "2024-02-18"), []Date{day(t, "2024-02-18")}}},
		"one closed day in the week": {func(s *Schedule) { s.Closed = dates(t, "2026-11-25", 1) }, "2026-11-24 17:00", "2h", nil},
		"one closed day before a weekend": {func(s *Schedule) { s.Closed = dates(t, "2026-11-21", 1) }, "2026-11-20 17:00", "2h",
			&Closure{"", day(t, "2026-11-21"), day(t, "2026-11-22"), day(t, "2026-11-23"), nil}},
		"two closed days": {func(s *Schedule) { s.Closed = dates(t, "2026-11-25", 2) }, "2026-11-24 17:00", "2h",
			&Closure{"", day(t, "2026-11-25"), day(t, "2026-11-26"), day(t, "2026-11-27"), nil}},
		"a holiday of a day": {func(s *Schedule) { s.Calendars = []*Calendar{mustICS(t, july)} }, "2026-11-25 17:00", "2h",
			&Closure{"Thanksgiving", day(t, "2026-11-26"), day(t, "2026-11-26"), day(t, "2026-11-27"), nil}},
		"a holiday on a day off is no reason": {func(s *Schedule) {
			s.Calendars = []*Calendar{mustICS(t, event("SUMMARY:Carols", "DTSTART:20261122"))}
		}, "2026-11-20 17:00", "6h", nil},
		"the longer of two": {nil, "2026-09-24 17:00", "30h",
			&Closure{"国庆节", day(t, "2026-10-01"), day(t, "2026-10-07"), day(t, "2026-10-08"), []Date{day(t, "2026-10-10")}}},
		"not what the firm has opened": {func(s *Schedule) { s.Open = dates(t, "2026-10-03", 3) }, "2026-10-04 18:30", "10h",
			&Closure{"国庆节", day(t, "2026-10-06"), day(t, "2026-10-07"), day(t, "2026-10-08"), []Date{day(t, "2026-10-10")}}},
	} {
		s := shop(t)
		if c.change != nil {
			c.change(s)
		}
		within, _ := time.ParseDuration(c.within)
		if p := s.Promise(at(t, c.made, s.Zone), within); p.By.IsZero() || !cmp.Equal(p.Closure, c.want) {
			t.Errorf("%s: by %v: %s", name, p.By.In(s.Zone), cmp.Diff(c.want, p.Closure))
		}
	}
}

// TestPromiseNeverRoundsDown holds what a promise must be, for any firm and any letter.
func TestPromiseNeverRoundsDown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, made := anySchedule(t), anyTime(t, "made")
		within := time.Duration(rapid.Int64Range(-1, int64(60*time.Hour)).Draw(t, "within"))
		p := s.Promise(made, within)
		exact, ok := s.After(made, within)
		if !ok || within <= 0 || s.Week.empty() {
			if !p.By.IsZero() || p.Reason == "" || !p.FollowUp.After(made) || p.FollowUp.Sub(made) > 70*24*time.Hour {
				t.Fatalf("there is no basis, but %+v", p)
			}
			return
		}
		if p.By.Before(exact) {
			t.Fatalf("by %v, before %v", p.By, exact)
		}
		if late := p.By.Sub(exact); late > 26*time.Hour {
			t.Fatalf("by %v, %v after %v", p.By, late, exact)
		}
		if local := p.By.In(s.Zone); local.Second() != 0 || local.Nanosecond() != 0 {
			t.Fatalf("by %v, which no letter can say", local)
		}
		if s.Between(exact, p.By) > 0 && len(s.Day(DateOf(exact.In(s.Zone))).Hours) == 0 {
			t.Fatalf("by %v, on another working day than %v", p.By, exact)
		}
		if !p.FollowUp.IsZero() || p.Reason != "" || p.WorkDays < 0 {
			t.Fatalf("a time and its absence: %+v", p)
		}
		if c := p.Closure; c != nil {
			if c.To.Before(c.From) || !c.To.Before(c.Resumes) || len(s.Day(c.Resumes).Hours) == 0 || !c.Resumes.midnight().Before(p.By.Add(24*time.Hour)) {
				t.Fatalf("closed %+v", c)
			}
			for d := c.From; !c.To.Before(d); d = d.AddDays(1) {
				if len(s.Day(d).Hours) > 0 {
					t.Fatalf("%v is worked, though closed %+v", d, c)
				}
			}
		}
	})
}
