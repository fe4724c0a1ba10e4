// Package members holds what is known of a member and what may be said of one: the columns of an import with their
// checks, the merge of a file's row into what is held, the export, and the conditions people write over a member.
//
// An address is an addr-spec of RFC 5322 §3.4.1 within the lengths of RFC 5321 §4.5.3.1; international addresses
// (RFC 6532) are kept as given. CSV is RFC 4180, read with patience: a bad row is reported with its line, and the rest goes on.
// Conditions are expr-lang expressions with strict types, without loops in loops, input, output or a clock of their own.
//
// The package is pure: no network, no files, no state but a cache of time zones. On failure it returns a sentence
// that names the column and the value, to be shown to a shop owner as it is.
package members

import (
	"slices"
	"sync"
	"time"
	_ "time/tzdata" // a static binary on a bare machine still knows every zone
)

// A Member is a person on the member list.
type Member struct {
	ID    int64
	Email string // domain in lower case
	Name  string // one line

	Language string // BCP 47: en, zh, zh-Hant; "" unknown
	TimeZone string // IANA: Asia/Shanghai; "" unknown
	Tier     string

	Topics           []string // followed, sorted
	Format           string   // html | text | ""
	Acknowledgements string   // full | brief | none | "" (= full)
	Cadence          string
	PreferredHour    *int // 0 to 23 in the member's zone; nil: no preference
	PauseUntil       time.Time

	Status string    // one of the Status constants
	Joined time.Time // zero: unknown

	// Fields are the further columns: string, float64, bool, or time.Time. Three of them feed conditions under their own
	// type: orders and spent (numbers) and last_order (a date, from which member.days_since_order comes).
	Fields map[string]any
}

// The states of a member. All but pending and active have left, and no file brings them back.
const (
	StatusPending      = "pending"
	StatusActive       = "active"
	StatusUnsubscribed = "unsubscribed"
	StatusBounced      = "bounced"
	StatusComplained   = "complained"
)

// Left says whether the member went away: by their own word, by a complaint, or because the address is dead.
func (m *Member) Left() bool {
	return m.Status == StatusUnsubscribed || m.Status == StatusBounced || m.Status == StatusComplained
}

// Zone is the member's time zone, nil if unknown.
func (m *Member) Zone() *time.Location {
	if m == nil {
		return nil
	}
	return loadZone(m.TimeZone)
}

// Follows says whether the member subscribed to the topic. A nil member follows nothing.
func (m *Member) Follows(topic string) bool {
	return m != nil && slices.Contains(m.Topics, topic)
}

// clone copies the member deeply enough for Set on the copy to leave the original alone.
func (m *Member) clone() Member {
	c := *m
	c.Topics = slices.Clone(m.Topics)
	if m.PreferredHour != nil {
		hour := *m.PreferredHour
		c.PreferredHour = &hour
	}
	if m.Fields != nil {
		c.Fields = make(map[string]any, len(m.Fields))
		for k, v := range m.Fields {
			c.Fields[k] = v
		}
	}
	return c
}

// zones caches what was loaded; only names that exist go in, so it is bounded by the tz database.
var zones sync.Map

// loadZone gives nil for a name the tz database does not have, and for "Local", which means the server, not a place.
func loadZone(name string) *time.Location {
	if name == "" || name == "Local" {
		return nil
	}
	if zone, ok := zones.Load(name); ok {
		return zone.(*time.Location)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	zones.Store(name, zone)
	return zone
}
