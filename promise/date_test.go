package promise

import (
	"encoding/json"
	"testing"
	"time"
)

func TestDates(t *testing.T) {
	d := day(t, "2026-12-31")
	if d != (Date{2026, time.December, 31}) || d.String() != "2026-12-31" || d.Weekday() != time.Thursday {
		t.Fatalf("read %v, a %v", d, d.Weekday())
	}
	if next := d.AddDays(1); next.String() != "2027-01-01" || !d.Before(next) || next.Before(d) || d.Before(d) {
		t.Fatalf("the day after is %v", next)
	}
	if n := day(t, "2024-02-28").daysUntil(day(t, "2024-03-01")); n != 2 {
		t.Fatalf("2024 has a February 29, counted %d days", n)
	}
	for _, bad := range []string{"", "2026-2-3", "2026-02-30", "2026-13-01", "31.12.2026", "2026-12-31T00:00:00Z", " 2026-12-31"} {
		if d, err := ParseDate(bad); err == nil {
			t.Errorf("%q was read as %v", bad, d)
		}
	}
	var both []Date
	if err := json.Unmarshal([]byte(`["2026-12-31","2027-01-02"]`), &both); err != nil || both[0] != d {
		t.Fatalf("read %v: %v", both, err)
	}
	if text, err := json.Marshal(both); err != nil || string(text) != `["2026-12-31","2027-01-02"]` {
		t.Fatalf("wrote %s: %v", text, err)
	}
}

func TestDateOfReadsTheZonesOwnClock(t *testing.T) {
	at := time.Date(2026, 11, 24, 20, 0, 0, 0, time.UTC)
	if d := DateOf(at.In(zone(t, "Asia/Shanghai"))); d.String() != "2026-11-25" {
		t.Fatalf("in Shanghai it is %v", d)
	}
}

func day(t testing.TB, s string) Date {
	t.Helper()
	d, err := ParseDate(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// at reads a clock time of a zone: 2026-11-23 10:00.
func at(t testing.TB, clock string, z *time.Location) time.Time {
	t.Helper()
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02 15:04:05.999999999"} {
		if when, err := time.ParseInLocation(layout, clock, z); err == nil {
			return when
		}
	}
	t.Fatalf("%q is not a clock time", clock)
	return time.Time{}
}
