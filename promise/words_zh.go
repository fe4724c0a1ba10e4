package promise

import (
	"fmt"
	"strings"
	"time"
)

func (f *facts) chinese() string {
	if f.noTime() {
		return "目前无法给出准确时间。"
	}
	if f.By.IsZero() {
		zone := ""
		if f.theirs != nil {
			zone = "（" + zoneChinese(f.FollowUp, f.zone) + "）"
		}
		return fmt.Sprintf("目前无法给出准确时间；我们会在 %s前%s告知您进展。", f.dateChinese(f.by.date), zone)
	}
	zone := zoneChinese(f.By, f.zone)
	if f.theirs != nil {
		zone += "；您当地时间" + f.theirsChinese()
	}
	relative := ""
	switch {
	case f.today:
		relative = "今天"
	case f.tomorrow:
		relative = "明天"
	}
	clock := clock24(f.by.minute)
	if relative != "" {
		return fmt.Sprintf("预计%s（%s，%s）%s 前（%s）由同事回复您。%s",
			relative, f.dayChinese(f.by.date), weekdayChinese(f.by.date), clock, zone, f.closureChinese())
	}
	about := ""
	if f.WorkDays >= 2 {
		about = "，约" + countChinese(f.WorkDays) + "个工作日"
	}
	return fmt.Sprintf("预计最迟 %s%s 前（%s）回复%s。%s", f.dateChinese(f.by.date), clock, zone, about, f.closureChinese())
}

// theirsChinese is the reader's own time, with its date where that is another.
func (f *facts) theirsChinese() string {
	clock := clock24(f.theirs.minute)
	if f.theirs.date == f.by.date {
		return " " + clock
	}
	return "为 " + f.dayChinese(f.theirs.date) + weekdayChinese(f.theirs.date) + " " + clock
}

func (f *facts) closureChinese() string {
	c := f.Closure
	if c == nil {
		return ""
	}
	closed := f.dayChinese(c.From)
	switch to := f.dayChinese(c.To); {
	case c.From == c.To:
	case c.From.Year == c.To.Year && c.From.Month == c.To.Month:
		closed += fmt.Sprintf("至%d日", c.To.Day)
	case c.From.Year == c.To.Year:
		closed += fmt.Sprintf("至%d月%d日", int(c.To.Month), c.To.Day)
	default:
		closed += "至" + to
	}
	back := f.dayChinese(c.Resumes) + "恢复回复"
	var worked []string
	for _, d := range c.MakeUp {
		if d == c.Resumes {
			back = f.dateChinese(d) + "照常上班，恢复回复"
			continue
		}
		worked = append(worked, f.dateChinese(d))
	}
	sentence := closed + "放假，" + back
	if len(worked) > 0 {
		sentence += "；" + strings.Join(worked, "、") + "照常上班"
	}
	return sentence + "。"
}

func (f *facts) shortChinese() string {
	if f.noTime() {
		return "暂无时间"
	}
	r, zone := f.here()
	if f.By.IsZero() {
		return "暂无时间；" + f.dateChinese(r.date) + "前告知进展"
	}
	short := f.dateChinese(r.date) + clock24(r.minute)
	if f.theirs != nil {
		name, _, _ := strings.Cut(zoneChinese(f.By, zone), "，")
		short += "（" + name + "）"
	}
	return short
}

// dateChinese writes 11月25日（周三）, and the year where it is not the arrival's.
func (f *facts) dateChinese(d Date) string {
	return f.dayChinese(d) + "（" + weekdayChinese(d) + "）"
}

func (f *facts) dayChinese(d Date) string {
	day := fmt.Sprintf("%d月%d日", int(d.Month), d.Day)
	if d.Year != f.year {
		day = fmt.Sprintf("%d年%s", d.Year, day)
	}
	return day
}

func weekdayChinese(d Date) string {
	return [...]string{"周日", "周一", "周二", "周三", "周四", "周五", "周六"}[d.Weekday()]
}

// countChinese writes how many of something there are; two of anything are 两.
func countChinese(n int) string {
	if small := [...]string{2: "两", 3: "三", 4: "四", 5: "五", 6: "六", 7: "七", 8: "八", 9: "九", 10: "十"}; n >= 2 && n < len(small) {
		return small[n]
	}
	return fmt.Sprintf(" %d ", n)
}

// zoneChinese names a zone: 北京时间; with the offset where that is not the one every reader of Chinese knows.
func zoneChinese(t time.Time, zone *time.Location) string {
	const beijing = "北京"
	name := zoneNames[zone.String()].zh
	switch city := zoneCity(zone.String()); {
	case name == beijing:
		return name + "时间"
	case name != "":
		return name + "时间，" + offsetName(t, zone)
	case city != "":
		return city + " 时间，" + offsetName(t, zone)
	}
	return offsetName(t, zone)
}
