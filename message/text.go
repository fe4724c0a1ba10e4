package message

import (
	"slices"
	"strings"
	"unicode"
)

// cleanText gives text line ends of one kind, no control characters and a capped length.
func cleanText(s string) string {
	s = strings.ReplaceAll(capBytes(s, maxText+1024), "\r\n", "\n")
	s = strings.ReplaceAll(s, "&nbsp;", " ") // QQ writes it in plain text too
	if strings.IndexFunc(s, unclean) >= 0 {
		s = strings.Map(func(r rune) rune {
			switch {
			case r == 0xa0:
				return ' '
			case unclean(r):
				return -1
			}
			return r
		}, s)
	}
	s = strings.TrimRightFunc(s, unicode.IsSpace)
	for { // blank lines at the top go, the first line's indentation stays
		line, rest, more := strings.Cut(s, "\n")
		if !more || strings.TrimSpace(line) != "" {
			return capBytes(s, maxText)
		}
		s = rest
	}
}

func unclean(r rune) bool {
	return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r <= 0xa0 || r == 0xfeff || r == 0x200b
}

// newText keeps what the writer newly wrote: quoted lines go, and all from a signature, an attribution or an enclosed header on. An
// attribution that ">" lines follow takes only those with it, for the answer may stand below or between them.
func newText(text string) string {
	lines := strings.Split(text, "\n")
	kept := make([]string, 0, len(lines))
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if strings.HasPrefix(line, ">") {
			continue
		}
		if line == "--" || line == "| |" /* where 163's signature begins */ || originalMarker(line) || headerBlock(lines[i:]) {
			break
		}
		if n := attribution(lines[i:]); n > 0 {
			if !strings.HasPrefix(firstText(lines[i+n:]), ">") {
				break
			}
			i += n - 1
			continue
		}
		kept = append(kept, lines[i])
	}
	for len(kept) > 0 && closing(kept[len(kept)-1]) {
		kept = kept[:len(kept)-1]
	}
	return strings.Trim(strings.Join(kept, "\n"), "\n ")
}

func firstText(lines []string) string {
	for _, l := range lines {
		if l = strings.TrimSpace(l); l != "" {
			return l
		}
	}
	return ""
}

// closing reports whether a last line of a letter is not its writer's: empty, a ruled line, a device's advertisement.
func closing(line string) bool {
	line = strings.ToLower(strings.Trim(line, " \t_-*=—|\u3000"))
	if line == "" {
		return true
	}
	return len(line) < 100 && startsAny(line, deviceLines)
}

// attribution reports how many lines "On …, … wrote:" takes at the start of lines, or 0.
func attribution(lines []string) int {
	if !startsAttribution(lines[0]) {
		return 0
	}
	joined := ""
	for n := 1; n <= min(3, len(lines)); n++ {
		line := strings.TrimSpace(lines[n-1])
		if line == "" || len(joined)+len(line) > 500 || n > 1 && startsAttribution(line) && !strings.Contains(line, "@") {
			return 0
		}
		joined += line + " "
		if !strings.HasSuffix(line, ":") && !strings.HasSuffix(line, "：") {
			continue
		}
		if saysWrote(strings.ToLower(joined)) {
			return n
		}
		return 0
	}
	return 0
}

func saysWrote(line string) bool {
	if !strings.ContainsAny(line, "0123456789@") {
		return false
	}
	last := strings.TrimRight(line, " :：")
	return slices.ContainsFunc(wroteLast, func(w string) bool { return strings.HasSuffix(last, w) }) ||
		slices.ContainsFunc(wroteThen, func(w string) bool { return strings.Contains(line, w+" ") })
}

func startsAttribution(line string) bool {
	line = strings.TrimSpace(line)
	if line == "" || len(line) > 400 {
		return false
	}
	if line[0] >= '0' && line[0] <= '9' || strings.Contains(line, "@") || strings.Contains(line, "于2") || strings.Contains(line, "于 2") {
		return true
	}
	return startsAny(strings.ToLower(capBytes(line, 16)), attributionStarts)
}

// originalMarker recognises "-----Original Message-----" and its kin.
func originalMarker(line string) bool {
	if !strings.HasPrefix(line, "-") && !strings.HasPrefix(line, "—") {
		colon := strings.HasSuffix(line, ":") || strings.HasSuffix(line, "：")
		return colon && len(line) < 80 && forwardLines[strings.ToLower(strings.ReplaceAll(line, " ", ""))]
	}
	return startsAny(strings.ToLower(strings.Trim(line, "-— \t")), originalMarkers)
}

// headerBlock recognises "From: … Sent: … To: … Subject: …" at the start of lines: at least two more labels within six lines, and an
// address or a subject among them, lest somebody's "From: Shanghai To: Hamburg" be taken for it.
func headerBlock(lines []string) bool {
	if !fromLabels[label(lines[0])] {
		return false
	}
	others, address := 0, strings.Contains(lines[0], "@")
	for _, line := range lines[1:min(len(lines), 9)] {
		l := label(line)
		if sentLabels[l] || restLabels[l] {
			others++
		}
		address = address || strings.Contains(line, "@") || l == "subject" || l == "主题" || l == "主旨" || l == "betreff"
	}
	return others >= 2 && address
}

// label returns what stands before a line's first colon (or, in 163's tables, bar), in lower case and without marks of emphasis.
func label(line string) string {
	line = strings.TrimLeft(line, " \t*|")
	head := capBytes(line, 40)
	end := strings.IndexByte(head, ':')
	if end < 0 {
		end = max(strings.Index(head, "："), strings.IndexByte(head, '|'))
	}
	if end <= 0 {
		return ""
	}
	l := strings.Trim(line[:end], " \t*\u3000")
	return strings.ToLower(strings.ReplaceAll(strings.ReplaceAll(l, " ", ""), "\u3000", ""))
}
