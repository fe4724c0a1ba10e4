package promise

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-ical"
)

const (
	maxICS       = 4 << 20 // bytes of a file
	maxEvents    = 10_000  // events in it
	maxEventDays = 366     // days one event may last
	maxDays      = 100_000 // days all of them may take, repetitions included
	maxRules     = 200     // events that repeat
)

// makeUpSummary is how Chinese calendars name a make-up workday: 上班(补国庆节假期), 补班.
var makeUpSummary = regexp.MustCompile(`^(上班|补班)`)

// ruleUntil is the end of a repetition: a date is the whole of that day, which a parsed time no longer tells.
var ruleUntil = regexp.MustCompile(`\bUNTIL=([0-9TZ]+)`)

// ReadICS reads an iCalendar file (RFC 5545) as a calendar: an event is a time when people are away, unless its summary
// begins with 上班 or 补班 or matches one of the owner's patterns: then it is a make-up workday.
//
// An event with times takes just those hours, on the firm's own clock whatever zone it was written in. A year is known
// when an event or a repetition with an end begins in it. Repetitions without an end tell nothing about
// a year's decrees, so they make years known only in a file that has nothing else.
//
// A file that cannot be understood is an error, never a calendar with holes; cancelled events do not count.
func ReadICS(name string, data []byte, makeUp ...*regexp.Regexp) (*Calendar, error) {
	c := newCalendar(name)
	r := &icsReader{calendar: c, makeUp: append(slices.Clone(makeUp), makeUpSummary)}
	if err := r.read(data); err != nil {
		return nil, fmt.Errorf("calendar %s: %w", name, err)
	}
	if len(c.years) == 0 {
		c.years = r.endless
	}
	for year := range c.years {
		c.decrees[year] = r.worked[year] && r.off[year]
	}
	return c, nil
}

type icsReader struct {
	calendar    *Calendar
	makeUp      []*regexp.Regexp
	days, rules int                 // how many have been set and followed
	endless     map[int]bool        // years reached only by repetitions without an end
	worked, off map[int]bool        // years with make-up workdays, with days off
	zone        *time.Location      // the file's own (X-WR-TIMEZONE), in which its UTC times fall on dates; nil if none
	exceptions  map[string][]moment // repetitions that another event replaces, by UID
	zones       map[string]*time.Location
}

func (r *icsReader) read(data []byte) error {
	r.endless, r.worked, r.off = map[int]bool{}, map[int]bool{}, map[int]bool{}
	r.exceptions, r.zones = map[string][]moment{}, map[string]*time.Location{}
	clean, err := plainICS(data)
	if err != nil {
		return err
	}
	var events []ical.Event
	for dec, first := ical.NewDecoder(bytes.NewReader(clean)), true; ; first = false {
		file, err := dec.Decode()
		if err != nil && errors.Is(err, io.EOF) && !first {
			break
		}
		if err != nil {
			return fmt.Errorf("it is not a complete iCalendar file: %w", err)
		}
		if p := file.Props.Get("X-WR-TIMEZONE"); p != nil && r.zone == nil {
			r.zone = r.zoneByID(p.Value)
		}
		events = append(events, file.Events()...)
	}
	if len(events) > maxEvents {
		return fmt.Errorf("it holds %d events; at most %d can be read", len(events), maxEvents)
	}
	// An event with a RECURRENCE-ID takes the place of one repetition of the event with its UID (RFC 5545 §3.8.4.4).
	for _, e := range events {
		if p := e.Props.Get(ical.PropRecurrenceID); p != nil && uid(e) != "" {
			at, err := r.moment(p, p.Value)
			if err != nil {
				return fmt.Errorf("event %q: %w", summary(e), err)
			}
			r.exceptions[uid(e)] = append(r.exceptions[uid(e)], at)
		}
	}
	for _, e := range events {
		if err := r.event(e); err != nil {
			return fmt.Errorf("event %q: %w", summary(e), err)
		}
	}
	return nil
}

// event adds one event with all its repetitions.
func (r *icsReader) event(e ical.Event) error {
	if p := e.Props.Get(ical.PropStatus); p != nil && strings.EqualFold(strings.TrimSpace(p.Value), "CANCELLED") {
		return nil // RFC 5545 §3.8.1.11
	}
	p := e.Props.Get(ical.PropDateTimeStart)
	if p == nil {
		return errors.New("it has no DTSTART")
	}
	start, err := r.moment(p, p.Value)
	if err != nil {
		return err
	}
	length, err := r.length(e, start)
	if err != nil {
		return err
	}
	starts, endless, err := r.starts(e, start)
	if err != nil {
		return err
	}
	title := summary(e)
	works := slices.ContainsFunc(r.makeUp, func(p *regexp.Regexp) bool { return p.MatchString(title) })
	for _, at := range starts {
		if r.days += int((length + 24*time.Hour - 1) / (24 * time.Hour)); r.days > maxDays {
			return fmt.Errorf("with it the calendar takes more than %d days", maxDays)
		}
		r.add(at, length, mark{makeUp: works, name: title})
		if endless {
			r.endless[at.date().Year] = true
		} else {
			r.calendar.years[at.date().Year] = true
		}
	}
	return nil
}

// add marks the days of one occurrence, or the hours it takes.
func (r *icsReader) add(at moment, length time.Duration, m mark) {
	if !at.isDate && !m.makeUp {
		r.calendar.leave(absence{from: at.t, to: at.add(length).t, floating: at.floating})
		r.off[at.date().Year] = true
		return
	}
	last := at.add(length - time.Second).date() // the end is exclusive (RFC 5545 §3.6.1)
	for d := at.date(); !last.Before(d); d = d.AddDays(1) {
		r.calendar.set(d, m)
		if m.makeUp {
			r.worked[d.Year] = true
		} else {
			r.off[d.Year] = true
		}
	}
}

// length is how long the event lasts: to its DTEND, by its DURATION, or one day when it has neither (RFC 5545 §3.6.1).
// An event that ends where it starts is one day too: calendars write that for a single day.
func (r *icsReader) length(e ical.Event, start moment) (time.Duration, error) {
	const day = 24 * time.Hour
	length := day
	if !start.isDate {
		// A time without an end is that instant; away is then the rest of its day, the cautious reading.
		length = start.date().AddDays(1).midnight().Sub(start.wall())
	}
	if p := e.Props.Get(ical.PropDateTimeEnd); p != nil {
		end, err := r.moment(p, p.Value)
		switch {
		case err != nil:
			return 0, err
		case end.isDate != start.isDate || end.floating != start.floating:
			return 0, errors.New("its DTSTART and DTEND are of different kinds")
		case end.t.Before(start.t):
			return 0, errors.New("it ends before it starts")
		case end.t.After(start.t):
			length = end.t.Sub(start.t)
		}
	} else if p := e.Props.Get(ical.PropDuration); p != nil {
		d, err := p.Duration()
		if err != nil || d < 0 {
			return 0, fmt.Errorf("its DURATION %q cannot be read", shorten(p.Value))
		}
		if d > 0 {
			length = d
		}
	}
	if length > maxEventDays*day {
		return 0, fmt.Errorf("it lasts longer than %d days", maxEventDays)
	}
	return length, nil
}

// starts lists when the event happens: at its start, by its RRULE and RDATEs, and not at its EXDATEs.
func (r *icsReader) starts(e ical.Event, start moment) (all []moment, endless bool, err error) {
	all = []moment{start}
	if p := e.Props.Get(ical.PropRecurrenceRule); p != nil {
		var repeats []moment
		if repeats, endless, err = r.repeats(e, p, start); err != nil {
			return nil, false, fmt.Errorf("its RRULE %q cannot be followed: %w", shorten(p.Value), err)
		}
		all = append(all, repeats...)
	}
	more, err := r.moments(e, ical.PropRecurrenceDates)
	if err != nil {
		return nil, false, err
	}
	all = append(all, more...)
	never, err := r.moments(e, ical.PropExceptionDates)
	if err != nil {
		return nil, false, err
	}
	if e.Props.Get(ical.PropRecurrenceID) == nil {
		never = append(never, r.exceptions[uid(e)]...)
	}
	return slices.DeleteFunc(all, newExceptions(never).take), endless, nil
}

// repeats follows the event's RRULE to its end, or to the horizon when it has none.
func (r *icsReader) repeats(e ical.Event, p *ical.Prop, start moment) (all []moment, endless bool, err error) {
	if r.rules++; r.rules > maxRules {
		return nil, false, fmt.Errorf("more than %d events repeat", maxRules)
	}
	p.Value = strings.ToUpper(p.Value)
	rule, err := newRule(e.Props, start.date())
	if err != nil {
		return nil, false, err
	}
	var until moment
	end := ruleUntil.FindStringSubmatch(p.Value)
	if end != nil {
		if until, err = r.moment(p, end[1]); err != nil {
			return nil, false, err
		}
	}
	for d := range rule.dates() {
		at := start.on(d)
		if end != nil && at.after(until) {
			break
		}
		if all = append(all, at); r.days+len(all) > maxDays {
			return nil, false, fmt.Errorf("it repeats on more than %d days", maxDays)
		}
	}
	return all, rule.count == 0 && end == nil, nil
}

// moments reads the lists of RDATE and EXDATE; of a period only its start counts.
func (r *icsReader) moments(e ical.Event, property string) ([]moment, error) {
	const most = 1000
	var all []moment
	for _, p := range e.Props.Values(property) {
		for value := range strings.SplitSeq(p.Value, ",") {
			value, _, _ = strings.Cut(value, "/")
			at, err := r.moment(&p, value)
			if err != nil {
				return nil, err
			}
			if all = append(all, at); len(all) > most {
				return nil, fmt.Errorf("it has more than %d dates of %s", most, property)
			}
		}
	}
	return all, nil
}

// moment is a DATE or a DATE-TIME of the file.
type moment struct {
	t        time.Time // in the zone it was written in; a date's or a floating time's digits stand in UTC
	isDate   bool
	floating bool // no zone: read on the firm's own clock
}

// moment reads a value by its own form. A DATE has no zone and is never converted (RFC 5545 §3.3.4), though some
// programs give it a TZID; a time without a zone, or in one that nobody knows, floats.
func (r *icsReader) moment(p *ical.Prop, value string) (moment, error) {
	var at moment
	var err error
	switch value = strings.TrimSpace(value); len(value) {
	case len("20060102"):
		at.isDate = true
		at.t, err = time.Parse("20060102", value)
	case len("20060102T150405Z"):
		at.t, err = time.Parse("20060102T150405Z", value)
		if r.zone != nil {
			at.t = at.t.In(r.zone)
		}
	default:
		zone := r.zoneByID(p.Params.Get(ical.ParamTimezoneID))
		if zone == nil {
			at.floating, zone = true, time.UTC
		}
		at.t, err = time.ParseInLocation("20060102T150405", value, zone)
	}
	if err != nil {
		return moment{}, fmt.Errorf("%s %q is not a date or time; RFC 5545 §3.3.4 writes 20261001", p.Name, shorten(value))
	}
	if y := at.t.Year(); y < firstYear || y > lastYear {
		return moment{}, fmt.Errorf("%s %q is not within %d to %d", p.Name, value, firstYear, lastYear)
	}
	return at, nil
}

// zoneByID finds each zone of the file once.
func (r *icsReader) zoneByID(id string) *time.Location {
	zone, ok := r.zones[id]
	if !ok {
		zone = zoneByID(id)
		r.zones[id] = zone
	}
	return zone
}

func (m moment) date() Date { return DateOf(m.t) }

// wall is the moment's clock reading, as digits to calculate with.
func (m moment) wall() time.Time {
	_, offset := m.t.Zone()
	return m.t.UTC().Add(time.Duration(offset) * time.Second)
}

// on is the moment on another date at the same time of day.
func (m moment) on(d Date) moment {
	h, min, sec := m.t.Clock()
	m.t = time.Date(d.Year, d.Month, d.Day, h, min, sec, 0, m.t.Location())
	return m
}

func (m moment) add(length time.Duration) moment { m.t = m.t.Add(length); return m }

// after reports whether the moment is past the end of a repetition, which is still part of it. UNTIL may be a date
// where the event has a time, or the other way round, in files that do not care (RFC 5545 §3.3.10 does).
func (m moment) after(until moment) bool {
	switch {
	case until.isDate || m.isDate:
		return until.date().Before(m.date())
	case m.floating || until.floating:
		return m.wall().After(until.wall())
	}
	return m.t.After(until.t)
}

// exceptions are moments at which an event does not happen.
type exceptions struct {
	dates    map[Date]bool // true: the whole date, not a time on it
	instants map[int64]bool
}

func newExceptions(all []moment) exceptions {
	x := exceptions{map[Date]bool{}, map[int64]bool{}}
	for _, m := range all {
		x.dates[m.date()] = x.dates[m.date()] || m.isDate
		x.instants[m.t.Unix()] = x.instants[m.t.Unix()] || !m.isDate
	}
	return x
}

// take reports whether they take the moment away: an exception at the same time, or either is a date and holds the other.
func (x exceptions) take(m moment) bool {
	wholeDate, sameDate := x.dates[m.date()]
	return wholeDate || m.isDate && sameDate || x.instants[m.t.Unix()]
}

func uid(e ical.Event) string {
	if p := e.Props.Get(ical.PropUID); p != nil {
		return p.Value
	}
	return ""
}

// summary is the event's title, its escapes undone (RFC 5545 §3.3.11).
func summary(e ical.Event) string {
	p := e.Props.Get(ical.PropSummary)
	if p == nil {
		return ""
	}
	return oneLine(strings.NewReplacer(`\n`, " ", `\N`, " ", `\,`, ",", `\;`, ";", `\\`, `\`).Replace(p.Value))
}
