package members

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"
)

// Columns are the import's columns that are a member's own properties, in the order an export writes them.
var Columns = []string{
	"email", "name", "language", "time_zone", "tier", "topics", "format", "acknowledgements",
	"cadence", "preferred_hour", "pause_until", "status", "joined",
}

// Limits on what one member may hold, far above honest use.
const (
	maxName   = 200  // characters
	maxValue  = 4096 // bytes of any other value
	maxTopics = 100
	maxFields = 200
)

// Allowed words, "" not among them: an empty value is always allowed and means no preference.
var (
	statuses         = []string{StatusPending, StatusActive, StatusUnsubscribed, StatusBounced, StatusComplained}
	formats          = []string{"html", "text"}
	acknowledgements = []string{"full", "brief", "none"}
)

// Set gives one column its value after checking it, as `members set` and an import do; an empty value clears the column.
// A column that is none of Columns becomes a field: numbers, true and false, and dates are recognised by their shape.
// The error is a sentence that names the column.
func (m *Member) Set(column, value string) error {
	name := ColumnName(column)
	if !utf8.ValidString(value) {
		return fmt.Errorf("%s: the value is not valid UTF-8", name)
	}
	if len(value) > maxValue {
		return fmt.Errorf("%s: the value is longer than %d bytes", name, maxValue)
	}
	if err := m.set(name, value); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (m *Member) set(name, value string) (err error) {
	word := strings.TrimFunc(value, blank)
	switch name {
	case "":
		return fmt.Errorf("%q is not a column name", clip(value))
	case "email":
		var address string
		if address, err = NormalAddress(word); err == nil {
			m.Email = address
		}
	case "name":
		err = setLine(&m.Name, word, maxName)
	case "language":
		err = setLanguage(&m.Language, word)
	case "time_zone":
		err = setZone(&m.TimeZone, word)
	case "tier":
		err = setLine(&m.Tier, word, 64)
	case "topics":
		err = setTopics(&m.Topics, word)
	case "format":
		err = setChoice(&m.Format, word, formats)
	case "acknowledgements":
		err = setChoice(&m.Acknowledgements, word, acknowledgements)
	case "cadence":
		err = setLine(&m.Cadence, word, 64)
	case "preferred_hour":
		err = setHour(&m.PreferredHour, word)
	case "pause_until":
		err = setTime(&m.PauseUntil, word)
	case "status":
		if word == "" {
			return fmt.Errorf("may not be empty: it is one of %s", list(statuses))
		}
		err = setChoice(&m.Status, word, statuses)
	case "joined":
		err = setTime(&m.Joined, word)
	default:
		err = m.setField(name, value)
	}
	return err
}

// Apply sets the columns of one imported row. An empty cell says nothing and leaves what is held. All mistakes of the
// row are returned together; the columns without one are set.
func (m *Member) Apply(columns map[string]string) error {
	var mistakes []error
	for name, value := range columns {
		if strings.TrimFunc(value, blank) == "" {
			continue
		}
		if err := m.Set(name, value); err != nil {
			mistakes = append(mistakes, err)
		}
	}
	// The map's order is random; the report's must not be.
	slices.SortFunc(mistakes, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return joinSentences(mistakes)
}

// joinSentences is errors.Join on one line, for reports that are a line a row.
func joinSentences(mistakes []error) error {
	if len(mistakes) < 2 {
		return errors.Join(mistakes...)
	}
	all := make([]string, len(mistakes))
	for i, err := range mistakes {
		all[i] = err.Error()
	}
	return errors.New(strings.Join(all, "; "))
}

// ColumnName is the name a header's cell stands for: lower case, spaces and signs as underscores, so that a condition
// can say it: "Shoe Size" is shoe_size. "" if nothing is left.
func ColumnName(header string) string {
	if plainName(header) {
		return header
	}
	var b strings.Builder
	for _, r := range strings.ToLower(header) {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r) && b.Len() > 0, unicode.IsMark(r) && b.Len() > 0:
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "_"):
			b.WriteByte('_')
		}
		if b.Len() > 64 {
			break
		}
	}
	return strings.TrimRight(b.String(), "_")
}

// plainName says whether the name is in its final form already.
func plainName(s string) bool {
	if s == "" || len(s) > 64 || s[0] < 'a' || s[0] > 'z' || s[len(s)-1] == '_' || strings.Contains(s, "__") {
		return false
	}
	for i := 1; i < len(s); i++ {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// setLine keeps a value that may end in a header on one line and free of control characters.
func setLine(to *string, value string, most int) error {
	line := strings.Join(strings.FieldsFunc(value, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if utf8.RuneCountInString(line) > most {
		return fmt.Errorf("longer than %d characters", most)
	}
	*to = line
	return nil
}

func setChoice(to *string, value string, among []string) error {
	word := strings.ToLower(value)
	if word != "" && !slices.Contains(among, word) {
		return fmt.Errorf("%q is not known: it is one of %s%s", clip(value), list(among), meant(word, among))
	}
	*to = word
	return nil
}

// CheckLanguage gives a BCP 47 tag in its canonical spelling, or says what is wrong with it.
func CheckLanguage(tag string) (canonical string, err error) {
	err = setLanguage(&canonical, tag)
	return canonical, err
}

// setLanguage takes a BCP 47 tag, also with an underscore, in its canonical spelling.
func setLanguage(to *string, value string) error {
	if value == "" || value == "en" || value == "zh" {
		*to = value
		return nil
	}
	tag, err := language.Parse(value)
	if err != nil || tag == language.Und {
		return fmt.Errorf("%q is not a language code: write en, zh, zh-Hant, de …%s", clip(value), languageMeant(value))
	}
	*to = tag.String()
	return nil
}

func languageMeant(value string) string {
	code, ok := map[string]string{
		"english": "en", "chinese": "zh", "mandarin": "zh", "中文": "zh", "汉语": "zh", "简体中文": "zh", "英文": "en", "英语": "en",
		"german": "de", "deutsch": "de", "french": "fr", "spanish": "es", "japanese": "ja", "日文": "ja", "日语": "ja", "korean": "ko",
		"cn": "zh", "繁體中文": "zh-Hant",
	}[strings.ToLower(value)]
	if !ok {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", code)
}

func setTopics(to *[]string, value string) error {
	var topics []string
	for topic := range strings.SplitSeq(value, ";") {
		var name string
		if err := setLine(&name, topic, 64); err != nil {
			return fmt.Errorf("the topic %q is %w", clip(topic), err)
		}
		if strings.Contains(name, ",") {
			return fmt.Errorf("%q has a comma: topics are parted by semicolons, like news;architecture", clip(name))
		}
		if name != "" {
			topics = append(topics, name)
		}
	}
	slices.Sort(topics)
	topics = slices.Compact(topics)
	if len(topics) > maxTopics {
		return fmt.Errorf("more than %d topics", maxTopics)
	}
	*to = topics
	return nil
}

// setHour takes 9, 09 or 09:00.
func setHour(to **int, value string) error {
	if value == "" {
		*to = nil
		return nil
	}
	hour, err := strconv.Atoi(strings.TrimSuffix(value, ":00"))
	if err != nil || hour < 0 || hour > 23 || len(value) > 5 {
		return fmt.Errorf("%q is not an hour: write a number from 0 to 23", clip(value))
	}
	*to = &hour
	return nil
}

func setTime(to *time.Time, value string) error {
	if value == "" {
		*to = time.Time{}
		return nil
	}
	t, ok := parseTime(value)
	if !ok {
		return fmt.Errorf("%q is not a date: write it like 2026-12-31 or 2026-12-31T09:00:00+08:00", clip(value))
	}
	*to = t
	return nil
}

// parseTime takes an ISO date, the same with slashes (as Chinese spreadsheets write it), or RFC 3339. In UTC.
func parseTime(s string) (time.Time, bool) {
	// Years with four digits first: nothing else is unambiguous around the world.
	if len(s) < 8 || len(s) > 40 || s[0] < '0' || s[0] > '9' || s[4] != '-' && s[4] != '/' {
		return time.Time{}, false
	}
	layouts := [...]string{"2006-01-02", time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04"}
	if s[4] == '/' {
		layouts = [...]string{"2006/1/2", "2006/01/02", "2006/1/2 15:04:05", "2006/1/2 15:04"}
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil && t.Year() >= 1 {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// setField recognises the type of a further column by its shape.
func (m *Member) setField(name, value string) error {
	if strings.TrimFunc(value, blank) == "" {
		delete(m.Fields, name)
		return nil
	}
	recognised := recognise(value)
	if kind, fixed := standardFields[name]; fixed {
		typed, ok := convert(kind, recognised)
		if !ok {
			return fmt.Errorf("%q is not a %s", clip(value), kind)
		}
		recognised = typed
	}
	if _, held := m.Fields[name]; !held && len(m.Fields) >= maxFields {
		return fmt.Errorf("a member can have %d further fields, and has them already", maxFields)
	}
	if m.Fields == nil {
		m.Fields = map[string]any{}
	}
	m.Fields[name] = recognised
	return nil
}

// recognise gives a number, a bool, a date, or else the text itself.
func recognise(value string) any {
	word := strings.TrimFunc(value, blank)
	if n, ok := parseNumber(word); ok {
		return n
	}
	switch strings.ToLower(word) {
	case "true":
		return true
	case "false":
		return false
	}
	if t, ok := parseTime(word); ok {
		return t
	}
	return cleanText(value)
}

// parseNumber takes only numbers that come out of an export as they went in: no leading zero or plus (a postcode, a
// telephone number), no exponent, and no more digits than a float64 holds (an order number may have eighteen).
func parseNumber(s string) (float64, bool) {
	digits := strings.TrimPrefix(s, "-")
	whole, fraction, dot := strings.Cut(digits, ".")
	if whole == "" || len(whole) > 1 && whole[0] == '0' || dot && fraction == "" || len(whole)+len(fraction) > 15 {
		return 0, false
	}
	for _, part := range [...]string{whole, fraction} {
		for i := 0; i < len(part); i++ {
			if part[i] < '0' || part[i] > '9' {
				return 0, false
			}
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil && (n != 0 || s[0] != '-')
}

// cleanText keeps line breaks (a note may have them) and drops other control characters.
func cleanText(s string) string {
	s = strings.ReplaceAll(strings.TrimFunc(s, blank), "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		if r == '\r' {
			return '\n'
		}
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s)
}

// list is "a, b or c".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
