package promise

import (
	"embed"
	"sync"
)

// The State Council decrees China's holidays and make-up workdays each autumn; they cannot be computed. The files
// are NateScarlet/holiday-cn's, shipped under the MIT licence that lies beside them.
//
//go:embed holidays-cn/*.json holidays-cn/LICENSE
var holidaysCN embed.FS

// China is the calendar of mainland China's statutory holidays with their make-up workdays (调休), for the years this
// program was built with. Should the built-in files ever be unreadable, it knows no year, and nothing is promised.
func China() *Calendar { return china() }

var china = sync.OnceValue(func() *Calendar {
	const name, folder = "china", "holidays-cn"
	var files [][]byte
	entries, err := holidaysCN.ReadDir(folder)
	if err != nil {
		return newCalendar(name)
	}
	for _, e := range entries {
		if data, err := holidaysCN.ReadFile(folder + "/" + e.Name()); err == nil && e.Name() != "LICENSE" {
			files = append(files, data)
		}
	}
	c, err := ReadHolidayJSON(name, files...)
	if err != nil {
		return newCalendar(name)
	}
	return c
})
