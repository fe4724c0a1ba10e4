package promise

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// shop is the shop of the sample configuration.
func shop(t testing.TB) *Schedule {
	t.Helper()
	return &Schedule{Zone: zone(t, "Asia/Shanghai"), Week: shopWeek, Calendars: []*Calendar{China()}}
}

var shopWeek = func() (w Week) {
	for d := time.Monday; d <= time.Friday; d++ {
		w[d] = []Interval{{540, 720}, {810, 1080}}
	}
	w[time.Saturday] = []Interval{{600, 840}}
	return w
}()

func everyDay(from, to int) (w Week) {
	for d := range w {
		w[d] = []Interval{{from, to}}
	}
	return w
}

func TestWhatDecidesADay(t *testing.T) {
	weekday, saturday := shopWeek[time.Monday], shopWeek[time.Saturday]
	for name, c := range map[string]struct {
		closed, open string
		date         string
		want         Day
	}{
		"the week":                            {date: "2026-11-23", want: Day{weekday, WhyWeek, ""}},
		"a Saturday of the week":              {date: "2026-11-21", want: Day{saturday, WhyWeek, ""}},
		"a Sunday":                            {date: "2026-11-22", want: Day{nil, WhyWeek, ""}},
		"a holiday":                           {date: "2026-10-01", want: Day{nil, WhyHoliday, "国庆节"}},
		"a make-up Saturday is worked longer": {date: "2026-10-10", want: Day{weekday, WhyMakeUp, "国庆节"}},
		"a make-up Sunday":                    {date: "2026-09-20", want: Day{weekday, WhyMakeUp, "国庆节"}},
		"closed beats the week":               {closed: "2026-11-23", date: "2026-11-23", want: Day{nil, WhyClosed, ""}},
		"closed beats a make-up workday":      {closed: "2026-10-10", date: "2026-10-10", want: Day{nil, WhyClosed, ""}},
		"open beats a holiday":                {open: "2026-10-01", date: "2026-10-01", want: Day{weekday, WhyOpen, ""}},
		"open on a day with hours":            {open: "2026-11-21", date: "2026-11-21", want: Day{saturday, WhyOpen, ""}},
		"open on a day without":               {open: "2026-11-22", date: "2026-11-22", want: Day{weekday, WhyOpen, ""}},
		"open does not shorten a make-up day": {open: "2026-10-10", date: "2026-10-10", want: Day{weekday, WhyOpen, ""}},
		"closed beats open":                   {closed: "2026-11-23", open: "2026-11-23", date: "2026-11-23", want: Day{nil, WhyClosed, ""}},
		"an unknown year":                     {date: "2027-01-04", want: Day{weekday, WhyUnknown, ""}},
		"closed in an unknown year":           {closed: "2027-01-01", date: "2027-01-01", want: Day{nil, WhyClosed, ""}},
		"open in an unknown year":             {open: "2027-01-04", date: "2027-01-04", want: Day{weekday, WhyOpen, ""}},
	} {
		s := shop(t)
		if c.closed != "" {
			s.Closed = []Date{day(t, c.closed)}
		}
		if c.open != "" {
			s.Open = []Date{day(t, c.open)}
		}
		if got := s.Day(day(t, c.date)); got.Why != c.want.Why || got.Name != c.want.Name || !slices.Equal(got.Hours, c.want.Hours) {
			t.Errorf("%s: %+v; want %+v", name, got, c.want)
		}
	}
}

func TestOrdinaryHours(t *testing.T) {
	var partTime, weekend Week
	partTime[time.Tuesday], partTime[time.Friday], partTime[time.Saturday] = []Interval{{1, 2}}, []Interval{{3, 4}}, []Interval{{5, 6}}
	weekend[time.Sunday] = []Interval{{7, 8}}
	for name, c := range map[string]struct {
		week Week
		day  time.Weekday
		want []Interval
	}{
		"its own":                     {partTime, time.Friday, []Interval{{3, 4}}},
		"the first weekday's":         {partTime, time.Saturday, []Interval{{1, 2}}},
		"for a weekday without hours": {partTime, time.Wednesday, []Interval{{1, 2}}},
		"a firm open only on Sundays": {weekend, time.Saturday, []Interval{{7, 8}}},
		"and on Sunday itself":        {weekend, time.Sunday, []Interval{{7, 8}}},
		"nobody ever works":           {Week{}, time.Monday, nil},
	} {
		if got := c.week.ordinary(c.day); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v; want %v", name, got, c.want)
		}
	}
}

func TestAfter(t *testing.T) {
	shanghai := zone(t, "Asia/Shanghai")
	for name, c := range map[string]struct {
		from, work, want string // want "": no answer
	}{
		"within the morning":         {"2026-11-23 09:30", "2h", "2026-11-23 11:30"},
		"to its end":                 {"2026-11-23 09:30", "2h30m", "2026-11-23 12:00"},
		"over the break":             {"2026-11-23 09:30", "3h", "2026-11-23 14:00"},
		"from within the break":      {"2026-11-23 12:40", "1h", "2026-11-23 14:30"},
		"to the evening":             {"2026-11-23 09:00", "7h30m", "2026-11-23 18:00"},
		"over the night":             {"2026-11-23 17:00", "2h", "2026-11-24 10:00"},
		"over a weekend":             {"2026-11-20 17:00", "6h", "2026-11-23 10:00"},
		"to the nanosecond":          {"2026-11-23 09:30:00.000000001", "2h", "2026-11-23 11:30:00.000000001"},
		"over the National Day":      {"2026-09-30 17:00", "2h", "2026-10-08 10:00"},
		"on a make-up Saturday":      {"2026-10-09 17:00", "3h", "2026-10-10 11:00"},
		"nothing to do":              {"2026-11-22 03:00", "0s", "2026-11-22 03:00"},
		"to the last minute we know": {"2026-12-31 17:00", "1h", "2026-12-31 18:00"},
		"into an unknown year":       {"2026-12-31 17:00", "1h1ns", ""},
		"from an unknown year":       {"2023-12-29 10:00", "1h", ""},
		"almost too far":             {"2026-03-02 09:00", "350h30m", "2026-04-30 18:00"},
		"too far":                    {"2026-03-02 09:00", "350h31m", ""},
	} {
		work, err := time.ParseDuration(c.work)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := shop(t).After(at(t, c.from, shanghai), work)
		if c.want == "" {
			if ok {
				t.Errorf("%s: %v; want none", name, got.In(shanghai))
			}
			continue
		}
		if want := at(t, c.want, shanghai); !ok || !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%s: %v, %v; want %v", name, got.In(shanghai), ok, want)
		}
	}
}

// TestAcrossClockChanges: what the clock shows is worked, so a night with 25 hours has an hour more of them.
func TestAcrossClockChanges(t *testing.T) {
	for name, c := range map[string]struct {
		zone     string
		week     Week
		from, to string // UTC
		want     string
	}{
		"New York, a spring day of 23 hours":       {"America/New_York", everyDay(0, 1440), "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z", "23h"},
		"New York, an autumn day of 25":            {"America/New_York", everyDay(0, 1440), "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z", "25h"},
		"New York, hours the clock skips":          {"America/New_York", everyDay(120, 180), "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z", "0s"},
		"New York, half of them":                   {"America/New_York", everyDay(90, 210), "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z", "1h"},
		"New York, hours it shows twice":           {"America/New_York", everyDay(60, 90), "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z", "1h"},
		"New York, the second time alone":          {"America/New_York", everyDay(60, 120), "2026-11-01T06:00:00Z", "2026-11-02T05:00:00Z", "1h"},
		"Sydney, October":                          {"Australia/Sydney", everyDay(0, 480), "2026-10-03T14:00:00Z", "2026-10-04T13:00:00Z", "7h"},
		"Sydney, April":                            {"Australia/Sydney", everyDay(0, 480), "2026-04-04T13:00:00Z", "2026-04-05T14:00:00Z", "9h"},
		"São Paulo 2018, a day that began at 1:00": {"America/Sao_Paulo", everyDay(0, 120), "2018-11-04T02:00:00Z", "2018-11-05T02:00:00Z", "1h"},
		"São Paulo 2018, 23:00 twice":              {"America/Sao_Paulo", everyDay(1380, 1440), "2018-02-17T12:00:00Z", "2018-02-18T12:00:00Z", "2h"},
		"St John's 2010, back over midnight":       {"America/St_Johns", everyDay(0, 1440), "2010-11-06T02:30:00Z", "2010-11-07T03:30:00Z", "25h"},
		"Lord Howe, half an hour":                  {"Australia/Lord_Howe", everyDay(0, 1440), "2026-04-04T13:00:00Z", "2026-04-05T13:30:00Z", "24h30m"},
		"Apia 2011, a Friday that never was":       {"Pacific/Apia", everyDay(540, 600), "2011-12-29T10:00:00Z", "2012-01-01T10:00:00Z", "3h"},
		"Kathmandu, UTC+5:45":                      {"Asia/Kathmandu", everyDay(540, 600), "2026-11-23T03:15:00Z", "2026-11-23T04:15:00Z", "1h"},
		"Kolkata, UTC+5:30":                        {"Asia/Kolkata", everyDay(540, 600), "2026-11-23T03:29:00Z", "2026-11-23T03:31:00Z", "1m"},
	} {
		s := &Schedule{Zone: zone(t, c.zone), Week: c.week}
		from, _ := time.Parse(time.RFC3339, c.from)
		to, _ := time.Parse(time.RFC3339, c.to)
		want, _ := time.ParseDuration(c.want)
		if got := s.Between(from, to); got != want || got != onTheClock(s, from, to) {
			t.Errorf("%s: %v; want %v, minute by minute %v", name, got, want, onTheClock(s, from, to))
		}
	}
}

// onTheClock measures working time minute by minute, by looking at the firm's clock: slow, and with none of the code
// it checks.
func onTheClock(s *Schedule, from, to time.Time) (total time.Duration) {
	for m := from; m.Before(to); m = m.Add(time.Minute) {
		local := m.In(s.Zone)
		minute := local.Hour()*60 + local.Minute()
		for _, in := range s.Day(DateOf(local)).Hours {
			if in.From <= minute && minute < in.To {
				total += time.Minute
			}
		}
	}
	return total
}

var worldZones = []string{"Asia/Shanghai", "America/New_York", "Australia/Sydney", "America/Sao_Paulo", "Asia/Kathmandu",
	"Asia/Kolkata", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Chatham", "Africa/Casablanca", "America/Havana", "UTC"}

// anySchedule is any firm at all: any zone with its clock changes, any split hours, closed and open dates.
func anySchedule(t *rapid.T) *Schedule {
	z, err := time.LoadLocation(rapid.SampledFrom(worldZones).Draw(t, "zone"))
	if err != nil {
		t.Fatal(err)
	}
	s := &Schedule{Zone: z}
	for d := range s.Week {
		marks := rapid.SliceOfNDistinct(rapid.IntRange(0, 96), 0, 6, rapid.ID[int]).Draw(t, "hours")
		slices.Sort(marks)
		for i := 0; i+1 < len(marks); i += 2 {
			s.Week[d] = append(s.Week[d], Interval{marks[i] * 15, marks[i+1] * 15})
		}
	}
	dates := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Date {
		return Date{2025, 1, 1}.AddDays(rapid.IntRange(0, 729).Draw(t, "day"))
	}), 0, 20)
	s.Closed, s.Open = dates.Draw(t, "closed"), dates.Draw(t, "open")
	if rapid.Bool().Draw(t, "china") {
		s.Calendars = []*Calendar{China()}
	}
	return s
}

// anyTime is any time of 2025 and 2026, often near a change of the clock.
func anyTime(t *rapid.T, label string) time.Time {
	base := rapid.SampledFrom([]time.Time{
		time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 8, 7, 0, 0, 0, time.UTC), time.Date(2026, 11, 1, 6, 0, 0, 0, time.UTC),
		time.Date(2026, 4, 4, 15, 0, 0, 0, time.UTC), time.Date(2026, 10, 3, 16, 0, 0, 0, time.UTC), time.Date(2025, 10, 26, 1, 0, 0, 0, time.UTC),
	}).Draw(t, label+" near")
	span := int64(48 * time.Hour)
	if rapid.Bool().Draw(t, label+" anywhere") {
		span = int64(300 * 24 * time.Hour)
	}
	offset := rapid.Int64Range(0, span).Draw(t, label)
	if rapid.Bool().Draw(t, label+" on the minute") {
		offset -= offset % int64(time.Minute)
	}
	return base.Add(time.Duration(offset))
}

func TestWorkingTimeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, from := anySchedule(t), anyTime(t, "from")
		work := time.Duration(rapid.Int64Range(1, int64(60*time.Hour)).Draw(t, "work"))
		end, ok := s.After(from, work)
		if !ok {
			if total := s.Between(from, from.Add(farthest)); total >= work && s.Calendars == nil {
				t.Fatalf("%v of work found no end within %v of it", work, total)
			}
			return
		}
		if end.Sub(from) < work || end.Sub(from) > farthest {
			t.Fatalf("%v of work are done %v later", work, end.Sub(from))
		}
		if got := s.Between(from, end); got != work {
			t.Fatalf("until %v it is %v of work, not %v", end, got, work)
		}
		// The end is in working time, and no earlier instant will do.
		if got := s.Between(end.Add(-1), end); got != 1 {
			t.Fatalf("%v ends outside working time", end.In(s.Zone))
		}
		more := time.Duration(rapid.Int64Range(1, int64(20*time.Hour)).Draw(t, "more"))
		if later, ok := s.After(from, work+more); ok && !later.After(end) {
			t.Fatalf("%v more work ends at %v, before %v", more, later, end)
		}
		if next, ok := s.After(from.Add(more), work); ok && next.Before(end) {
			t.Fatalf("who comes %v later is answered earlier, at %v", more, next)
		}
	})
}

func TestBetweenIsTheClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySchedule(t)
		from := anyTime(t, "from").Truncate(time.Minute)
		to := from.Add(time.Duration(rapid.IntRange(0, 5*24*60).Draw(t, "minutes")) * time.Minute)
		if got, want := s.Between(from, to), onTheClock(s, from, to); got != want {
			t.Fatalf("from %v to %v: %v; minute by minute %v", from.In(s.Zone), to.In(s.Zone), got, want)
		}
		middle := from.Add(time.Duration(rapid.Int64Range(0, int64(to.Sub(from))).Draw(t, "middle")))
		if got := s.Between(from, middle) + s.Between(middle, to); got != s.Between(from, to) {
			t.Fatalf("in two parts it is %v", got)
		}
		if got := s.Between(to, from); got != 0 {
			t.Fatalf("backwards it is %v", got)
		}
	})
}

// TestInstantIsOnTheClock: the instant of a clock time shows that time, the last time it does, unless the clock skips it.
func TestInstantIsOnTheClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, from := anySchedule(t), anyTime(t, "from")
		d, minute := DateOf(from.In(s.Zone)), rapid.IntRange(0, fullDay).Draw(t, "minute")
		shows := func(at time.Time) bool {
			local := at.In(s.Zone)
			return d.midnight().Add(time.Duration(minute)*time.Minute) == time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), local.Second(), local.Nanosecond(), time.UTC)
		}
		got := s.instant(d, minute)
		start, _ := got.In(s.Zone).ZoneBounds()
		if !shows(got) && !start.Equal(got) {
			t.Fatalf("%v %d is %v", d, minute, got.In(s.Zone))
		}
		for _, jump := range []time.Duration{30 * time.Minute, time.Hour} {
			if shows(got.Add(jump)) {
				t.Fatalf("%v %d is %v, and again %v later", d, minute, got.In(s.Zone), jump)
			}
		}
	})
}

func TestZeroSchedule(t *testing.T) {
	var s Schedule
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	if got, ok := s.After(now, time.Hour); ok {
		t.Errorf("nobody works, and is done at %v", got)
	}
	if got := s.Between(now, now.AddDate(1, 0, 0)); got != 0 {
		t.Errorf("nobody works %v", got)
	}
	s.Calendars = []*Calendar{nil}
	s.Promise(now, time.Hour)
}

func BenchmarkAfter(b *testing.B) {
	for _, c := range []struct {
		name, zone string
		work       time.Duration
	}{{"8h", "Asia/Shanghai", 8 * time.Hour}, {"8h New York", "America/New_York", 8 * time.Hour}, {"40h", "Asia/Shanghai", 40 * time.Hour}, {"60 days", "Asia/Shanghai", 1000 * time.Hour}} {
		b.Run(c.name, func(b *testing.B) {
			s := shop(b)
			s.Zone = zone(b, c.zone)
			s.Closed = []Date{{2026, 12, 31}, {2026, 12, 30}}
			from := at(b, "2026-03-06 16:00", s.Zone)
			b.ReportAllocs()
			for b.Loop() {
				s.After(from, c.work)
			}
		})
	}
}

func BenchmarkPromise(b *testing.B) {
	s := shop(b)
	from := at(b, "2026-09-30 16:00", s.Zone)
	b.ReportAllocs()
	for b.Loop() {
		s.Promise(from, 8*time.Hour)
	}
}

func BenchmarkWords(b *testing.B) {
	s := shop(b)
	p := s.Promise(at(b, "2026-09-30 16:00", s.Zone), 8*time.Hour)
	reader := zone(b, "America/New_York")
	b.ReportAllocs()
	for b.Loop() {
		p.Words("en", reader)
	}
}
