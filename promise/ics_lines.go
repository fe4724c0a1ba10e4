package promise

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

const (
	maxICSLine   = 4 << 10 // bytes of a line that matters, unfolded
	maxICSParams = 1 << 10 // bytes of it before the value
	maxICSDepth  = 16      // components within components
)

// icsLine is a content line up to its value (RFC 5545 §3.1). What does not match would make the decoder panic.
var icsLine = regexp.MustCompile(`^[A-Za-z0-9-]+(;[A-Za-z0-9-]+=("[^"]*"|[^";:,]*)(,("[^"]*"|[^";:,]*))*)*:`)

// icsWanted are the properties that say when an event is and what kind.
var icsWanted = map[string]bool{
	"BEGIN": true, "END": true, "X-WR-TIMEZONE": true, "UID": true, "SUMMARY": true, "STATUS": true,
	"DTSTART": true, "DTEND": true, "DURATION": true, "RRULE": true, "RDATE": true, "EXDATE": true, "RECURRENCE-ID": true,
}

// plainICS unfolds the file's lines (RFC 5545 §3.1), keeps those that matter here, and makes sure that decoding them
// is safe: descriptions of any length, broken lines of no interest and endless nesting never reach the decoder.
func plainICS(data []byte) ([]byte, error) {
	if len(data) > maxICS {
		return nil, fmt.Errorf("it is larger than %d MiB", maxICS>>20)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	data = bytes.ReplaceAll(data, []byte("\n "), nil)
	data = bytes.ReplaceAll(data, []byte("\n\t"), nil)
	var out bytes.Buffer
	depth, number := 0, 0
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		number++
		line = bytes.TrimRight(line, "\r \t")
		end := bytes.IndexAny(line, ":;")
		if end < 0 {
			continue
		}
		name := strings.ToUpper(string(line[:min(end, 32)]))
		if !icsWanted[name] {
			continue
		}
		if len(line) > maxICSLine {
			return nil, fmt.Errorf("line %d (%s, unfolded) is too long", number, name)
		}
		if at := icsLine.FindIndex(line); at == nil || at[1] > maxICSParams {
			return nil, fmt.Errorf("line %d is not a line of an iCalendar file: %q", number, shorten(string(line)))
		}
		switch name {
		case "BEGIN":
			depth++
		case "END":
			depth--
		}
		if depth > maxICSDepth {
			return nil, fmt.Errorf("line %d: components are nested too deep", number)
		}
		out.Write(line)
		out.WriteString("\r\n")
	}
	if depth != 0 {
		return nil, fmt.Errorf("it is cut off: a component that begins never ends")
	}
	return out.Bytes(), nil
}
