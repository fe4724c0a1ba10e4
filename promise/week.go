package promise

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Interval is a stretch of one day in which people work, in minutes since local midnight: 0 ≤ From < To ≤ 1440.
type Interval struct{ From, To int }

// Week holds the working intervals of every day, by time.Weekday; those of a day are in order and do not touch.
type Week [7][]Interval

const (
	hour    = 60      // in minutes, as Interval counts
	fullDay = 24 * 60 // 24:00, the end of a day
)

var dayNames = [7]string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

// ParseDays reads the days a line of hours is for: "mon-fri", "sat", "sun,wed", and "sat-mon" across the end of the
// week. Names may be written out. Days come in the order written, each once.
func ParseDays(key string) ([]time.Weekday, error) {
	var days []time.Weekday
	for part := range strings.SplitSeq(key, ",") {
		from, to, isRange := strings.Cut(part, "-")
		first, err := parseDay(from)
		if err != nil {
			return nil, err
		}
		last := first
		if isRange {
			if last, err = parseDay(to); err != nil {
				return nil, err
			}
		}
		for day := first; ; day = (day + 1) % 7 {
			if !slices.Contains(days, day) {
				days = append(days, day)
			}
			if day == last {
				break
			}
		}
	}
	return days, nil
}

func parseDay(s string) (time.Weekday, error) {
	name := strings.ToLower(strings.TrimSpace(s))
	for i, full := range dayNames {
		if name == full || name == full[:3] {
			return time.Weekday(i), nil
		}
	}
	return 0, fmt.Errorf("%q is not a day of the week; write mon, tue, wed, thu, fri, sat or sun, or a range such as mon-fri", shorten(s))
}

// ParseIntervals reads the hours of a day: "09:00-12:00 13:30-18:00", "24h", or "closed". Intervals come back in order;
// those that touch become one. An interval cannot pass midnight: which day it would belong to when only one of the
// two is a holiday cannot be said, so it is written as two.
func ParseIntervals(s string) ([]Interval, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "closed":
		return nil, nil
	case "24h":
		return []Interval{{0, fullDay}}, nil
	case "":
		return nil, fmt.Errorf("no hours are given; write 09:00-18:00, 24h or closed")
	}
	var all []Interval
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' }) {
		in, err := parseInterval(part)
		if err != nil {
			return nil, err
		}
		all = append(all, in)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%q holds no hours; write 09:00-18:00, 24h or closed", shorten(s))
	}
	slices.SortFunc(all, func(a, b Interval) int { return a.From - b.From })
	merged := all[:1]
	for _, in := range all[1:] {
		last := &merged[len(merged)-1]
		switch {
		case in.From < last.To:
			return nil, fmt.Errorf("the hours %s and %s overlap", *last, in)
		case in.From == last.To:
			last.To = in.To
		default:
			merged = append(merged, in)
		}
	}
	return merged, nil
}

func parseInterval(s string) (Interval, error) {
	from, to, ok := strings.Cut(strings.ReplaceAll(s, "–", "-"), "-")
	if !ok {
		return Interval{}, fmt.Errorf("%q is not an interval; write it as 09:00-18:00", shorten(s))
	}
	a, err := parseClock(from)
	if err != nil {
		return Interval{}, err
	}
	b, err := parseClock(to)
	if err != nil {
		return Interval{}, err
	}
	switch {
	case a == b:
		return Interval{}, fmt.Errorf("the hours %s begin and end at the same time; a whole day is written 24h", s)
	case a > b && b == 0:
		return Interval{}, fmt.Errorf("the hours %s end at the start of the day; midnight at its end is written 24:00", s)
	case a > b:
		return Interval{}, fmt.Errorf("the hours %s pass midnight; write %s for this day and %s for the next",
			s, Interval{a, fullDay}, Interval{0, b})
	}
	return Interval{a, b}, nil
}

// parseClock reads 9:00, 09:00 or 24:00 as minutes since midnight.
func parseClock(s string) (int, error) {
	h, m, ok := strings.Cut(s, ":")
	if ok && (len(h) == 1 || len(h) == 2) && len(m) == 2 {
		hours, errH := strconv.ParseUint(h, 10, 8)
		minutes, errM := strconv.ParseUint(m, 10, 8)
		if at := int(hours)*hour + int(minutes); errH == nil && errM == nil && minutes < 60 && at <= fullDay {
			return at, nil
		}
	}
	return 0, fmt.Errorf("%q is not a time of day; write hours and minutes from 00:00 to 24:00", shorten(s))
}

// String writes the interval as ParseIntervals reads it.
func (in Interval) String() string { return clock24(in.From) + "-" + clock24(in.To) }

// clock24 writes minutes since midnight as 09:30.
func clock24(minute int) string { return fmt.Sprintf("%02d:%02d", minute/hour, minute%hour) }

// without is what remains of the hours when people are away during the given interval.
func without(hours []Interval, away Interval) []Interval {
	var left []Interval
	for _, in := range hours {
		if before := (Interval{in.From, min(in.To, away.From)}); before.From < before.To {
			left = append(left, before)
		}
		if after := (Interval{max(in.From, away.To), in.To}); after.From < after.To {
			left = append(left, after)
		}
	}
	return left
}

// empty reports whether nobody ever works.
func (w *Week) empty() bool {
	for _, hours := range w {
		if len(hours) > 0 {
			return false
		}
	}
	return true
}

// ordinary is an ordinary weekday's hours, for a day that is worked although the week does not say so: the day's own
// if it is one of Monday to Friday and has any, else those of the first of Monday to Friday that has. A firm that
// never works on weekdays has the day's own hours, or the first there are.
func (w *Week) ordinary(day time.Weekday) []Interval {
	if day != time.Saturday && day != time.Sunday && len(w[day]) > 0 {
		return w[day]
	}
	for d := time.Monday; d <= time.Friday; d++ {
		if len(w[d]) > 0 {
			return w[d]
		}
	}
	if len(w[day]) > 0 {
		return w[day]
	}
	if len(w[time.Saturday]) > 0 {
		return w[time.Saturday]
	}
	return w[time.Sunday]
}
