package promise

import (
	"strings"
	"time"
)

// Words says the promise in one or two sentences, in "en" or "zh" (any other language reads English). It always names
// an absolute date with its weekday, and whose time it is; where the reader's clock shows another time at that
// instant, it says that too. A nil reader is in the firm's zone.
func (p Promise) Words(language string, reader *time.Location) string {
	f := p.facts(reader)
	if isChinese(language) {
		return f.chinese()
	}
	return f.english()
}

// Short names the time for lists and terminals, on the reader's clock, or the firm's when reader is nil.
func (p Promise) Short(language string, reader *time.Location) string {
	f := p.facts(reader)
	if isChinese(language) {
		return f.shortChinese()
	}
	return f.shortEnglish()
}

func isChinese(language string) bool {
	tag := strings.ToLower(language)
	return tag == "zh" || strings.HasPrefix(tag, "zh-") || strings.HasPrefix(tag, "zh_")
}

// reading is what a clock on the wall shows. Midnight is 24:00 of the day that ends: "by Tuesday 00:00" is read
// a day too late by half of all people.
type reading struct {
	date   Date
	minute int
}

func readClock(t time.Time, zone *time.Location) reading {
	local := t.In(zone)
	r := reading{DateOf(local), local.Hour()*hour + local.Minute()}
	if r.minute == 0 && local.Second() == 0 && local.Nanosecond() == 0 {
		r.date, r.minute = r.date.AddDays(-1), fullDay
	}
	return r
}

// facts is what the sentences of every language are made of.
type facts struct {
	Promise
	by       reading  // on the firm's clock; of FollowUp when there is no time
	theirs   *reading // on the reader's clock; nil when it shows the same
	zone     *time.Location
	reader   *time.Location
	year     int // of the arrival: dates of other years are written with theirs
	today    bool
	tomorrow bool
}

func (p Promise) facts(reader *time.Location) facts {
	if p.Zone == nil {
		p.Zone = time.UTC
	}
	at := p.By
	if at.IsZero() {
		at = p.FollowUp
	}
	made := DateOf(p.Made.In(p.Zone))
	f := facts{Promise: p, by: readClock(at, p.Zone), zone: p.Zone, reader: reader, year: made.Year}
	same := true // the reader's calendar shows the same days
	if reader != nil {
		_, ours := at.In(p.Zone).Zone()
		_, theirs := at.In(reader).Zone()
		if ours != theirs {
			r := readClock(at, reader)
			f.theirs = &r
			same = r.date == f.by.date && DateOf(p.Made.In(reader)) == made
		}
	}
	f.today = same && f.by.date == made
	f.tomorrow = same && f.by.date == made.AddDays(1)
	return f
}

// noTime reports whether not even a date can be named, as in a zero Promise.
func (f *facts) noTime() bool { return f.By.IsZero() && f.FollowUp.IsZero() }

// here is the clock of Short: the reader's own, with its zone, where it differs from the firm's.
func (f *facts) here() (reading, *time.Location) {
	if f.theirs != nil {
		return *f.theirs, f.reader
	}
	return f.by, f.zone
}
