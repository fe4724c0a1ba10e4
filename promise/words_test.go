package promise

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// promised is a promise of the sample shop, with the words for it.
func promised(t testing.TB, made, within string) Promise {
	t.Helper()
	s := shop(t)
	d, err := time.ParseDuration(within)
	if err != nil {
		t.Fatal(err)
	}
	return s.Promise(at(t, made, s.Zone), d)
}

func TestWords(t *testing.T) {
	newYork, berlin := zone(t, "America/New_York"), zone(t, "Europe/Berlin")
	for name, c := range map[string]struct {
		made, within string
		reader       *time.Location
		en, zh       string
	}{
		"the same day": {"2026-11-23 09:30", "6h30m", nil,
			"A colleague should reply by 6 PM today, Monday, November 23 (China time, UTC+8).",
			"预计今天（11月23日，周一）18:00 前（北京时间）由同事回复您。"},
		"tomorrow": {"2026-11-23 17:00", "2h", nil,
			"A colleague should reply by noon tomorrow, Tuesday, November 24 (China time, UTC+8).",
			"预计明天（11月24日，周二）12:00 前（北京时间）由同事回复您。"},
		"later": {"2026-11-23 16:30", "12h", nil,
			"A colleague should reply by noon on Wednesday, November 25 (China time, UTC+8).",
			"预计最迟 11月25日（周三）12:00 前（北京时间）回复，约两个工作日。"},
		"later, another zone and date": {"2026-11-23 16:30", "12h", newYork,
			"A colleague should reply by noon on Wednesday, November 25 (China time, UTC+8; 11 PM on Tuesday, November 24, your time).",
			"预计最迟 11月25日（周三）12:00 前（北京时间；您当地时间为 11月24日周二 23:00）回复，约两个工作日。"},
		"another zone, the same date": {"2026-11-23 16:30", "12h", berlin,
			"A colleague should reply by noon on Wednesday, November 25 (China time, UTC+8; 5 AM your time).",
			"预计最迟 11月25日（周三）12:00 前（北京时间；您当地时间 05:00）回复，约两个工作日。"},
		"an offset from a Date field": {"2026-11-23 09:30", "6h30m", time.FixedZone("", 5*3600+1800),
			"A colleague should reply by 6 PM today, Monday, November 23 (China time, UTC+8; 3:30 PM your time).",
			"预计今天（11月23日，周一）18:00 前（北京时间；您当地时间 15:30）由同事回复您。"},
		"today is not the reader's today": {"2026-11-23 09:30", "6h30m", newYork,
			"A colleague should reply by 6 PM on Monday, November 23 (China time, UTC+8; 5 AM your time).",
			"预计最迟 11月23日（周一）18:00 前（北京时间；您当地时间 05:00）回复。"},
		"another zone on the same clock": {"2026-11-23 09:30", "6h30m", zone(t, "Asia/Singapore"),
			"A colleague should reply by 6 PM today, Monday, November 23 (China time, UTC+8).",
			"预计今天（11月23日，周一）18:00 前（北京时间）由同事回复您。"},
		"midnight in the reader's zone": {"2026-11-23 16:30", "12h", time.FixedZone("", -4*3600),
			"A colleague should reply by noon on Wednesday, November 25 (China time, UTC+8; the end of Tuesday, November 24, your time).",
			"预计最迟 11月25日（周三）12:00 前（北京时间；您当地时间为 11月24日周二 24:00）回复，约两个工作日。"},
		"a holiday": {"2026-09-30 17:00", "2h", nil,
			"A colleague should reply by noon on Thursday, October 8 (China time, UTC+8). We are closed October 1–7 and back on October 8; Saturday October 10 is a working day.",
			"预计最迟 10月8日（周四）12:00 前（北京时间）回复。10月1日至7日放假，10月8日恢复回复；10月10日（周六）照常上班。"},
		"a holiday between make-up Saturdays": {"2026-02-13 15:00", "11h", nil,
			"A colleague should reply by noon on Tuesday, February 24 (China time, UTC+8). We are closed February 15–23 and back on February 24; Saturday February 14 and Saturday February 28 are working days.",
			"预计最迟 2月24日（周二）12:00 前（北京时间）回复，约两个工作日。2月15日至23日放假，2月24日恢复回复；2月14日（周六）、2月28日（周六）照常上班。"},
		"back on a make-up Sunday": {"2024-02-09 17:00", "2h", nil,
			"A colleague should reply by noon on Sunday, February 18 (China time, UTC+8). We are closed February 10–17 and back on Sunday February 18, a working day.",
			"预计最迟 2月18日（周日）12:00 前（北京时间）回复。2月10日至17日放假，2月18日（周日）照常上班，恢复回复。"},
		"over the new year": {"2024-12-31 17:00", "2h", nil,
			"A colleague should reply by noon on Thursday, January 2, 2025 (China time, UTC+8). We are closed on January 1, 2025 and back on January 2, 2025.",
			"预计最迟 2025年1月2日（周四）12:00 前（北京时间）回复。2025年1月1日放假，2025年1月2日恢复回复。"},
		"no basis": {"2026-11-23 10:00", "0s", nil,
			"We can't name a time yet; we will update you by Friday, November 27.",
			"目前无法给出准确时间；我们会在 11月27日（周五）前告知您进展。"},
		"no basis, another zone": {"2026-11-23 10:00", "0s", newYork,
			"We can't name a time yet; we will update you by Friday, November 27 (China time, UTC+8).",
			"目前无法给出准确时间；我们会在 11月27日（周五）前（北京时间）告知您进展。"},
		"no basis, next year": {"2026-12-31 17:00", "8h", nil,
			"We can't name a time yet; we will update you by Tuesday, January 5, 2027.",
			"目前无法给出准确时间；我们会在 2027年1月5日（周二）前告知您进展。"},
	} {
		p := promised(t, c.made, c.within)
		if got := p.Words("en", c.reader); got != c.en {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.en)
		}
		if got := p.Words("zh", c.reader); got != c.zh {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.zh)
		}
	}
}

func TestWordsOfMidnightAndOtherZones(t *testing.T) {
	for name, c := range map[string]struct {
		zone   *time.Location
		hours  Week
		made   string
		within time.Duration
		en, zh string
	}{
		"the end of today": {zone(t, "Europe/Berlin"), everyDay(20*60, 1440), "2026-07-06 20:00", 4 * time.Hour,
			"A colleague should reply by the end of today, Monday, July 6 (Berlin time, UTC+2).",
			"预计今天（7月6日，周一）24:00 前（柏林时间，UTC+2）由同事回复您。"},
		"the end of tomorrow": {zone(t, "America/New_York"), everyDay(20*60, 1440), "2026-11-23 20:00", 5 * time.Hour,
			"A colleague should reply by the end of tomorrow, Tuesday, November 24 (US Eastern time, UTC−5).",
			"预计明天（11月24日，周二）24:00 前（美国东部时间，UTC−5）由同事回复您。"},
		"the end of a later day": {zone(t, "Asia/Kathmandu"), everyDay(20*60, 1440), "2026-11-23 20:00", 9 * time.Hour,
			"A colleague should reply by the end of Wednesday, November 25 (Nepal time, UTC+5:45).",
			"预计最迟 11月25日（周三）24:00 前（尼泊尔时间，UTC+5:45）回复，约两个工作日。"},
		"a city that is in no table": {zone(t, "America/St_Johns"), everyDay(9*60, 17*60+30), "2026-11-23 16:00", 80 * time.Minute,
			"A colleague should reply by 5:30 PM today, Monday, November 23 (St Johns time, UTC−3:30).",
			"预计今天（11月23日，周一）17:30 前（St Johns 时间，UTC−3:30）由同事回复您。"},
		"half past midnight": {zone(t, "UTC"), everyDay(0, 30), "2026-11-23 00:00", 30 * time.Minute,
			"A colleague should reply by 12:30 AM today, Monday, November 23 (UTC).",
			"预计今天（11月23日，周一）00:30 前（UTC）由同事回复您。"},
		"an offset without a name": {time.FixedZone("odd\nname", -9*3600-1800), everyDay(0, 1440), "2026-11-23 11:00", 90 * time.Minute,
			"A colleague should reply by 1 PM today, Monday, November 23 (UTC−9:30).",
			"预计今天（11月23日，周一）13:00 前（UTC−9:30）由同事回复您。"},
		"many days": {zone(t, "Asia/Hong_Kong"), everyDay(9*60, 10*60), "2026-11-02 09:00", 16 * time.Hour,
			"A colleague should reply by 10 AM on Tuesday, November 17 (Hong Kong time, UTC+8).",
			"预计最迟 11月17日（周二）10:00 前（香港时间，UTC+8）回复，约 15 个工作日。"},
	} {
		s := &Schedule{Zone: c.zone, Week: c.hours}
		p := s.Promise(at(t, c.made, c.zone), c.within)
		if got := p.Words("en", nil); got != c.en {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.en)
		}
		if got := p.Words("zh-CN", nil); got != c.zh {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.zh)
		}
	}
}

func TestClosuresAcrossMonths(t *testing.T) {
	s := shop(t)
	s.Calendars, s.Closed = nil, dates(t, "2026-12-30", 6)
	p := s.Promise(at(t, "2026-12-29 17:00", s.Zone), 2*time.Hour)
	const en = "We are closed from December 30 to January 4, 2027 and back on January 5, 2027."
	const zh = "12月30日至2027年1月4日放假，2027年1月5日恢复回复。"
	if got := p.Words("en", nil); !strings.HasSuffix(got, en) {
		t.Errorf("%s; want %s", got, en)
	}
	if got := p.Words("zh", nil); !strings.HasSuffix(got, zh) {
		t.Errorf("%s; want %s", got, zh)
	}
	s.Closed = dates(t, "2026-11-27", 6)
	p = s.Promise(at(t, "2026-11-26 17:00", s.Zone), 2*time.Hour)
	if got := p.Words("en", nil); !strings.HasSuffix(got, "We are closed from November 27 to December 2 and back on December 3.") {
		t.Error(got)
	}
	if got := p.Words("zh", nil); !strings.HasSuffix(got, "11月27日至12月2日放假，12月3日恢复回复。") {
		t.Error(got)
	}
}

func TestShort(t *testing.T) {
	for name, c := range map[string]struct {
		made, within string
		reader       *time.Location
		en, zh       string
	}{
		"a time":         {"2026-11-23 16:30", "12h", nil, "Wed 25 Nov, 12:00 (China time)", "11月25日（周三）12:00"},
		"the same clock": {"2026-11-23 16:30", "12h", zone(t, "Asia/Hong_Kong"), "Wed 25 Nov, 12:00 (China time)", "11月25日（周三）12:00"},
		"the reader's":   {"2026-11-23 16:30", "12h", zone(t, "America/New_York"), "Tue 24 Nov, 23:00 (US Eastern time)", "11月24日（周二）23:00（美国东部时间）"},
		"an offset":      {"2026-11-23 16:30", "12h", time.FixedZone("", -4*3600), "Tue 24 Nov, 24:00 (UTC−4)", "11月24日（周二）24:00（UTC−4）"},
		"next year":      {"2024-12-31 17:00", "2h", nil, "Thu 2 Jan 2025, 12:00 (China time)", "2025年1月2日（周四）12:00"},
		"no time":        {"2026-11-23 16:30", "0s", nil, "no time yet; update by Fri 27 Nov", "暂无时间；11月27日（周五）前告知进展"},
	} {
		p := promised(t, c.made, c.within)
		if got := p.Short("en", c.reader); got != c.en {
			t.Errorf("%s: %s; want %s", name, got, c.en)
		}
		if got := p.Short("zh", c.reader); got != c.zh {
			t.Errorf("%s: %s; want %s", name, got, c.zh)
		}
	}
}

func TestZeroPromiseHasWords(t *testing.T) {
	var p Promise
	if got := p.Words("en", time.UTC) + p.Words("zh", nil) + p.Short("en", nil) + p.Short("zh", nil); got != "We can't name a time yet.目前无法给出准确时间。no time yet暂无时间" {
		t.Error(got)
	}
	if p.Words("fr", nil) != p.Words("en", nil) || p.Words("ZH_tw", nil) != p.Words("zh", nil) || p.Words("zhx", nil) != p.Words("en", nil) {
		t.Error("languages are not told apart")
	}
}

// TestWordsSayWhatIsMeant reads the words back, in both languages and on both clocks: they must mean the very instant
// of the promise, and say nothing we never say.
func TestWordsSayWhatIsMeant(t *testing.T) {
	never := regexp.MustCompile(`(?i)24 hours|as soon as|asap|next week|保证|尽快|下周|马上|!|！`)
	rapid.Check(t, func(t *rapid.T) {
		s, made := anySchedule(t), anyTime(t, "made")
		reader, err := time.LoadLocation(rapid.SampledFrom(worldZones).Draw(t, "reader"))
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "fixed") {
			reader = time.FixedZone("", rapid.IntRange(-48, 56).Draw(t, "quarters")*900)
		}
		if rapid.Bool().Draw(t, "none") {
			reader = nil
		}
		p := s.Promise(made, time.Duration(rapid.Int64Range(0, int64(60*time.Hour)).Draw(t, "within")))
		en, zh := p.Words("en", reader), p.Words("zh", reader)
		for _, words := range []string{en, zh, p.Short("en", reader), p.Short("zh", reader)} {
			if never.MatchString(words) || strings.ContainsAny(words, "\n\x00%") || len(words) > 600 {
				t.Fatalf("it says %q", words)
			}
		}
		if strings.ContainsAny(zh, ",;()") {
			t.Fatalf("half-width punctuation: %s", zh)
		}
		if p.By.IsZero() {
			return
		}
		year := made.In(s.Zone).Year()
		readsAs(t, en, englishTime, year, p.By, s.Zone, reader)
		readsAs(t, zh, chineseTime, year, p.By, s.Zone, reader)
	})
}

var (
	englishTime = regexp.MustCompile(`by (.+?) \((.*?)\)\.`)
	chineseTime = regexp.MustCompile(`预计(.+?) 前（(.*?)）.*?回复`)
	englishDate = regexp.MustCompile(`(\w+), (January|February|March|April|May|June|July|August|September|October|November|December) (\d+)(?:, (\d{4}))?`)
	chineseDate = regexp.MustCompile(`(?:(\d{4})年)?(\d+)月(\d+)日(?:（|，)?(周.)`)
	clockTime   = regexp.MustCompile(`(\d+):(\d\d)$|(\d+)(?::(\d\d))? ([AP]M)|noon|the end of`)
)

// readsAs reads a sentence as a person would and compares what it names with the instant that is meant.
func readsAs(t *rapid.T, words string, pattern *regexp.Regexp, year int, by time.Time, firm, reader *time.Location) {
	m := pattern.FindStringSubmatch(words)
	if m == nil {
		t.Fatalf("no time in %q", words)
	}
	ours, theirs, told := strings.Cut(strings.ReplaceAll(m[2], "；", ";"), ";")
	date, minute := readDate(t, m[1], year, Date{}), readMinute(t, m[1])
	want := by.In(firm)
	sameReading(t, words, date, minute, want)
	if _, offset, named := strings.Cut(ours, "UTC"); named {
		_, seconds := want.Zone()
		if got := readOffset(t, offset); got != seconds {
			t.Fatalf("%q names an offset of %d seconds, not %d", words, got, seconds)
		}
	} else if ours != "北京时间" {
		t.Fatalf("%q does not say whose time it is", words)
	}
	differs := false
	if reader != nil {
		_, a := by.In(firm).Zone()
		_, b := by.In(reader).Zone()
		differs = a != b
	}
	if told != differs {
		t.Fatalf("%q tells the reader's time: %v, it differs: %v", words, told, differs)
	}
	if told {
		sameReading(t, words, readDate(t, theirs, year, date), readMinute(t, theirs), by.In(reader))
	}
}

func sameReading(t *rapid.T, words string, d Date, minute int, want time.Time) {
	said := d.midnight().Add(time.Duration(minute) * time.Minute)
	shown := time.Date(want.Year(), want.Month(), want.Day(), want.Hour(), want.Minute(), want.Second(), want.Nanosecond(), time.UTC)
	if !said.Equal(shown) {
		t.Fatalf("%q says %v; meant is %v", words, said, want)
	}
}

func readDate(t *rapid.T, s string, year int, unsaid Date) Date {
	month, dayOfMonth, weekday, named := 0, "", "", ""
	if m := englishDate.FindStringSubmatch(s); m != nil {
		for i := time.January; i <= time.December; i++ {
			if i.String() == m[2] {
				month = int(i)
			}
		}
		weekday, dayOfMonth, named = m[1], m[3], m[4]
	} else if m := chineseDate.FindStringSubmatch(s); m != nil {
		month, _ = strconv.Atoi(m[2])
		weekday, dayOfMonth, named = m[4], m[3], m[1]
	} else if !unsaid.IsZero() {
		return unsaid
	} else {
		t.Fatalf("no date in %q", s)
	}
	if named != "" {
		year, _ = strconv.Atoi(named)
	}
	n, _ := strconv.Atoi(dayOfMonth)
	d := Date{year, time.Month(month), n}
	if weekday != d.Weekday().String() && weekday != weekdayChinese(d) {
		t.Fatalf("%q calls %v a %s", s, d, weekday)
	}
	return d
}

func readMinute(t *rapid.T, s string) int {
	m := clockTime.FindStringSubmatch(strings.TrimSpace(s))
	number := func(s string) int { n, _ := strconv.Atoi(s); return n }
	switch {
	case m == nil:
		t.Fatalf("no time in %q", s)
		return 0
	case m[0] == "noon":
		return 720
	case m[0] == "the end of":
		return 1440
	case m[5] == "":
		return number(m[1])*60 + number(m[2])
	}
	h := number(m[3]) % 12
	if m[5] == "PM" {
		h += 12
	}
	return h*60 + number(m[4])
}

func readOffset(t *rapid.T, s string) int {
	if s == "" {
		return 0
	}
	var h, m int
	sign := 1
	if rest, minus := strings.CutPrefix(s, "−"); minus {
		s, sign = "+"+rest, -1
	}
	if n, err := fmt.Sscanf(s, "+%d:%d", &h, &m); n == 0 {
		t.Fatalf("offset %q: %v", s, err)
	}
	return sign * (h*3600 + m*60)
}
