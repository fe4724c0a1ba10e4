package promise

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Calendar holds days off and make-up workdays with their names, and the years it has something to say about. A year
// in which it lists nothing is unknown to it, which is not the same as a year without holidays.
type Calendar struct {
	Name string

	days    map[Date]mark
	away    map[Date][]absence // by every date they may touch, in whatever zone
	years   map[int]bool       // the years it knows
	decrees map[int]bool       // those of them it states with their make-up workdays, as only a country's own calendar can
	whole   bool               // it states a year completely, so a later one for the same year replaces an earlier one
}

// mark is what a calendar says of a date.
type mark struct {
	makeUp bool // a workday although the week or a holiday says otherwise
	name   string
}

// absence is an event with times of day: people are away from one instant to the other, not the whole day.
// A floating one has no zone (RFC 5545 §3.3.5): its digits stand in UTC and are read on the firm's own clock.
type absence struct {
	from, to time.Time
	floating bool
}

func newCalendar(name string) *Calendar {
	return &Calendar{Name: name, days: map[Date]mark{}, away: map[Date][]absence{}, years: map[int]bool{}, decrees: map[int]bool{}}
}

// Years lists the years the calendar knows.
func (c *Calendar) Years() []int { return slices.Sorted(maps.Keys(c.years)) }

// set records what is said of a date; a make-up workday beats a holiday of the same date, whichever comes first.
func (c *Calendar) set(d Date, m mark) {
	if old, ok := c.days[d]; ok && old.makeUp && !m.makeUp {
		return
	}
	c.days[d] = m
}

// leave records an absence.
func (c *Calendar) leave(a absence) {
	last := DateOf(a.to.UTC()).AddDays(1)
	for d := DateOf(a.from.UTC()).AddDays(-1); !last.Before(d); d = d.AddDays(1) {
		c.away[d] = append(c.away[d], a)
	}
}

// minutesAway is the part of the date, on the zone's clock, that the absence takes.
func (a absence) minutesAway(d Date, zone *time.Location) (Interval, bool) {
	from, to := a.from, a.to
	if !a.floating {
		from, to = from.In(zone), to.In(zone)
	}
	in := Interval{0, fullDay}
	switch first := DateOf(from); {
	case d.Before(first):
		return Interval{}, false
	case d == first:
		in.From = from.Hour()*hour + from.Minute()
	}
	switch last := DateOf(to); {
	case last.Before(d):
		return Interval{}, false
	case d == last:
		in.To = to.Hour()*hour + to.Minute()
		if to.Second() > 0 {
			in.To++
		}
	}
	return in, in.From < in.To
}

// holidayFile is a year's file of NateScarlet/holiday-cn.
type holidayFile struct {
	Year int `json:"year"`
	Days []struct {
		Name     string `json:"name"`
		Date     Date   `json:"date"`
		IsOffDay *bool  `json:"isOffDay"`
	} `json:"days"`
}

const (
	maxHolidayFile = 1 << 20 // bytes
	maxHolidayDays = 1000
	firstYear      = 1900 // dates before and after are mistakes, not plans
	lastYear       = 2199
)

// ReadHolidayJSON reads year files in the format of NateScarlet/holiday-cn into one calendar. Each file states its year
// completely: of two for the same year the later one counts. A file may also set days of the December before its year
// (the State Council's notice for a year can), and is believed over that year's own file. A file without days of its
// own year leaves the year unknown.
func ReadHolidayJSON(name string, files ...[]byte) (*Calendar, error) {
	byYear := map[int]holidayFile{}
	for i, data := range files {
		f, err := parseHolidayFile(data)
		if err != nil {
			return nil, fmt.Errorf("calendar %s: file %d: %w", name, i+1, err)
		}
		byYear[f.Year] = f
	}
	c := newCalendar(name)
	c.whole = true
	for _, year := range slices.Sorted(maps.Keys(byYear)) {
		for _, day := range byYear[year].Days {
			c.days[day.Date] = mark{makeUp: !*day.IsOffDay, name: oneLine(day.Name)}
			if day.Date.Year == year {
				c.years[year], c.decrees[year] = true, true
			}
		}
	}
	return c, nil
}

func parseHolidayFile(data []byte) (holidayFile, error) {
	var f holidayFile
	if len(data) > maxHolidayFile {
		return f, fmt.Errorf("it is larger than %d KiB, too large for a year of holidays", maxHolidayFile>>10)
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return f, fmt.Errorf("it is not a holiday file: %w", err)
	}
	if f.Year < firstYear || f.Year > lastYear {
		return f, fmt.Errorf("its year is %d; it must be from %d to %d", f.Year, firstYear, lastYear)
	}
	if len(f.Days) > maxHolidayDays {
		return f, fmt.Errorf("it lists %d days; a year has fewer", len(f.Days))
	}
	seen := map[Date]bool{}
	for i, day := range f.Days {
		switch own := day.Date.Year == f.Year || day.Date.Year == f.Year-1 && day.Date.Month == time.December; {
		case day.Date.IsZero():
			return f, fmt.Errorf("day %d has no date", i+1)
		case !own:
			return f, fmt.Errorf("%s is not a day of %d or of the December before", day.Date, f.Year)
		case day.IsOffDay == nil:
			return f, fmt.Errorf("%s does not say isOffDay", day.Date)
		case seen[day.Date]:
			return f, fmt.Errorf("%s is listed twice", day.Date)
		}
		seen[day.Date] = true
	}
	return f, nil
}

// oneLine makes a name from a file fit to stand in a sentence: one line, nothing invisible, not endless.
func oneLine(s string) string {
	const most = 80
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return r == ' ' || r == utf8.RuneError || !unicode.IsPrint(r)
	}), " ")
	if r := []rune(s); len(r) > most {
		s = string(r[:most])
	}
	return s
}
