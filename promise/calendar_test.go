package promise

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestChinaDayByDay holds every day of the built-in years against the files themselves, read another way.
func TestChinaDayByDay(t *testing.T) {
	s := shop(t)
	if got := China().Years(); !slices.Equal(got, []int{2024, 2025, 2026}) {
		t.Fatalf("it knows the years %v", got)
	}
	for _, year := range China().Years() {
		off := map[string]bool{}
		data, err := os.ReadFile(fmt.Sprintf("holidays-cn/%d.json", year))
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Days []struct {
				Date     string
				IsOffDay bool
			}
		}
		if err := json.Unmarshal(data, &file); err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Days {
			off[d.Date] = d.IsOffDay
		}
		for d := (Date{year, 1, 1}); d.Year == year; d = d.AddDays(1) {
			isOff, named := off[d.String()]
			got := s.Day(d)
			switch want := s.Week[d.Weekday()]; {
			case named && isOff:
				if got.Why != WhyHoliday || len(got.Hours) > 0 || got.Name == "" {
					t.Errorf("%v is a holiday, not %+v", d, got)
				}
			case named:
				if got.Why != WhyMakeUp || !slices.Equal(got.Hours, s.Week[1]) || got.Name == "" {
					t.Errorf("%v is worked like a Monday, not %+v", d, got)
				}
			case got.Why != WhyWeek || !slices.Equal(got.Hours, want):
				t.Errorf("%v is an ordinary %v, not %+v", d, d.Weekday(), got)
			}
		}
	}
}

// TestChinaICSAgrees reads the same year's decree from the .ics its makers publish.
func TestChinaICSAgrees(t *testing.T) {
	data, err := os.ReadFile("holidays-cn/2026.ics")
	if err != nil {
		t.Fatal(err)
	}
	ics, err := ReadICS("2026.ics", data)
	if err != nil {
		t.Fatal(err)
	}
	fromJSON, fromICS := shop(t), shop(t)
	fromICS.Calendars = []*Calendar{ics}
	for d := (Date{2026, 1, 1}); d.Year == 2026; d = d.AddDays(1) {
		a, b := fromJSON.Day(d), fromICS.Day(d)
		if a.Why != b.Why || !slices.Equal(a.Hours, b.Hours) {
			t.Errorf("%v: JSON says %+v, .ics says %+v", d, a, b)
		}
	}
	for year, known := range map[int]bool{2025: false, 2026: true, 2027: false} {
		if fromICS.Knows(year) != known {
			t.Errorf("the .ics of 2026 knows %d: %v", year, !known)
		}
	}
}

const (
	file2027 = `{"year":2027,"days":[{"name":"元旦","date":"2026-12-31","isOffDay":true},{"name":"元旦","date":"2027-01-01","isOffDay":true},
		{"name":"元旦","date":"2027-01-03","isOffDay":false}]}`
	empty2027 = `{"year":2027,"papers":[],"days":[]}`
)

func TestNextYearsFileMaySetDecember(t *testing.T) {
	old, err := os.ReadFile("holidays-cn/2026.json")
	if err != nil {
		t.Fatal(err)
	}
	one, err := ReadHolidayJSON("both", []byte(file2027), old)
	if err != nil {
		t.Fatal(err)
	}
	next := mustJSON(t, "next", file2027)
	for name, calendars := range map[string][]*Calendar{
		"in one calendar":   {one},
		"after the old one": {China(), next},
		"before it":         {next, China()},
	} {
		s := shop(t)
		s.Calendars = calendars
		if got := s.Day(day(t, "2026-12-31")); got.Why != WhyHoliday {
			t.Errorf("%s: December 31 is %+v", name, got)
		}
		if got := s.Day(day(t, "2027-01-03")); got.Why != WhyMakeUp {
			t.Errorf("%s: January 3 is %+v", name, got)
		}
		if got := s.Day(day(t, "2026-10-01")); got.Why != WhyHoliday {
			t.Errorf("%s: October 1 is %+v", name, got)
		}
	}
	alone := shop(t)
	alone.Calendars = []*Calendar{next}
	if alone.Knows(2026) || !alone.Knows(2027) {
		t.Error("a day in December does not make the old year known")
	}
}

func TestANewerFileReplacesItsYear(t *testing.T) {
	newer := `{"year":2026,"days":[{"name":"国庆节","date":"2026-10-02","isOffDay":true}]}`
	s := shop(t)
	s.Calendars = append(s.Calendars, mustJSON(t, "newer", newer))
	if got := s.Day(day(t, "2026-10-01")); got.Why != WhyWeek {
		t.Errorf("the newer file moved the holiday, October 1 is %+v", got)
	}
	if got := s.Day(day(t, "2026-10-02")); got.Why != WhyHoliday {
		t.Errorf("October 2 is %+v", got)
	}
	if got := s.Day(day(t, "2025-10-01")); got.Why != WhyHoliday {
		t.Errorf("the other years stay, October 1, 2025 is %+v", got)
	}
	replaced, err := ReadHolidayJSON("two", []byte(strings.Replace(newer, "10-02", "10-03", 1)), []byte(newer))
	if err != nil || len(replaced.days) != 1 || replaced.days[day(t, "2026-10-02")].makeUp {
		t.Errorf("of two files for a year the later counts: %v, %v", replaced, err)
	}
}

func TestAnEmptyYearIsUnknown(t *testing.T) {
	s := shop(t)
	s.Calendars = append(s.Calendars, mustJSON(t, "empty", empty2027))
	if s.Knows(2027) || s.Knows(2023) || !s.Knows(2026) {
		t.Error("a year without days is unknown")
	}
	if got := s.Day(day(t, "2027-01-04")); got.Why != WhyUnknown {
		t.Errorf("a day of it is %+v", got)
	}
	if s.Calendars = nil; !s.Knows(2027) {
		t.Error("without calendars the week says all there is")
	}
}

// TestOwnCalendarTellsNothingOfDecrees: a firm's own .ics that reaches into next year must not stand in for the
// holidays that have not been decreed yet.
func TestOwnCalendarTellsNothingOfDecrees(t *testing.T) {
	own := mustICS(t, event("SUMMARY:Stocktaking", "DTSTART;VALUE=DATE:20270105", "DTEND;VALUE=DATE:20270107"))
	s := shop(t)
	s.Calendars = []*Calendar{China(), own}
	if s.Knows(2027) {
		t.Error("2027 is known by a stocktaking")
	}
	decree := mustICS(t, event("SUMMARY:元旦假期", "DTSTART;VALUE=DATE:20270101")+event("SUMMARY:上班(补元旦假期)", "DTSTART;VALUE=DATE:20270103"))
	if s.Calendars = []*Calendar{China(), own, decree}; !s.Knows(2027) {
		t.Error("holidays with their make-up workdays are a decree in an .ics as well")
	}
	if s.Calendars = []*Calendar{own}; !s.Knows(2027) || s.Knows(2026) {
		t.Error("alone it knows the years it lists")
	}
}

func TestReadHolidayJSONRefuses(t *testing.T) {
	for data, want := range map[string]string{
		``:                          "not a holiday file",
		`[]`:                        "not a holiday file",
		`{}`:                        "its year is 0",
		`{"year":20260}`:            "its year is 20260",
		`{"year":2026,"days":[{}]}`: "has no date",
		`{"year":2026,"days":[{"date":"2026-02-30","isOffDay":true}]}`:                                        "is not a date",
		`{"year":2026,"days":[{"date":"2026-02-03"}]}`:                                                        "does not say isOffDay",
		`{"year":2026,"days":[{"date":"2025-11-30","isOffDay":true}]}`:                                        "not a day of 2026",
		`{"year":2026,"days":[{"date":"2027-01-01","isOffDay":true}]}`:                                        "not a day of 2026",
		`{"year":2026,"days":[{"date":"2026-01-01","isOffDay":true},{"date":"2026-01-01","isOffDay":false}]}`: "listed twice",
		`{"year":2026,"days":[` + strings.Repeat(`{"date":"2026-01-01","isOffDay":true},`, 1001) + `{}]}`:     "lists 1002 days",
		`{"year":2026,"days":[]` + strings.Repeat(" ", maxHolidayFile) + `}`:                                  "larger than",
	} {
		if c, err := ReadHolidayJSON("x.json", []byte(data)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, %v; want an error with %q", data, c, err, want)
		}
	}
}

func FuzzReadHolidayJSON(f *testing.F) {
	names, err := filepath.Glob("holidays-cn/*.json")
	if err != nil || len(names) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(empty2027))
	f.Add([]byte(`{"year":2027,"days":[{"name":"\u0000\n\u2028a","date":"2027-01-01","isOffDay":true}]}`))
	f.Add([]byte(file2027))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ReadHolidayJSON("fuzz", []byte(file2027), data)
		if err != nil {
			return
		}
		for d, m := range c.days {
			if d.Year < firstYear-1 || d.Year > lastYear || strings.ContainsAny(m.name, "\x00\r\n") {
				t.Fatalf("%v is %q", d, m.name)
			}
		}
		for _, year := range c.Years() {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(c.days)), func(d Date) bool { return d.Year == year }) {
				t.Fatalf("%d is known without a day", year)
			}
		}
	})
}

func mustJSON(t testing.TB, name string, files ...string) *Calendar {
	t.Helper()
	var data [][]byte
	for _, f := range files {
		data = append(data, []byte(f))
	}
	c, err := ReadHolidayJSON(name, data...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
