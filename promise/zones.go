package promise

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zone names work on a system without its own files
)

// zoneNames is how people call a zone, in English and in Chinese; "time" and 时间 are added. Zones that are not here are
// called by their city.
var zoneNames = map[string]struct{ en, zh string }{
	"Asia/Shanghai": {"China", "北京"}, "Asia/Chongqing": {"China", "北京"}, "Asia/Chungking": {"China", "北京"},
	"Asia/Harbin": {"China", "北京"}, "PRC": {"China", "北京"},
	"Asia/Urumqi": {"Urumqi", "新疆"}, "Asia/Hong_Kong": {"Hong Kong", "香港"}, "Hongkong": {"Hong Kong", "香港"},
	"Asia/Macau": {"Macau", "澳门"}, "Asia/Taipei": {"Taipei", "台北"}, "Asia/Singapore": {"Singapore", "新加坡"},
	"Asia/Tokyo": {"Japan", "日本"}, "Japan": {"Japan", "日本"}, "Asia/Seoul": {"Korea", "韩国"},
	"Asia/Kuala_Lumpur": {"Malaysia", "马来西亚"}, "Asia/Bangkok": {"Thailand", "泰国"}, "Asia/Jakarta": {"Jakarta", "雅加达"},
	"Asia/Ho_Chi_Minh": {"Vietnam", "越南"}, "Asia/Manila": {"Philippine", "菲律宾"}, "Asia/Kolkata": {"India", "印度"},
	"Asia/Calcutta": {"India", "印度"}, "Asia/Kathmandu": {"Nepal", "尼泊尔"}, "Asia/Dhaka": {"Bangladesh", "孟加拉国"},
	"Asia/Karachi": {"Pakistan", "巴基斯坦"}, "Asia/Dubai": {"Dubai", "迪拜"}, "Asia/Riyadh": {"Saudi", "沙特"},
	"Asia/Tehran": {"Iran", "伊朗"}, "Asia/Jerusalem": {"Israel", "以色列"}, "Asia/Almaty": {"Almaty", "阿拉木图"},
	"Europe/London": {"UK", "英国"}, "Europe/Dublin": {"Irish", "爱尔兰"}, "Europe/Lisbon": {"Lisbon", "里斯本"},
	"Europe/Paris": {"Paris", "巴黎"}, "Europe/Berlin": {"Berlin", "柏林"}, "Europe/Madrid": {"Madrid", "马德里"},
	"Europe/Rome": {"Rome", "罗马"}, "Europe/Amsterdam": {"Amsterdam", "阿姆斯特丹"}, "Europe/Brussels": {"Brussels", "布鲁塞尔"},
	"Europe/Zurich": {"Zurich", "苏黎世"}, "Europe/Vienna": {"Vienna", "维也纳"}, "Europe/Prague": {"Prague", "布拉格"},
	"Europe/Warsaw": {"Warsaw", "华沙"}, "Europe/Budapest": {"Budapest", "布达佩斯"}, "Europe/Stockholm": {"Stockholm", "斯德哥尔摩"},
	"Europe/Oslo": {"Oslo", "奥斯陆"}, "Europe/Copenhagen": {"Copenhagen", "哥本哈根"}, "Europe/Helsinki": {"Helsinki", "赫尔辛基"},
	"Europe/Athens": {"Athens", "雅典"}, "Europe/Bucharest": {"Bucharest", "布加勒斯特"}, "Europe/Kyiv": {"Kyiv", "基辅"},
	"Europe/Kiev": {"Kyiv", "基辅"}, "Europe/Istanbul": {"Istanbul", "伊斯坦布尔"}, "Europe/Moscow": {"Moscow", "莫斯科"},
	"Africa/Cairo": {"Cairo", "开罗"}, "Africa/Johannesburg": {"South Africa", "南非"}, "Africa/Lagos": {"Lagos", "拉各斯"},
	"Africa/Nairobi": {"Nairobi", "内罗毕"}, "Africa/Casablanca": {"Casablanca", "卡萨布兰卡"},
	"America/New_York": {"US Eastern", "美国东部"}, "America/Chicago": {"US Central", "美国中部"},
	"America/Denver": {"US Mountain", "美国山地"}, "America/Phoenix": {"Arizona", "亚利桑那"},
	"America/Los_Angeles": {"US Pacific", "美国太平洋"}, "America/Anchorage": {"Alaska", "阿拉斯加"},
	"Pacific/Honolulu": {"Hawaii", "夏威夷"}, "America/Toronto": {"Toronto", "多伦多"}, "America/Vancouver": {"Vancouver", "温哥华"},
	"America/Mexico_City": {"Mexico City", "墨西哥城"}, "America/Bogota": {"Bogotá", "波哥大"}, "America/Lima": {"Lima", "利马"},
	"America/Santiago": {"Santiago", "圣地亚哥"}, "America/Sao_Paulo": {"São Paulo", "圣保罗"},
	"America/Argentina/Buenos_Aires": {"Buenos Aires", "布宜诺斯艾利斯"},
	"Australia/Sydney":               {"Sydney", "悉尼"}, "Australia/Melbourne": {"Melbourne", "墨尔本"},
	"Australia/Brisbane": {"Brisbane", "布里斯班"}, "Australia/Adelaide": {"Adelaide", "阿德莱德"},
	"Australia/Perth": {"Perth", "珀斯"}, "Pacific/Auckland": {"New Zealand", "新西兰"},
}

// zoneCity is the city of a zone's name: Europe/Berlin's is Berlin. Names without a city have none.
func zoneCity(name string) string {
	i := strings.LastIndexByte(name, '/')
	if i <= 0 || strings.HasPrefix(name, "Etc/") {
		return ""
	}
	return strings.ReplaceAll(name[i+1:], "_", " ")
}

// offsetName writes the zone's distance from UTC at the instant: UTC+8, UTC−3:30, UTC.
func offsetName(t time.Time, zone *time.Location) string {
	_, seconds := t.In(zone).Zone()
	sign := "+"
	if seconds < 0 {
		sign, seconds = "−", -seconds
	}
	switch minutes := seconds / 60; {
	case minutes == 0:
		return "UTC"
	case minutes%60 == 0:
		return fmt.Sprintf("UTC%s%d", sign, minutes/60)
	default:
		return fmt.Sprintf("UTC%s%d:%02d", sign, minutes/60, minutes%60)
	}
}

// windowsZones are the names Outlook and Exchange write as TZID (Unicode CLDR, windowsZones).
var windowsZones = map[string]string{
	"china standard time": "Asia/Shanghai", "taipei standard time": "Asia/Taipei", "singapore standard time": "Asia/Singapore",
	"tokyo standard time": "Asia/Tokyo", "korea standard time": "Asia/Seoul", "se asia standard time": "Asia/Bangkok",
	"w. australia standard time": "Australia/Perth", "aus eastern standard time": "Australia/Sydney",
	"e. australia standard time": "Australia/Brisbane", "cen. australia standard time": "Australia/Adelaide",
	"tasmania standard time": "Australia/Hobart", "new zealand standard time": "Pacific/Auckland",
	"india standard time": "Asia/Kolkata", "sri lanka standard time": "Asia/Colombo", "nepal standard time": "Asia/Kathmandu",
	"bangladesh standard time": "Asia/Dhaka", "pakistan standard time": "Asia/Karachi", "myanmar standard time": "Asia/Yangon",
	"central asia standard time": "Asia/Almaty", "west asia standard time": "Asia/Tashkent", "iran standard time": "Asia/Tehran",
	"arabian standard time": "Asia/Dubai", "arab standard time": "Asia/Riyadh", "israel standard time": "Asia/Jerusalem",
	"turkey standard time": "Europe/Istanbul", "russian standard time": "Europe/Moscow", "egypt standard time": "Africa/Cairo",
	"south africa standard time": "Africa/Johannesburg", "e. africa standard time": "Africa/Nairobi",
	"w. central africa standard time": "Africa/Lagos", "morocco standard time": "Africa/Casablanca",
	"gmt standard time": "Europe/London", "greenwich standard time": "Atlantic/Reykjavik", "utc": "UTC",
	"w. europe standard time": "Europe/Berlin", "romance standard time": "Europe/Paris",
	"central europe standard time": "Europe/Budapest", "central european standard time": "Europe/Warsaw",
	"e. europe standard time": "Europe/Chisinau", "gtb standard time": "Europe/Bucharest", "fle standard time": "Europe/Kyiv",
	"eastern standard time": "America/New_York", "central standard time": "America/Chicago",
	"mountain standard time": "America/Denver", "us mountain standard time": "America/Phoenix",
	"pacific standard time": "America/Los_Angeles", "alaskan standard time": "America/Anchorage",
	"hawaiian standard time": "Pacific/Honolulu", "atlantic standard time": "America/Halifax",
	"newfoundland standard time": "America/St_Johns", "canada central standard time": "America/Regina",
	"central standard time (mexico)": "America/Mexico_City", "us eastern standard time": "America/Indiana/Indianapolis",
	"sa pacific standard time": "America/Bogota", "sa western standard time": "America/La_Paz",
	"sa eastern standard time": "America/Cayenne", "pacific sa standard time": "America/Santiago",
	"e. south america standard time": "America/Sao_Paulo", "argentina standard time": "America/Argentina/Buenos_Aires",
	"venezuela standard time": "America/Caracas", "north asia standard time": "Asia/Krasnoyarsk",
	"north asia east standard time": "Asia/Irkutsk", "vladivostok standard time": "Asia/Vladivostok",
	"ulaanbaatar standard time": "Asia/Ulaanbaatar", "west pacific standard time": "Pacific/Port_Moresby",
}

// displayedZone is a zone as Outlook shows it: (UTC+08:00) Beijing, Chongqing, Hong Kong, Urumqi.
var displayedZone = regexp.MustCompile(`^\((?:UTC|GMT)([+-])(\d{1,2}):(\d\d)\)`)

// zoneByID finds the zone a TZID means: an IANA name, also one with a program's own path before it, or Outlook's name
// for it; nil when nobody knows.
func zoneByID(id string) *time.Location {
	id = strings.TrimSpace(id)
	if id == "" || len(id) > 100 || strings.EqualFold(id, "local") {
		return nil
	}
	if name, ok := windowsZones[strings.ToLower(id)]; ok {
		id = name
	}
	if m := displayedZone.FindStringSubmatch(id); m != nil {
		h, _ := strconv.Atoi(m[2])
		min, _ := strconv.Atoi(m[3])
		if offset := h*3600 + min*60; h <= 14 && min < 60 {
			if m[1] == "-" {
				offset = -offset
			}
			return time.FixedZone("", offset)
		}
		return nil
	}
	parts := strings.Split(id, "/")
	for parts = parts[max(0, len(parts)-3):]; len(parts) > 0; parts = parts[1:] { // no name has more than three
		if zone, err := time.LoadLocation(strings.Join(parts, "/")); err == nil && parts[0] != "" {
			return zone
		}
	}
	return nil
}
