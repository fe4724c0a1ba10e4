package promise

import (
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/emersion/go-ical"
)

// rule is a recurrence rule (RFC 5545 §3.3.10) as far as closed days need one: by year, month, week or day. It is
// followed here rather than by a library because it comes from a file: every rule must come to its end, whatever it says.
type rule struct {
	start     Date
	freq      string
	interval  int
	count     int // 0: no limit
	months    []int
	monthDays []int // negative: from the month's end
	weekdays  []nthWeekday
	weekStart time.Weekday
}

// nthWeekday is a weekday, or with n the nth of the month or year, counted from its end when negative.
type nthWeekday struct {
	n   int
	day time.Weekday
}

const (
	horizon  = 2099 // rules without an end are followed to the end of this year
	maxParts = 100  // months, days and weekdays of a rule
)

// newRule reads an event's RRULE. What closes days never needs the parts that are refused here.
func newRule(props ical.Props, start Date) (*rule, error) {
	o, err := props.RecurrenceRule()
	if err != nil {
		return nil, err
	}
	r := &rule{
		start: start, freq: o.Freq.String(), interval: max(o.Interval, 1), count: max(o.Count, 0),
		months: o.Bymonth, monthDays: o.Bymonthday, weekStart: fromMonday(o.Wkst.Day()),
	}
	for _, w := range o.Byweekday {
		r.weekdays = append(r.weekdays, nthWeekday{w.N(), fromMonday(w.Day())})
	}
	if !slices.Contains([]string{"YEARLY", "MONTHLY", "WEEKLY", "DAILY"}, r.freq) {
		return nil, errors.New("it must repeat by day, week, month or year")
	}
	if len(o.Bysetpos)+len(o.Byyearday)+len(o.Byweekno)+len(o.Byeaster)+len(o.Byhour)+len(o.Byminute)+len(o.Bysecond) > 0 {
		return nil, errors.New("only BYMONTH, BYMONTHDAY and BYDAY are understood")
	}
	if len(r.months)+len(r.monthDays)+len(r.weekdays) > maxParts {
		return nil, errors.New("it lists more days than there can be")
	}
	r.complete()
	return r, nil
}

// fromMonday is a weekday counted from Monday, as the decoder does.
func fromMonday(n int) time.Weekday { return time.Weekday((n + 1) % 7) }

// complete takes from the start what the rule leaves out (RFC 5545 §3.3.10).
func (r *rule) complete() {
	if len(r.weekdays) > 0 || len(r.monthDays) > 0 {
		return
	}
	switch r.freq {
	case "YEARLY":
		if len(r.months) == 0 {
			r.months = []int{int(r.start.Month)}
		}
		r.monthDays = []int{r.start.Day}
	case "MONTHLY":
		r.monthDays = []int{r.start.Day}
	case "WEEKLY":
		r.weekdays = []nthWeekday{{day: r.start.Weekday()}}
	}
}

// dates yields the days after the start on which the rule repeats, in order, whatever its UNTIL says.
func (r *rule) dates() iter.Seq[Date] {
	return func(yield func(Date) bool) {
		found := 1 // the start itself is the first
		for d := r.start.AddDays(1); d.Year <= horizon && (r.count == 0 || found < r.count); {
			if len(r.months) > 0 && !slices.Contains(r.months, int(d.Month)) {
				d = DateOf(time.Date(d.Year, d.Month+1, 1, 0, 0, 0, 0, time.UTC))
				continue
			}
			if r.matches(d) {
				found++
				if !yield(d) {
					return
				}
			}
			d = d.AddDays(1)
		}
	}
}

func (r *rule) matches(d Date) bool {
	return r.period(d)%r.interval == 0 && r.monthDayMatches(d) && r.weekdayMatches(d)
}

// period counts the rule's years, months, weeks or days from the start to d.
func (r *rule) period(d Date) int {
	switch r.freq {
	case "YEARLY":
		return d.Year - r.start.Year
	case "MONTHLY":
		return (d.Year-r.start.Year)*12 + int(d.Month-r.start.Month)
	case "WEEKLY":
		intoWeek := (int(r.start.Weekday()) - int(r.weekStart) + 7) % 7
		return (r.start.daysUntil(d) + intoWeek) / 7
	}
	return r.start.daysUntil(d)
}

func (r *rule) monthDayMatches(d Date) bool {
	if len(r.monthDays) == 0 {
		return true
	}
	return slices.Contains(r.monthDays, d.Day) || slices.Contains(r.monthDays, d.Day-1-daysIn(d.Year, d.Month))
}

func (r *rule) weekdayMatches(d Date) bool {
	if len(r.weekdays) == 0 {
		return true
	}
	// Within a year the nth weekday counts in the year, but in the month when months are named.
	day, length := d.Day, daysIn(d.Year, d.Month)
	if r.freq == "YEARLY" && len(r.months) == 0 {
		day, length = d.midnight().YearDay(), Date{d.Year, time.December, 31}.midnight().YearDay()
	}
	for _, w := range r.weekdays {
		if w.day == d.Weekday() && (w.n == 0 || w.n == (day-1)/7+1 || w.n == -((length-day)/7+1)) {
			return true
		}
	}
	return false
}

func daysIn(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}
