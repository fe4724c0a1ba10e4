package promise

import (
	"fmt"
	"strings"
	"time"
)

func (f *facts) english() string {
	if f.noTime() {
		return "We can't name a time yet."
	}
	if f.By.IsZero() {
		zone := ""
		if f.theirs != nil {
			zone = " (" + zoneEnglish(f.FollowUp, f.zone) + ")"
		}
		return fmt.Sprintf("We can't name a time yet; we will update you by %s%s.", f.dateEnglish(f.by.date), zone)
	}
	day := f.dateEnglish(f.by.date)
	var when string
	switch end := f.by.minute == fullDay; {
	case end && f.today:
		when = "the end of today, " + day
	case end && f.tomorrow:
		when = "the end of tomorrow, " + day
	case end:
		when = "the end of " + day
	case f.today:
		when = clockEnglish(f.by.minute) + " today, " + day
	case f.tomorrow:
		when = clockEnglish(f.by.minute) + " tomorrow, " + day
	default:
		when = clockEnglish(f.by.minute) + " on " + day
	}
	zone := zoneEnglish(f.By, f.zone)
	if f.theirs != nil {
		zone += "; " + f.theirsEnglish()
	}
	return fmt.Sprintf("A colleague should reply by %s (%s).%s", when, zone, f.closureEnglish())
}

// theirsEnglish is the reader's own time, with its date where that is another.
func (f *facts) theirsEnglish() string {
	switch r := f.theirs; {
	case r.minute == fullDay:
		return "the end of " + f.dateEnglish(r.date) + ", your time"
	case r.date == f.by.date:
		return clockEnglish(r.minute) + " your time"
	default:
		return clockEnglish(r.minute) + " on " + f.dateEnglish(r.date) + ", your time"
	}
}

func (f *facts) closureEnglish() string {
	c := f.Closure
	if c == nil {
		return ""
	}
	closed := "on " + f.dayEnglish(c.From)
	switch {
	case c.From == c.To:
	case c.From.Year == c.To.Year && c.From.Month == c.To.Month:
		closed = fmt.Sprintf("%s %d–%d%s", c.From.Month, c.From.Day, c.To.Day, f.yearEnglish(c.To))
	default:
		closed = "from " + f.dayEnglish(c.From) + " to " + f.dayEnglish(c.To)
	}
	back := "on " + f.dayEnglish(c.Resumes)
	var worked []string
	for _, d := range c.MakeUp {
		if d == c.Resumes {
			back = fmt.Sprintf("on %s %s, a working day", d.Weekday(), f.dayEnglish(d))
			continue
		}
		worked = append(worked, d.Weekday().String()+" "+f.dayEnglish(d))
	}
	sentence := " We are closed " + closed + " and back " + back
	switch len(worked) {
	case 0:
		return sentence + "."
	case 1:
		return sentence + "; " + worked[0] + " is a working day."
	default:
		last := len(worked) - 1
		return sentence + "; " + strings.Join(worked[:last], ", ") + " and " + worked[last] + " are working days."
	}
}

func (f *facts) shortEnglish() string {
	if f.noTime() {
		return "no time yet"
	}
	r, zone := f.here()
	day := fmt.Sprintf("%.3s %d %.3s", r.date.Weekday(), r.date.Day, r.date.Month)
	if r.date.Year != f.year {
		day += fmt.Sprintf(" %d", r.date.Year)
	}
	if f.By.IsZero() {
		return "no time yet; update by " + day
	}
	name := zoneEnglish(f.By, zone)
	if before, _, named := strings.Cut(name, ","); named {
		name = before
	}
	return fmt.Sprintf("%s, %s (%s)", day, clock24(r.minute), name)
}

// dateEnglish writes Monday, November 23, and the year where it is not the arrival's.
func (f *facts) dateEnglish(d Date) string { return d.Weekday().String() + ", " + f.dayEnglish(d) }

func (f *facts) dayEnglish(d Date) string {
	return fmt.Sprintf("%s %d%s", d.Month, d.Day, f.yearEnglish(d))
}

func (f *facts) yearEnglish(d Date) string {
	if d.Year == f.year {
		return ""
	}
	return fmt.Sprintf(", %d", d.Year)
}

// clockEnglish writes 6 PM, 5:30 PM, noon; midnight is written as the end of a day by those who call it.
func clockEnglish(minute int) string {
	if minute == noon {
		return "noon"
	}
	half := "AM"
	if minute >= noon {
		half = "PM"
	}
	h := (minute/hour + 11) % 12
	if minute%hour == 0 {
		return fmt.Sprintf("%d %s", h+1, half)
	}
	return fmt.Sprintf("%d:%02d %s", h+1, minute%hour, half)
}

// zoneEnglish names a zone: China time, UTC+8.
func zoneEnglish(t time.Time, zone *time.Location) string {
	name := zoneNames[zone.String()].en
	if name == "" {
		name = zoneCity(zone.String())
	}
	if name == "" {
		return offsetName(t, zone)
	}
	return name + " time, " + offsetName(t, zone)
}
