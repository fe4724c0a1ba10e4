package promise

import (
	"fmt"
	"time"
)

// Date is a day of the civil calendar, without a clock and without a zone: what a holiday is.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// ParseDate reads a date as ISO 8601 writes it: 2026-12-31.
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return Date{}, fmt.Errorf("%q is not a date; write year-month-day, as in 2026-12-31", shorten(s))
	}
	return DateOf(t), nil
}

// DateOf is the date on the clock of t's own zone.
func DateOf(t time.Time) Date {
	y, m, d := t.Date()
	return Date{y, m, d}
}

// String writes the date as ParseDate reads it.
func (d Date) String() string { return fmt.Sprintf("%04d-%02d-%02d", d.Year, int(d.Month), d.Day) }

// Weekday is the day of the week the date falls on.
func (d Date) Weekday() time.Weekday { return d.midnight().Weekday() }

// AddDays is the date n days later, or earlier when n is negative.
func (d Date) AddDays(n int) Date {
	return DateOf(time.Date(d.Year, d.Month, d.Day+n, 0, 0, 0, 0, time.UTC))
}

// Before reports whether d comes before e.
func (d Date) Before(e Date) bool {
	if d.Year != e.Year {
		return d.Year < e.Year
	}
	if d.Month != e.Month {
		return d.Month < e.Month
	}
	return d.Day < e.Day
}

// IsZero reports whether d is no date at all.
func (d Date) IsZero() bool { return d == Date{} }

// MarshalText writes the date as String does.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the date as ParseDate does.
func (d *Date) UnmarshalText(text []byte) error {
	parsed, err := ParseDate(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// midnight is the date's first instant as UTC would have it: the civil date as a number to calculate with, in no real zone.
func (d Date) midnight() time.Time {
	return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC)
}

// daysUntil counts the days from d to e.
func (d Date) daysUntil(e Date) int { return int(e.midnight().Sub(d.midnight()) / (24 * time.Hour)) }

// shorten keeps an error readable when what it quotes is long.
func shorten(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
