// Package promise says when a person will answer, and in which words. It knows a firm's working hours in its zone,
// holidays and make-up workdays, and dates the owner has closed or opened; it counts working time over all of these
// and turns a response time into a date that can be kept: rounded up, never down.
//
// Calendars follow RFC 5545: §3.3.4 a DATE has no zone, §3.3.10 recurrence rules, §3.6.1 an exclusive DTEND,
// §3.8.1.11 cancelled events.
//
// Where there is no basis for a time (no hours, a year whose holidays nobody has listed, too far ahead) no time is
// named: the promise then holds a date by which more will be said, and the reason. Files that cannot be understood are
// errors with a sentence; nothing here panics, reads a clock, or does I/O.
package promise

import (
	"time"
)

// Reason is why no time can be named; empty when one is.
type Reason string

const (
	ReasonNoResponseTime Reason = "no-response-time" // no working time to answer within is given
	ReasonNoHours        Reason = "no-hours"         // nobody ever works
	ReasonUnknownYear    Reason = "unknown-year"     // the way leads through a year no calendar knows
	ReasonTooFar         Reason = "too-far"          // more than 60 days ahead
)

// Promise is a time by which a person should have answered, or the reason why there is none.
type Promise struct {
	By       time.Time      // UTC, a whole minute on the firm's clock; zero: no basis for a time
	FollowUp time.Time      // only when By is zero: the end of the day (firm's zone) by which we will say more
	Reason   Reason         // only when By is zero
	Closure  *Closure       // the holiday or closed stretch that makes it take so long; nil if none
	WorkDays int            // working days after the arrival's up to and with By's; 0: the same day
	Zone     *time.Location // the firm's
	Made     time.Time      // the arrival it counts from
}

// Closure is a stretch of days without work between an arrival and its answer that is more than an ordinary weekend.
type Closure struct {
	Name     string // of the holiday; empty when the firm itself is closed
	From, To Date   // both closed
	Resumes  Date   // the next working day
	MakeUp   []Date // make-up workdays after the arrival, up to a week after the closure
}

const (
	followUpDays = 4  // working days until we say more
	longestRun   = 60 // days a closure is followed back
	noon         = 12 * hour
)

// Promise counts the working time from the arrival and rounds up: on the day of the arrival to the next full hour, on
// a later day to noon or to the end of the working day; but not past that end.
func (s *Schedule) Promise(arrived time.Time, within time.Duration) Promise {
	switch {
	case within <= 0:
		return s.noBasis(arrived, ReasonNoResponseTime)
	case s.Week.empty():
		return s.noBasis(arrived, ReasonNoHours)
	}
	exact, on, reason := s.after(arrived, within)
	if reason != "" {
		return s.noBasis(arrived, reason)
	}
	return s.told(arrived, exact, on)
}

// told is the promise for an answer at the exact instant, which lies in the working time of the given date.
func (s *Schedule) told(arrived, exact time.Time, on Date) Promise {
	made := DateOf(arrived.In(s.zone()))
	return Promise{
		By:       s.roundUp(exact, on, on == made).UTC(),
		Closure:  s.closure(made, on),
		WorkDays: s.workDays(made, on),
		Zone:     s.zone(),
		Made:     arrived,
	}
}

func (s *Schedule) roundUp(exact time.Time, on Date, today bool) time.Time {
	local := exact.In(s.zone())
	minute := local.Hour()*hour + local.Minute()
	if local.Second() > 0 || local.Nanosecond() > 0 {
		minute++
	}
	if DateOf(local) != on { // 24:00
		minute = fullDay
	}
	target := noon
	if today {
		target = (minute + hour - 1) / hour * hour
	}
	hours := s.Day(on).Hours
	if end := hours[len(hours)-1].To; minute > target || target > end {
		target = end
	}
	// The clock has yet to show the target when it is the exact time, also where it shows it twice: instant takes the later.
	return s.instant(on, target)
}

// workDays counts the working days after one date up to and with another.
func (s *Schedule) workDays(after, until Date) int {
	n := 0
	for d := after; d.Before(until); {
		if d = d.AddDays(1); len(s.Day(d).Hours) > 0 {
			n++
		}
	}
	return n
}

// closure is the longest stretch of days without work that begins or goes on between two dates and is more than an
// ordinary weekend: on one of its days people would work if it were not a holiday or closed, and it is a named holiday
// or longer than a day.
func (s *Schedule) closure(arrived, until Date) *Closure {
	from := arrived
	for range longestRun { // an arrival within a closure belongs to the whole of it
		before := s.Day(from.AddDays(-1))
		if len(s.Day(from).Hours) > 0 || len(before.Hours) > 0 || before.Why == WhyUnknown {
			break
		}
		from = from.AddDays(-1)
	}
	var longest, run Closure
	missed := false // a working day of the week lies in the run
	for d := from; !until.Before(d); d = d.AddDays(1) {
		day := s.Day(d)
		if len(day.Hours) == 0 {
			if run.From.IsZero() {
				run.From = d
			}
			if len(s.Week[d.Weekday()]) > 0 {
				missed = true
				if run.Name == "" {
					run.Name = day.Name
				}
			}
			run.To = d
			continue
		}
		if missed && (run.Name != "" || run.From != run.To) && run.length() > longest.length() {
			longest = run
			longest.Resumes = d
		}
		run, missed = Closure{}, false
	}
	if longest.From.IsZero() {
		return nil
	}
	longest.MakeUp = s.makeUps(arrived, longest.Resumes)
	return &longest
}

func (c Closure) length() int {
	if c.From.IsZero() {
		return 0
	}
	return c.From.daysUntil(c.To) + 1
}

// makeUps lists the make-up workdays after an arrival, up to a week after work resumes: who sees an office closed for a
// week should know that the Saturday after it is worked.
func (s *Schedule) makeUps(arrived, resumes Date) []Date {
	var all []Date
	for d := arrived.AddDays(1); d.Before(resumes.AddDays(7)); d = d.AddDays(1) {
		if s.Day(d).Why == WhyMakeUp {
			all = append(all, d)
		}
	}
	return all
}

// noBasis promises no time but a date by which more will be said: a few working days ahead, or the last working day
// whose year is known. A firm without hours is taken to work from Monday to Friday here.
func (s *Schedule) noBasis(arrived time.Time, reason Reason) Promise {
	made := DateOf(arrived.In(s.zone()))
	week := *s
	if s.Week.empty() {
		for day := time.Monday; day <= time.Friday; day++ {
			week.Week[day] = []Interval{{0, fullDay}}
		}
	}
	follow := made.AddDays(7) // where nothing is worked for two months
	known := false            // a working day ahead is
	for d, found := made, 0; found < followUpDays && made.daysUntil(d) < longestRun; {
		d = d.AddDays(1)
		day := week.Day(d)
		if day.Why == WhyUnknown && known {
			break
		}
		if len(day.Hours) > 0 {
			found++
			follow, known = d, day.Why != WhyUnknown
		}
	}
	return Promise{
		FollowUp: s.instant(follow, fullDay).UTC(),
		Reason:   reason,
		Zone:     s.zone(),
		Made:     arrived,
	}
}
