package promise

import (
	"iter"
	"slices"
	"time"
)

// Schedule says when people answer: the hours of the week in a zone, and what the calendars and the firm's own closed
// and open dates change about them.
type Schedule struct {
	Zone         *time.Location // nil: UTC
	Week         Week
	Calendars    []*Calendar
	Closed, Open []Date
}

// Why is what decided a day's hours.
type Why string

const (
	WhyClosed  Why = "closed"  // the firm said so
	WhyOpen    Why = "open"    // the firm said so
	WhyMakeUp  Why = "make-up" // a make-up workday (调休) of a calendar
	WhyHoliday Why = "holiday" // a day off of a calendar
	WhyWeek    Why = "week"    // an ordinary day of the week
	WhyUnknown Why = "unknown" // the calendars do not know the year; the hours are the week's
)

// Day is what the schedule says of one date.
type Day struct {
	Hours []Interval
	Why   Why
	Name  string // of the holiday, or of the one a make-up workday belongs to
}

// Day judges a date. The first of these that says something decides:
//
//  1. a closed date, even if it is open as well: whoever writes both is believed where a promise is safer;
//  2. an open date: the weekday's own hours, or an ordinary weekday's where it has none or is a make-up workday;
//  3. a year no calendar knows: unknown;
//  4. a make-up workday: an ordinary weekday's hours (see Week.ordinary), not the few of a Saturday;
//  5. a holiday: none;
//  6. the week, without the hours an event takes.
func (s *Schedule) Day(d Date) Day {
	if slices.Contains(s.Closed, d) {
		return Day{Why: WhyClosed}
	}
	weekday := d.Weekday()
	said, marked := s.marked(d)
	if slices.Contains(s.Open, d) {
		hours := s.Week[weekday]
		if len(hours) == 0 || marked && said.makeUp {
			hours = s.Week.ordinary(weekday)
		}
		return Day{Hours: hours, Why: WhyOpen}
	}
	switch {
	case !s.Knows(d.Year):
		return Day{Hours: s.Week[weekday], Why: WhyUnknown}
	case marked && said.makeUp:
		return Day{Hours: s.Week.ordinary(weekday), Why: WhyMakeUp, Name: said.name}
	case marked:
		return Day{Why: WhyHoliday, Name: said.name}
	}
	return s.ordinaryDay(d, weekday)
}

func (s *Schedule) ordinaryDay(d Date, weekday time.Weekday) Day {
	day := Day{Hours: s.Week[weekday], Why: WhyWeek}
	for _, c := range s.Calendars {
		if c == nil {
			continue
		}
		for _, a := range c.away[d] {
			if taken, ok := a.minutesAway(d, s.zone()); ok && len(day.Hours) > 0 {
				if day.Hours = without(day.Hours, taken); len(day.Hours) == 0 {
					day.Why = WhyHoliday
				}
			}
		}
	}
	return day
}

// marked is what the calendars say of a date. Of the calendars that state whole years (the built-in one and holiday
// JSON) the last that knows the year speaks for it, so a newer file replaces the built-in; one for the next year may
// add to December. An .ics adds to what the others say. Among them a make-up workday beats a holiday.
func (s *Schedule) marked(d Date) (said mark, ok bool) {
	spoken := false
	for _, c := range slices.Backward(s.Calendars) {
		if c == nil || c.whole && c.years[d.Year] && spoken {
			continue
		}
		if c.whole && c.years[d.Year] {
			spoken = true
		}
		if m, has := c.days[d]; has && (!ok || m.makeUp && !said.makeUp) {
			said, ok = m, true
		}
	}
	return said, ok
}

// Knows reports whether the schedule can say what it means for a day to lie in the year. Without calendars every year
// is as good as any. Otherwise one of them must know it; and where a country's decrees are configured (the built-in
// calendar or holiday JSON), it must be a calendar that states those: a firm's own .ics that reaches into next year
// tells nothing about next year's holidays.
func (s *Schedule) Knows(year int) bool {
	known, decreed, whole := false, false, false
	for _, c := range s.Calendars {
		if c != nil {
			known = known || c.years[year]
			decreed = decreed || c.decrees[year]
			whole = whole || c.whole
		}
	}
	return len(s.Calendars) == 0 || decreed || known && !whole
}

func (s *Schedule) zone() *time.Location {
	if s.Zone == nil {
		return time.UTC
	}
	return s.Zone
}

// farthest is how far ahead anything is promised.
const farthest = 60 * 24 * time.Hour

// After is the instant at which so much working time has passed since from. It is false when the way there leads
// through a year no calendar knows, or further than 60 days. Without work to do it is from itself.
//
// Working time is when the firm's clock shows it: an hour that the clock shows twice counts twice, one it skips never.
func (s *Schedule) After(from time.Time, work time.Duration) (time.Time, bool) {
	at, _, reason := s.after(from, work)
	return at, reason == ""
}

// after is After with the date on which the work ends (which at 24:00 is not the date the clock shows), and with the
// reason when there is no answer.
func (s *Schedule) after(from time.Time, work time.Duration) (time.Time, Date, Reason) {
	if work <= 0 {
		return from.UTC(), DateOf(from.In(s.zone())), ""
	}
	limit := from.Add(farthest)
	for sp := range s.spans(from, limit) {
		if sp.unknown {
			return time.Time{}, Date{}, ReasonUnknownYear
		}
		if available := sp.end.Sub(sp.start); work > available {
			work -= available
			continue
		}
		return sp.start.Add(work).UTC(), sp.date, ""
	}
	return time.Time{}, Date{}, ReasonTooFar
}

// Between is the working time from a to b, zero when b is not after a. Days of unknown years count by the week, so that
// history from before the calendars can be measured.
func (s *Schedule) Between(a, b time.Time) time.Duration {
	var total time.Duration
	for sp := range s.spans(a, b) {
		total += sp.end.Sub(sp.start)
	}
	return total
}

// span is a stretch of working time on one date; an empty one with unknown set stands before those of a date in an
// unknown year.
type span struct {
	start, end time.Time
	date       Date
	unknown    bool
}

const secondsADay = 24 * 60 * 60

// spans yields the working time between two instants in order. It goes from one change of the clock to the next, and
// within such a stretch, where local time runs evenly, from date to date: so nothing is lost or counted twice where
// the clock jumps, even when it jumps back over midnight.
func (s *Schedule) spans(from, to time.Time) iter.Seq[span] {
	return func(yield func(span) bool) {
		for from.Before(to) {
			local := from.In(s.zone())
			_, offset := local.Zone()
			_, end := local.ZoneBounds()
			if end.IsZero() || end.After(to) {
				end = to
			}
			if !s.stretch(from, end, int64(offset), yield) {
				return
			}
			from = end
		}
	}
}

// stretch yields the working time between two instants of the same offset from UTC.
func (s *Schedule) stretch(from, to time.Time, offset int64, yield func(span) bool) bool {
	first := from.Unix() + offset
	day := (first - (first%secondsADay+secondsADay)%secondsADay)
	date := DateOf(time.Unix(day, 0).UTC())
	for midnight := time.Unix(day-offset, 0); midnight.Before(to); midnight, date = midnight.Add(24*time.Hour), date.AddDays(1) {
		judged := s.Day(date)
		if judged.Why == WhyUnknown && !yield(span{start: from, end: from, date: date, unknown: true}) {
			return false
		}
		for _, in := range judged.Hours {
			sp := span{
				start: midnight.Add(time.Duration(in.From) * time.Minute),
				end:   midnight.Add(time.Duration(in.To) * time.Minute),
				date:  date,
			}
			if sp.start.Before(from) {
				sp.start = from
			}
			if sp.end.After(to) {
				sp.end = to
			}
			if sp.start.Before(sp.end) && !yield(sp) {
				return false
			}
		}
	}
	return true
}

// instant is when the firm's clock shows the given minute of a date: the later time where it shows it twice, the end
// of the jump where it never does.
func (s *Schedule) instant(d Date, minute int) time.Time {
	t := time.Date(d.Year, d.Month, d.Day, 0, minute, 0, 0, s.zone())
	start, end := t.ZoneBounds()
	_, offset := t.Zone()
	wanted := d.midnight().Add(time.Duration(minute) * time.Minute).Unix()
	switch shown := t.Unix() + int64(offset); {
	case shown > wanted:
		return start
	case shown < wanted:
		return end
	case end.IsZero():
		return t
	}
	_, next := end.Zone()
	if again := t.Add(time.Duration(offset-next) * time.Second); !again.Before(end) {
		return again
	}
	return t
}
