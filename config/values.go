package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	"go.yaml.in/yaml/v4"

	"github.com/returnpost/returnpost/members"
	"github.com/returnpost/returnpost/promise"
)

const day = 24 * time.Hour

// reader reads a node of a type that is more than its kind. It is nil for the types that Config's shape explains.
func reader(t reflect.Type) func(*decoder, *yaml.Node, string, reflect.Value, field) {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return parsed(func(s string, f field) (time.Duration, error) {
			if s == "" && f.tag.Get("check") == "optional" {
				return 0, nil
			}
			return parseDuration(s)
		})
	case reflect.TypeFor[Limit]():
		return parsed(func(s string, _ field) (Limit, error) { return parseLimit(s) })
	case reflect.TypeFor[Percent]():
		return parsed(func(s string, _ field) (Percent, error) { return parsePercent(s) })
	case reflect.TypeFor[ClockRange]():
		return parsed(func(s string, _ field) (ClockRange, error) { return parseClockRange(s) })
	case reflect.TypeFor[Ramp]():
		return parsed(func(s string, _ field) (Ramp, error) { return parseRamp(s) })
	case reflect.TypeFor[Cron]():
		return parsed(func(s string, _ field) (Cron, error) { return parseCron(s) })
	case reflect.TypeFor[promise.Date]():
		return parsed(func(s string, _ field) (promise.Date, error) { return promise.ParseDate(s) })
	case reflect.TypeFor[promise.Week]():
		return (*decoder).week
	case reflect.TypeFor[*promise.Calendar]():
		return (*decoder).calendar
	case reflect.TypeFor[*members.Condition]():
		return (*decoder).condition
	}
	return nil
}

// parsed makes a reader of a function that understands a text.
func parsed[T any](parse func(string, field) (T, error)) func(*decoder, *yaml.Node, string, reflect.Value, field) {
	return func(d *decoder, n *yaml.Node, path string, v reflect.Value, f field) {
		text, _, ok := d.text(n, path, false)
		if !ok {
			return
		}
		value, err := parse(text, f)
		if err != nil {
			d.fail(n, path, "%v", err)
			return
		}
		v.Set(reflect.ValueOf(value))
	}
}

// scalar reads a text, a number, or a true or false.
func (d *decoder) scalar(n *yaml.Node, path string, v reflect.Value, f field) {
	text, expanded, ok := d.text(n, path, f.tag.Get("check") == "lines")
	if !ok {
		return
	}
	if v.Kind() != reflect.String && !expanded && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		d.fail(n, path, "%s stands in quotes, but %s is expected: remove the quotes", describe(n), kindName(v.Kind()))
		return
	}
	switch v.Kind() {
	case reflect.String:
		d.word(n, path, text, v, f)
	case reflect.Bool:
		if text != "true" && text != "false" {
			d.fail(n, path, "%q is neither true nor false", clip(text))
			return
		}
		v.SetBool(text == "true")
	case reflect.Int:
		number, err := strconv.Atoi(text)
		if err != nil {
			d.fail(n, path, "%q is not a whole number", clip(text))
			return
		}
		v.SetInt(int64(number))
	case reflect.Float64:
		number, err := strconv.ParseFloat(text, 64)
		if err != nil || number != number || number < -1e15 || number > 1e15 {
			d.fail(n, path, "%q is not a number", clip(text))
			return
		}
		v.SetFloat(number)
	}
}

func kindName(k reflect.Kind) string {
	if k == reflect.Bool {
		return "true or false"
	}
	return "a number"
}

// word checks a text against what its field asks for.
func (d *decoder) word(n *yaml.Node, path, text string, v reflect.Value, f field) {
	words := strings.Split(f.tag.Get("one"), "|")
	switch {
	case words[0] != "" && !slices.Contains(words, text):
		d.fail(n, path, "%q is not possible here; it is one of %s%s", clip(text), strings.Join(words, ", "), meant(text, words))
		return
	case words[0] == "" && n.ShortTag() == "!!null":
		d.fail(n, path, "%s means nothing: remove the key for its default, or write the word in quotes", n.Value)
		return
	}
	text, err := checkWord(f.tag.Get("check"), text)
	if err != nil {
		d.fail(n, path, "%v", err)
		return
	}
	v.SetString(text)
}

func meant(word string, among []string) string {
	if near := members.Nearest(word, among); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

var part = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w)`)

var units = map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": day, "w": 7 * day}

// parseDuration reads 90s, 2h30m, 3d, 2w or 0.
func parseDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return 0, fmt.Errorf("%q has no unit; write %sh for hours, %sm for minutes, %sd for days", clip(s), s, s, s)
	}
	var total time.Duration
	rest := s
	for rest != "" {
		m := part.FindStringSubmatch(rest)
		if m == nil {
			return 0, fmt.Errorf("%q is not a length of time; write it like 90s, 30m, 2h30m, 3d or 2w", clip(s))
		}
		number, err := strconv.ParseFloat(m[1], 64)
		length := number * float64(units[m[2]])
		if err != nil || length+float64(total) > float64(200*365*day) {
			return 0, fmt.Errorf("%q is too long", clip(s))
		}
		total += time.Duration(length)
		rest = rest[len(m[0]):]
	}
	if s == "" {
		return 0, fmt.Errorf("a length of time is missing; write it like 90s, 30m, 2h30m, 3d or 2w")
	}
	return total, nil
}

// parseLimit reads 3/24h, 200/d, or none.
func parseLimit(s string) (Limit, error) {
	if s == "none" {
		return Limit{}, nil
	}
	count, per, ok := strings.Cut(s, "/")
	number, err := strconv.Atoi(strings.TrimSpace(count))
	if !ok || err != nil || number < 1 || number > 1e9 {
		return Limit{}, fmt.Errorf("%q is not a limit; write a number above zero and a time, like 3/24h, or none", clip(s))
	}
	per = strings.TrimSpace(per)
	if _, unit := units[per]; unit {
		per = "1" + per
	}
	length, err := parseDuration(per)
	if err != nil || length <= 0 {
		return Limit{}, fmt.Errorf("%q is not a limit; after the stroke stands a time, like 3/24h", clip(s))
	}
	return Limit{number, length}, nil
}

// parsePercent reads 5% or 0.3%.
func parsePercent(s string) (Percent, error) {
	number, ok := strings.CutSuffix(s, "%")
	share, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err == nil && !ok && share > 0 && share <= 1 {
		return 0, fmt.Errorf("%q has no percent sign; write %s%%", clip(s), strconv.FormatFloat(share*100, 'g', 6, 64))
	}
	if err != nil || !(share >= 0 && share <= 100) {
		return 0, fmt.Errorf("%q is not a share; write it like 5%% or 0.3%%", clip(s))
	}
	return Percent(share / 100), nil
}

// parseClockRange reads 21:00-08:00, which may pass midnight, or none.
func parseClockRange(s string) (ClockRange, error) {
	if s == "" || s == "none" {
		return ClockRange{}, nil
	}
	from, to, ok := strings.Cut(strings.ReplaceAll(s, "–", "-"), "-")
	a, errA := parseClock(from)
	b, errB := parseClock(to)
	if !ok || errA != nil || errB != nil || a == b {
		return ClockRange{}, fmt.Errorf("%q is not a stretch of the clock; write it like 21:00-08:00, or none", clip(s))
	}
	return ClockRange{a, b}, nil
}

func parseClock(s string) (int, error) {
	t, err := time.Parse("15:04", strings.TrimSpace(s))
	return t.Hour()*60 + t.Minute(), err
}

var rampPattern = regexp.MustCompile(`^([1-9][0-9]{0,8})/d( +doubling)?$`)

// parseRamp reads "200/d doubling", "200/d", or nothing.
func parseRamp(s string) (Ramp, error) {
	if s == "" {
		return Ramp{}, nil
	}
	m := rampPattern.FindStringSubmatch(s)
	if m == nil {
		return Ramp{}, fmt.Errorf(`%q is not a ramp; write it like 200/d doubling, or "" for none`, clip(s))
	}
	number, err := strconv.Atoi(m[1])
	return Ramp{number, m[2] != ""}, err
}

// parseCron reads five fields. The library panics at a zone without fields, and accepts days that never come.
func parseCron(s string) (Cron, error) {
	mend := `; write minute, hour, day, month and day of the week, like "0 10 1 * *" for the first of each month at 10:00`
	switch {
	case strings.Contains(s, "TZ="):
		return Cron{}, fmt.Errorf("%q names a time zone, which stands in time_zone%s", clip(s), mend)
	case strings.HasPrefix(s, "@"):
		return Cron{}, fmt.Errorf("%q is a short form%s", clip(s), mend)
	case len(strings.Fields(s)) != 5:
		return Cron{}, fmt.Errorf("%q has %d fields, but a schedule has five%s", clip(s), len(strings.Fields(s)), mend)
	}
	schedule, err := cron.ParseStandard(s)
	if err != nil {
		return Cron{}, fmt.Errorf("%q is not a schedule: %w%s", clip(s), err, mend)
	}
	if schedule.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Cron{}, fmt.Errorf("%q is a day that never comes", clip(s))
	}
	return Cron{s, schedule}, nil
}

// week reads hours: days and what is worked on them. What it says of the week is all there is.
func (d *decoder) week(n *yaml.Node, path string, v reflect.Value, _ field) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "%s stands here, but days with their hours are expected, like mon-fri: 09:00-18:00 ({} if there are none)%s", describe(n), colonHint(n))
		return
	}
	var week promise.Week
	taken := map[time.Weekday]string{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at := join(path, key.Value)
		value, ok := d.follow(n.Content[i+1], at)
		if !ok || key.Kind != yaml.ScalarNode {
			d.fail(key, path, "a key must be a day, like mon-fri")
			continue
		}
		days, err := promise.ParseDays(key.Value)
		if err != nil {
			d.fail(key, at, "%v", err)
			continue
		}
		intervals := d.intervals(value, at)
		for _, weekday := range days {
			if other, twice := taken[weekday]; twice {
				d.fail(key, at, "%s is given twice, here and under %q", weekday, other)
				break
			}
			taken[weekday] = key.Value
			week[weekday] = intervals
		}
	}
	v.Set(reflect.ValueOf(week))
}

// intervals reads the hours of a day.
func (d *decoder) intervals(n *yaml.Node, path string) []promise.Interval {
	text, _, ok := d.text(n, path, false)
	if !ok {
		return nil
	}
	all, err := promise.ParseIntervals(text)
	if err != nil {
		d.fail(n, path, "%v%s", err, clockHint(n))
	}
	return all
}

// clockHint knows that some write 9-18 or 9.00-18.00.
func clockHint(n *yaml.Node) string {
	if !strings.Contains(n.Value, ":") && strings.Contains(n.Value, "-") {
		return "; hours and minutes are parted by a colon: 09:00-18:00"
	}
	return ""
}

// calendar reads a built-in calendar's name or a file, .ics or holiday JSON.
func (d *decoder) calendar(n *yaml.Node, path string, v reflect.Value, _ field) {
	text, _, ok := d.text(n, path, false)
	if !ok {
		return
	}
	c, err := d.openCalendar(text)
	if err != nil {
		d.fail(n, path, "%v", err)
		return
	}
	v.Set(reflect.ValueOf(c))
}

func (d *decoder) openCalendar(name string) (*promise.Calendar, error) {
	if name == "china" {
		return promise.China(), nil
	}
	ics, json := strings.HasSuffix(strings.ToLower(name), ".ics"), strings.HasSuffix(strings.ToLower(name), ".json")
	if !ics && !json {
		return nil, fmt.Errorf("%q is not a calendar; china is built in, and files end in .ics or .json%s", clip(name), meant(name, []string{"china"}))
	}
	file := d.path(name)
	if c := d.calendars[file]; c != nil {
		return c, nil
	}
	data, err := d.readFile(file)
	if err != nil {
		return nil, fmt.Errorf("the calendar %s cannot be read: %w", file, reason(err))
	}
	read := func() (*promise.Calendar, error) { return promise.ReadICS(name, data) }
	if json {
		read = func() (*promise.Calendar, error) { return promise.ReadHolidayJSON(name, data) }
	}
	c, err := read()
	if err != nil {
		return nil, fmt.Errorf("the calendar %s: %w", file, err)
	}
	d.calendars[file] = c
	return c, nil
}
