package members

import (
	"fmt"
	"strings"
)

func setZone(to *string, value string) error {
	if value != "" && loadZone(value) == nil {
		return fmt.Errorf("%q is not a time zone of the IANA list, such as Asia/Shanghai%s", clip(value), zoneMeant(value))
	}
	*to = value
	return nil
}

// CheckZone says what is wrong with an IANA zone's name, nil if nothing is.
func CheckZone(name string) error {
	var zone string
	if name == "" {
		return fmt.Errorf("the time zone is empty")
	}
	return setZone(&zone, name)
}

// zoneMeant ends the sentence about an unknown zone with the one that was probably meant.
func zoneMeant(value string) string {
	word := strings.ToLower(strings.Join(strings.Fields(value), " "))
	if zone, ok := zoneNames[word]; ok {
		return fmt.Sprintf("; did you mean %q?", zone)
	}
	return meant(value, commonZones)
}

// zoneNames are what people write instead of a zone: capitals, abbreviations, the names of other systems.
var zoneNames = map[string]string{
	"beijing": "Asia/Shanghai", "asia/beijing": "Asia/Shanghai", "shanghai": "Asia/Shanghai", "china": "Asia/Shanghai",
	"china standard time": "Asia/Shanghai", "cst": "Asia/Shanghai", "utc+8": "Asia/Shanghai", "gmt+8": "Asia/Shanghai",
	"utc+08:00": "Asia/Shanghai", "+08:00": "Asia/Shanghai", "+8": "Asia/Shanghai", "北京": "Asia/Shanghai", "asia/shenzhen": "Asia/Shanghai",
	"asia/guangzhou": "Asia/Shanghai", "hong kong": "Asia/Hong_Kong", "hkt": "Asia/Hong_Kong", "taipei": "Asia/Taipei",
	"singapore": "Asia/Singapore", "tokyo": "Asia/Tokyo", "jst": "Asia/Tokyo", "london": "Europe/London", "bst": "Europe/London",
	"berlin": "Europe/Berlin", "cest": "Europe/Berlin", "paris": "Europe/Paris", "new york": "America/New_York",
	"edt": "America/New_York", "eastern": "America/New_York", "pst": "America/Los_Angeles",
	"pdt": "America/Los_Angeles", "pacific": "America/Los_Angeles", "local": "UTC", "z": "UTC",
}

// commonZones are only for suggestions; every zone of the tz database is accepted.
var commonZones = []string{
	"Asia/Shanghai", "Asia/Hong_Kong", "Asia/Taipei", "Asia/Singapore", "Asia/Tokyo", "Asia/Seoul", "Asia/Bangkok",
	"Asia/Kuala_Lumpur", "Asia/Jakarta", "Asia/Manila", "Asia/Ho_Chi_Minh", "Asia/Kolkata", "Asia/Dubai", "Asia/Urumqi", "Asia/Macau",
	"Europe/London", "Europe/Dublin", "Europe/Lisbon", "Europe/Berlin", "Europe/Paris", "Europe/Madrid", "Europe/Rome",
	"Europe/Amsterdam", "Europe/Vienna", "Europe/Zurich", "Europe/Warsaw", "Europe/Athens", "Europe/Moscow", "Europe/Istanbul",
	"America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Toronto", "America/Vancouver",
	"America/Sao_Paulo", "America/Mexico_City", "Australia/Sydney", "Australia/Melbourne", "Australia/Perth", "Pacific/Auckland",
	"Africa/Johannesburg", "Africa/Nairobi", "Africa/Cairo", "Africa/Lagos", "UTC",
}
