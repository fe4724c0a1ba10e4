package promise

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseDays(t *testing.T) {
	const su, mo, tu, we, th, fr, sa = time.Sunday, time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday, time.Saturday
	for key, want := range map[string][]time.Weekday{
		"mon-fri":         {mo, tu, we, th, fr},
		"sat":             {sa},
		"sun,wed":         {su, we},
		"sat-mon":         {sa, su, mo},
		"Mon - Wed, wed":  {mo, tu, we},
		"monday,Thursday": {mo, th},
		"sun-sat":         {su, mo, tu, we, th, fr, sa},
		"tue-tue":         {tu},
	} {
		got, err := ParseDays(key)
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("%q: %v, %v; want %v", key, got, err, want)
		}
	}
	for _, bad := range []string{"", "mo", "mon-", "-fri", "mon-wed-fri", "weekdays", "mon;tue", ","} {
		if got, err := ParseDays(bad); err == nil {
			t.Errorf("%q was read as %v", bad, got)
		}
	}
}

func TestParseIntervals(t *testing.T) {
	for s, want := range map[string][]Interval{
		"09:00-12:00 13:30-18:00":            {{540, 720}, {810, 1080}},
		"13:30-18:00, 9:00-12:00":            {{540, 720}, {810, 1080}},
		"09:00–12:00 12:00–18:00":            {{540, 1080}},
		"24h":                                {{0, 1440}},
		"24H ":                               {{0, 1440}},
		"closed":                             nil,
		"22:00-24:00":                        {{1320, 1440}},
		"00:00-02:00   22:00-24:00":          {{0, 120}, {1320, 1440}},
		"00:00-08:00,08:00-24:00":            {{0, 1440}},
		"10:00-11:00 11:00-12:00,9:00-10:00": {{540, 720}},
	} {
		got, err := ParseIntervals(s)
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("%q: %v, %v; want %v", s, got, err, want)
		}
	}
	for s, want := range map[string]string{
		"":                        "no hours are given",
		" , ":                     "holds no hours",
		"9-17":                    "is not a time of day",
		"09:00":                   "is not an interval",
		"09:00-25:00":             "is not a time of day",
		"09:00-24:01":             "is not a time of day",
		"09:60-10:00":             "is not a time of day",
		"-1:00-10:00":             "is not a time of day",
		"+9:00-10:00":             "is not a time of day",
		"09:00-09:00":             "begin and end at the same time",
		"22:00-02:00":             "pass midnight; write 22:00-24:00 for this day and 00:00-02:00 for the next",
		"22:00-00:00":             "24:00",
		"09:00-12:00 11:00-13:00": "overlap",
		"opens late":              "is not an interval",
	} {
		if got, err := ParseIntervals(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want an error with %q", s, got, err, want)
		}
	}
}

func FuzzParseIntervals(f *testing.F) {
	for _, s := range []string{"09:00-12:00 13:30-18:00", "24h", "closed", "", "22:00-02:00", "00:00-24:00", "9:00–10:00,10:00-11:00", "24:00-24:00", "::-::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		hours, err := ParseIntervals(s)
		if err != nil {
			if hours != nil || len(err.Error()) > 1000 {
				t.Fatalf("%q: %v with an error of %d bytes", s, hours, len(err.Error()))
			}
			return
		}
		last := -1
		var written []string
		for _, in := range hours {
			if in.From <= last || in.From >= in.To || in.To > fullDay {
				t.Fatalf("%q: %v", s, hours)
			}
			last = in.To
			written = append(written, in.String())
		}
		if len(hours) > 0 {
			again, err := ParseIntervals(strings.Join(written, " "))
			if err != nil || !cmp.Equal(again, hours) {
				t.Fatalf("%q: %v reads as %v, %v", s, hours, again, err)
			}
		}
	})
}
