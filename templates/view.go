package templates

import (
	htmltemplate "html/template"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// How much of a reader's values is written, in characters.
const (
	longestName    = 64  // a longer one is no name; greeting with the half of it would be worse than without
	longestValue   = 200 // the subject line too (RULES: at most 200)
	longestMention = 90  // of the subject inside the letter
	mostTopics     = 50
)

// view is the root of the compiled templates: what a letter can say to one reader, each word ready
// and harmless. Its fields are what vocabulary calls them.
type view struct {
	MemberName, MemberEmail, MemberTier, MemberLanguage string
	MemberJoined                                        any // day, or "" when unknown
	MemberKnown                                         bool
	MemberTopics                                        []string
	MessageSubject, MessageSubjectLine                  string
	BusinessName, BusinessWebsite                       string
	BusinessPhone, BusinessTel, BusinessPostalAddress   string
	MailboxName, MailboxAddress                         string
	LinksPreferences, LinksUnsubscribe                  string
	Promise                                             string
	Promised                                            bool
	Subject, Preheader                                  string // of the frame: already rendered
	OutlookOpen, OutlookClose                           htmltemplate.HTML

	reader   *Reader
	language string
}

func (v *view) set(r *Reader, language string) {
	subject := cut(Harmless(r.Subject), longestValue)
	*v = view{
		MemberName: nameOf(r.Name), MemberEmail: addressOf(r.Email), MemberTier: worded(r.Tier), MemberLanguage: worded(r.Language),
		MemberJoined: "", MemberKnown: r.Known, MemberTopics: topicsOf(r.Topics),
		MessageSubject: mention(subject), MessageSubjectLine: subject,
		BusinessName: oneLine(r.Business.Name), BusinessWebsite: oneLine(r.Business.Website),
		BusinessPhone: oneLine(r.Business.Phone), BusinessTel: dialled(r.Business.Phone), BusinessPostalAddress: oneLine(r.Business.PostalAddress),
		MailboxName: oneLine(r.Mailbox), MailboxAddress: oneLine(r.MailboxAddress),
		LinksPreferences: oneLine(r.PreferencesURL), LinksUnsubscribe: oneLine(r.UnsubscribeURL),
		Promise: oneLine(r.Promise), Promised: r.Promised,
		OutlookOpen: outlookOpen, OutlookClose: outlookClose,
		reader: r, language: language,
	}
	if !r.Joined.IsZero() {
		v.MemberJoined = day{r.Joined, language}
	}
}

// inner makes the quotation marks of a subject those of a quotation in a quotation, which it is in a letter.
var inner = strings.NewReplacer("“", "‘", "”", "’")

// mention is how a letter speaks of a subject: short, and not at all when no word of it is left.
func mention(subject string) string {
	if !strings.ContainsFunc(subject, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }) {
		return ""
	}
	return inner.Replace(cut(subject, longestMention))
}

// worded makes a short value of a stranger harmless.
func worded(s string) string { return cut(Harmless(s), longestValue) }

// nameOf is what to call somebody, or "" where the name given is none: too long, a link, an address, or
// without a single letter.
func nameOf(s string) string {
	s = Harmless(s)
	if cut(s, longestName) != s || strings.Contains(s, gone) || !strings.ContainsFunc(s, unicode.IsLetter) {
		return ""
	}
	return s
}

// addressOf lets a plain address through as it is: it is the one the letter goes to, so a mail program
// that makes a link of it tells its reader nothing new. Anything else is made harmless.
func addressOf(s string) string {
	local, domain, ok := strings.Cut(s, "@")
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._+-", r)
	}
	strange := func(r rune) bool { return !plain(r) }
	if ok && local != "" && domain != "" && len(s) <= 254 && !strings.ContainsFunc(local, strange) && !strings.ContainsFunc(domain, strange) {
		return s
	}
	return worded(s)
}

func topicsOf(topics []string) []string {
	if len(topics) == 0 {
		return nil
	}
	topics = slices.Clone(topics[:min(len(topics), mostTopics)])
	for i, t := range topics {
		topics[i] = worded(t)
	}
	return topics
}

// dialled keeps of a telephone number what a telephone dials (RFC 3966 §5.1.1).
func dialled(phone string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r == '+' {
			return r
		}
		return -1
	}, phone)
}

// field is a further field of the member, ready to be written or compared; "" when there is none.
func (v *view) field(name string) any {
	switch value := v.reader.Fields[name].(type) {
	case string:
		return worded(value)
	case time.Time:
		if value.IsZero() {
			return ""
		}
		return day{value, v.language}
	case bool:
		return value
	case float64:
		return number(value)
	case int:
		return number(value)
	case int64:
		return number(value)
	}
	return ""
}

// number is written without an exponent and without needless zeros.
type number float64

func (n number) String() string { return strconv.FormatFloat(float64(n), 'f', -1, 64) }

// day is a date, written as the letter's language does.
type day struct {
	time.Time
	language string
}

func (d day) String() string { return d.written(true) }

func (d day) written(year bool) string {
	base, _, _ := strings.Cut(d.language, "-")
	switch {
	case base == "en" && year:
		return d.Format("January 2, 2006")
	case base == "en":
		return d.Format("January 2")
	case (base == "zh" || base == "ja") && year:
		return d.Format("2006年1月2日")
	case base == "zh" || base == "ja":
		return d.Format("1月2日")
	case year:
		return d.Format("2006-01-02")
	}
	return d.Format("01-02")
}

// dated is the functions date and day: a date as words, from a date or from words that are one.
func dated(v any, language string, year bool) string {
	if d, ok := asDay(v); ok {
		return day{d, language}.written(year)
	}
	if s, ok := v.(string); ok {
		return s
	}
	return ""
}

func asDay(v any) (time.Time, bool) {
	switch v := v.(type) {
	case day:
		return v.Time, true
	case string:
		for _, form := range []string{time.DateOnly, time.RFC3339} {
			if t, err := time.Parse(form, v); err == nil {
				return t, true
			}
		}
	}
	return time.Time{}, false
}

// funcs are the words of letters that ask or write something, as both templates and plans call them. None
// fails: values of different kinds are simply not equal and neither less nor more, and a missing one counts
// as the zero of the other's kind, as it does in the conditions of rules and segments. How many of which
// they take was settled when the letter was compiled.
var funcs = map[string]any{
	"eq": func(a ...any) any {
		return slices.ContainsFunc(a[1:], func(b any) bool { n, ok := compare(a[0], b); return ok && n == 0 })
	},
	"ne":      func(a ...any) any { n, ok := compare(a[0], a[1]); return !ok || n != 0 },
	"lt":      func(a ...any) any { n, ok := compare(a[0], a[1]); return ok && n < 0 },
	"le":      func(a ...any) any { n, ok := compare(a[0], a[1]); return ok && n <= 0 },
	"gt":      func(a ...any) any { n, ok := compare(a[0], a[1]); return ok && n > 0 },
	"ge":      func(a ...any) any { n, ok := compare(a[0], a[1]); return ok && n >= 0 },
	"follows": func(a ...any) any { return slices.Contains(a[0].(*view).reader.Topics, a[1].(string)) },
	"field":   func(a ...any) any { return a[0].(*view).field(a[1].(string)) },
	"date":    func(a ...any) any { return dated(a[0], a[1].(string), true) },
	"day":     func(a ...any) any { return dated(a[0], a[1].(string), false) },
}

// compare tells how a stands to b; false: they cannot be compared.
func compare(a, b any) (int, bool) {
	if n, ok := asNumber(a, b); ok {
		m, ok := asNumber(b, a)
		switch {
		case !ok:
			return 0, false
		case n < m:
			return -1, true
		case n > m:
			return 1, true
		}
		return 0, true
	}
	_, dayA := a.(day)
	_, dayB := b.(day)
	if dayA || dayB {
		s, _ := asDay(a)
		t, _ := asDay(b)
		return s.Compare(t), (a == "" || !s.IsZero()) && (b == "" || !t.IsZero())
	}
	switch a := a.(type) {
	case string:
		switch b := b.(type) {
		case string:
			return strings.Compare(a, b), true
		case bool:
			return 0, a == "" && !b
		}
	case bool:
		switch b := b.(type) {
		case bool:
			if a == b {
				return 0, true
			}
			return 1, true
		case string:
			return 0, b == "" && !a
		}
	}
	return 0, false
}

// asNumber takes v as a number; a missing value is zero beside one.
func asNumber(v, beside any) (float64, bool) {
	switch v := v.(type) {
	case number:
		return float64(v), true
	case int:
		return float64(v), true
	case float64:
		return v, true
	case string:
		if v == "" {
			switch beside.(type) {
			case number, int, float64:
				return 0, true
			}
		}
	}
	return 0, false
}
