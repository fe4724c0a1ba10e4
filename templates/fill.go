package templates

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// measure is how many columns a line of the text part has (RFC 5322 §2.1.1 recommends at most 78).
const measure = 72

// filler sets the blocks that the text template wrote into lines: spaces folded, at most 72 columns
// (East Asian characters take two), links on lines of their own below the line that names them.
type filler struct {
	out       []byte
	layouts   []layout
	previous  *layout // of the last block written; nil: none yet
	closing   bool    // the foot has begun, and nothing of it is written yet
	addresses [][]byte

	prefix    string // of the lines after the present one
	column    int
	start     int  // where the present line's words begin in out
	cut       int  // where the line can be broken, -1: nowhere yet
	cutColumn int  // and which column that is
	space     bool // a space comes before the next character
	last      rune
	numbered  bool // there are several links in this line
}

// fill sets src, which the text template has written, and appends the lines to dst.
func fill(dst, src []byte, layouts []layout) []byte {
	f := filler{out: dst, layouts: layouts}
	for len(src) > 0 {
		src = src[bytes.IndexByte(src, blockMark)+1:] // what Markdown puts between blocks is nothing
		r, size := utf8.DecodeRune(src)
		src = src[size:]
		end := bytes.IndexByte(src, blockMark)
		if end < 0 {
			end = len(src)
		}
		if n := int(r - firstMark); n >= 0 && n < len(layouts) {
			f.block(&layouts[n], src[:end])
		}
		src = src[end:]
	}
	return f.out
}

func (f *filler) block(l *layout, content []byte) {
	if l.closing {
		f.closing = true
		return
	}
	if !says(content) {
		return
	}
	if p := f.previous; p != nil {
		switch {
		case f.closing:
			f.out = append(f.out, "\n-- \n"...)
			f.closing = false
		case l.group != 0 && l.group == p.group:
		case l.quote != 0 && l.quote == p.quote:
			f.out = append(append(f.out, l.blank...), '\n')
		default:
			f.out = append(f.out, '\n')
		}
	}
	f.previous = l
	f.prefix = l.rest
	prefix := l.first
	widest := 0
	content = bytes.Trim(content, "\n")
	for more := true; more; {
		var line []byte
		line, content, more = bytes.Cut(content, []byte{'\n'})
		if l.verbatim {
			f.out = append(append(append(f.out, prefix...), line...), '\n')
		} else if says(line) {
			widest = max(widest, f.line(prefix, line))
		}
		prefix = l.rest
	}
	if l.underline != 0 {
		f.out = append(f.out, l.rest...)
		f.out = append(f.out, bytes.Repeat([]byte{l.underline}, min(widest, measure)-len(l.rest))...)
		f.out = append(f.out, '\n')
	}
}

// says tells whether there is anything but spaces and our marks.
func says(content []byte) bool {
	return bytes.ContainsFunc(content, func(r rune) bool { return r > ' ' })
}

// line sets one line of the source into as many as it needs, and tells its width.
func (f *filler) line(prefix string, line []byte) int {
	f.out = append(f.out, prefix...)
	f.column, f.start, f.cut, f.space, f.last = len(prefix), len(f.out), -1, false, 0
	f.addresses = f.addresses[:0]
	f.numbered = bytes.Count(line, []byte{linkEnd})-bytes.Count(line, []byte{linkMark, linkEnd}) > 1
	open := false // a link is the last thing in the line
	keep := false // between two keepMarks
	for i := 0; i < len(line); {
		r, size := rune(line[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(line[i:])
		}
		if r == linkMark {
			end := max(bytes.IndexByte(line[i:], linkEnd), 1)
			open = f.address(line[i+1 : i+end])
			i += end + 1
			continue
		}
		switch {
		case r == keepMark:
			keep = !keep
		case (r == ' ' || r == '\t') && !keep:
			f.space = true
		default:
			// ASCII is never broken but at spaces: the rest of the word comes along.
			for r < utf8.RuneSelf && i+size < len(line) && line[i+size] > ' ' && line[i+size] < utf8.RuneSelf {
				size++
			}
			f.put(r, line[i:i+size])
			open = false
		}
		i += size
	}
	column := f.column
	if open && !f.numbered && !unicode.IsPunct(f.last) {
		if wide(f.last) {
			f.out = append(f.out, "："...)
		} else {
			f.out = append(f.out, ':')
		}
	}
	f.out = append(f.out, '\n')
	for i, a := range f.addresses {
		f.out = append(f.out, f.prefix...)
		if f.numbered {
			f.out = fmt.Appendf(f.out, "[%d] ", i+1)
		}
		f.out = append(append(f.out, a...), '\n')
	}
	return column
}

// address keeps a link for the lines below; false: this reader has none.
func (f *filler) address(a []byte) bool {
	if len(a) == 0 {
		return false
	}
	f.addresses = append(f.addresses, a)
	if f.numbered {
		f.space = f.space || !wide(f.last)
		f.put('[', fmt.Appendf(nil, "[%d]", len(f.addresses)))
	}
	return true
}

// put adds one character, or a word of ASCII that begins with it, and breaks the line where it has become
// too long.
func (f *filler) put(r rune, encoded []byte) {
	columns, last := len(encoded), rune(encoded[len(encoded)-1])
	if r >= utf8.RuneSelf {
		columns, last = columnsOf(r), r
	}
	if f.last != 0 {
		if f.space && !bound(f.last, encoded) || !f.space && columns > 0 && breakable(f.last, r) {
			f.cut, f.cutColumn = len(f.out), f.column
		}
		if f.space {
			f.out = append(f.out, ' ')
			f.column++
		}
	}
	f.space = false
	f.out = append(f.out, encoded...)
	f.column += columns
	if columns > 0 {
		f.last = last
	}
	if f.column > measure && f.cut > f.start {
		f.wrap()
	}
}

// bound tells whether a space should not end a line: between a word and its number (November 25), or a
// time and its half of the day (6 PM).
func bound(before rune, after []byte) bool {
	number := before >= '0' && before <= '9'
	return unicode.IsLetter(before) && after[0] >= '0' && after[0] <= '9' || number && (bytes.HasPrefix(after, []byte("AM")) || bytes.HasPrefix(after, []byte("PM")))
}

// wrap ends the line at the last place where it can be broken.
func (f *filler) wrap() {
	f.column += len(f.prefix) - f.cutColumn
	if f.out[f.cut] == ' ' {
		f.out[f.cut] = '\n'
		f.column--
	} else {
		f.out = slices.Insert(f.out, f.cut, '\n')
	}
	f.start = f.cut + 1 + len(f.prefix)
	f.out = slices.Insert(f.out, f.cut+1, []byte(f.prefix)...)
	f.cut = -1
}

// columnsOf tells how many columns r takes in a window of fixed-width characters (UAX #11).
func columnsOf(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case wide(r):
		return 2
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	}
	return 1
}

// wide tells whether r is an East Asian character of full width, or an emoji.
func wide(r rune) bool {
	if r < 0x1100 {
		return false
	}
	if r >= 0x4E00 && r <= 0x9FFF || r >= 0x3001 && r <= 0x3011 || r >= 0xFF01 && r <= 0xFF60 {
		return true
	}
	k := width.LookupRune(r).Kind()
	return k == width.EastAsianWide || k == width.EastAsianFullwidth
}

// spaceless tells whether a language sets no spaces between words.
func spaceless(language string) bool {
	base, _, _ := strings.Cut(language, "-")
	return base == "zh" || base == "ja"
}

// breakable tells whether a line may end between a and b that no space divides: between full-width
// characters, but not where a line would begin with a closing mark or end with an opening one, and not
// between a number and the character that counts it (11月25日).
func breakable(a, b rune) bool {
	if a < 0x1100 && b < 0x1100 {
		return false
	}
	wideA, wideB := wide(a), wide(b)
	if !wideA && !wideB {
		return false
	}
	if han(a) && han(b) {
		return true
	}
	if unicode.IsDigit(a) && han(b) || unicode.IsDigit(b) && han(a) {
		return false
	}
	return !strings.ContainsRune("，。、；：？！）》」』】〉〕％…—”’·,.;:?!)]}%", b) && !strings.ContainsRune("（《「『【〈〔“‘([{", a)
}

func han(r rune) bool { return r >= 0x4E00 && r <= 0x9FFF || unicode.Is(unicode.Han, r) }
