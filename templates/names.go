package templates

import (
	"maps"
	"slices"
	"strings"
)

// sense tells what a name or an expression stands for.
type sense int

const (
	aValue sense = iota // words, a number or a date: may be written and compared
	aYesNo              // only to be asked for with if
	aList               // only to be gone through with range
)

// word is a name that letters may use.
type word struct {
	code  string // the same in the compiled template: a field of its root, the view
	sense sense
	link  bool // trusted to be where a link goes
}

// vocabulary holds every name of a letter but the further fields of members. The shop's own values
// and the links we make may be where a link goes; what strangers wrote may not.
var vocabulary = map[string]word{
	"member.name":             {code: "$.MemberName"},
	"member.email":            {code: "$.MemberEmail"},
	"member.tier":             {code: "$.MemberTier"},
	"member.language":         {code: "$.MemberLanguage"},
	"member.joined":           {code: "$.MemberJoined"},
	"member.known":            {code: "$.MemberKnown", sense: aYesNo},
	"member.topics":           {code: "$.MemberTopics", sense: aList},
	"message.subject":         {code: "$.MessageSubject"},
	"business.name":           {code: "$.BusinessName"},
	"business.website":        {code: "$.BusinessWebsite", link: true},
	"business.phone":          {code: "$.BusinessPhone", link: true},
	"business.postal_address": {code: "$.BusinessPostalAddress"},
	"mailbox.name":            {code: "$.MailboxName"},
	"mailbox.address":         {code: "$.MailboxAddress", link: true},
	"links.preferences":       {code: "$.LinksPreferences", link: true},
	"links.unsubscribe":       {code: "$.LinksUnsubscribe", link: true},
	"promise":                 {code: "$.Promise"},
	"promised":                {code: "$.Promised", sense: aYesNo},
}

// function is a word of letters that takes something.
type function struct {
	least, most int
	sense       sense
}

var functions = map[string]function{
	"eq": {2, 8, aYesNo}, "ne": {2, 2, aYesNo}, "lt": {2, 2, aYesNo}, "le": {2, 2, aYesNo}, "gt": {2, 2, aYesNo}, "ge": {2, 2, aYesNo},
	"and": {2, 8, aValue}, "or": {2, 8, aValue}, "not": {1, 1, aYesNo},
	"follows": {1, 1, aYesNo}, // follows "architecture": a topic of the member's
	"date":    {1, 1, aValue}, // date member.birthday: the date as the letter's language writes it
	"day":     {1, 1, aValue}, // the same without the year
}

// nearest is the known name most like the one written, or "" when none is near.
func nearest(written string, fields []string) string {
	names := slices.Collect(maps.Keys(vocabulary))
	for _, f := range fields {
		names = append(names, "member."+f)
	}
	names = append(names, "follows")
	slices.Sort(names)
	slices.Reverse(names) // member.name before business.name, promised before promise
	for _, name := range names {
		if _, part, ok := strings.Cut(name, "."); ok && part == written {
			return name
		}
	}
	best, least := "", 2+len(written)/4
	for _, name := range names {
		if d := distance(written, name); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance counts the letters to change, add, leave out or swap with their neighbour to get from a to b.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j]+cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}

// either lists names as a sentence does: a, b or c.
func either(names []string) string {
	slices.Sort(names)
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
