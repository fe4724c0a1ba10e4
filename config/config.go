// Package config reads config.yaml into one struct. It is strict: an unknown key, a value of the wrong type, an impossible
// value, a key given twice or a required one left out is an Error with the place, the key and the way to mend it, and all
// of them are reported at once. Only where the file is no YAML at all does the report stop at the first mistake.
//
// Everything has a default but business.name, smtp.host, and each mailbox's address and imap.host. In any value ${NAME}
// is an environment variable, $$ a dollar sign, and a value file:/path the first line of that file. Relative paths are
// relative to the folder of the configuration. Keys of later releases are checked already, so that a file stays good.
//
// YAML is 1.2 as go.yaml.in/yaml/v4 reads it, but scalars are taken as they are written: +86 stays +86, 012345 keeps its zero.
package config

import (
	"time"

	"github.com/robfig/cron/v3"

	"github.com/returnpost/returnpost/mailbox"
	"github.com/returnpost/returnpost/members"
	"github.com/returnpost/returnpost/outbox"
	"github.com/returnpost/returnpost/promise"
)

// Config is config.yaml, checked and with its defaults. In tags: keyed is a mapping whose keys become the Name of each element, in
// the file's order; inline are keys that stand beside the others; check and one name what a text has to be.
type Config struct {
	Business Business       `yaml:"business"`
	Database string         `yaml:"database"` // a file or a postgres:// URL
	Letters  string         `yaml:"letters"`  // a folder, which may be absent
	SMTP     outbox.Config  `yaml:"smtp"`
	Hours    Hours          `yaml:",inline"`
	Fields   members.Fields `yaml:"fields"`
	Topics   []Topic        `yaml:"topics,keyed"`

	Responder   Responder    `yaml:"responder"`
	Web         Web          `yaml:"web"`
	Series      []Series     `yaml:"series,keyed"`
	Newsletters []Newsletter `yaml:"newsletters,keyed"`
	Sending     Sending      `yaml:"sending"`
	Tiers       []Tier       `yaml:"tiers"`
	Retention   Retention    `yaml:"retention"`
	FAQ         string       `yaml:"faq"` // a folder, which may be absent
	People      []Person     `yaml:"people,keyed"`
	Survey      Survey       `yaml:"survey"`

	// Mailboxes come last: each begins with a copy of what stands above it.
	Mailboxes []Mailbox `yaml:"mailboxes,keyed"`
}

// Business is the shop.
type Business struct {
	Name          string   `yaml:"name"`
	Website       string   `yaml:"website" check:"url"`
	Phone         string   `yaml:"phone"`
	PostalAddress string   `yaml:"postal_address" check:"lines"`
	Owner         string   `yaml:"owner" check:"address"`
	Languages     []string `yaml:"languages" check:"language"` // the first is the default
	TimeZone      string   `yaml:"time_zone" check:"zone"`
}

// Hours are when people answer.
type Hours struct {
	Week      promise.Week        `yaml:"hours"`
	Calendars []*promise.Calendar `yaml:"calendars"`
	Closed    []promise.Date      `yaml:"closed"`
	Open      []promise.Date      `yaml:"open"`
}

// Mailbox is a watched inbox with what holds for it: its own keys, else those of the top.
type Mailbox struct {
	Name        string // its key
	Address     string `yaml:"address" check:"address"`
	DisplayName string `yaml:"name"`
	// Aliases are addresses, or patterns with a star such as *@old.example; in lower case.
	Aliases    []string       `yaml:"aliases" check:"pattern"`
	Addressed  string         `yaml:"addressed" one:"named|any"`
	Envelope   string         `yaml:"envelope" one:"auto|plain|subaddress|null"`
	IMAP       mailbox.Config `yaml:"imap"`
	AuthservID string         `yaml:"authserv_id"`
	Forms      []string       `yaml:"forms" check:"pattern"`
	SMTP       outbox.Config  `yaml:"smtp"`
	Hours      Hours          `yaml:",inline"`
	Letters    string         `yaml:"letters"`
	Responder  Responder      `yaml:"responder"`

	Schedule *promise.Schedule // made of Hours in the business's zone
}

// Responder shapes the acknowledgements.
type Responder struct {
	Mode          string        `yaml:"mode" one:"reply|observe"`
	Hold          time.Duration `yaml:"hold"`
	RespondWithin time.Duration `yaml:"respond_within"` // working time
	BacklogAge    time.Duration `yaml:"backlog_age"`
	Limits        Limits        `yaml:"limits"`
	LateLetter    bool          `yaml:"late_letter"`
	Rules         []Rule        `yaml:"rules"`
}

// Limits are the fuses of a mailbox.
type Limits struct {
	PerSender Limit `yaml:"per_sender"`
	PerDomain Limit `yaml:"per_domain"`
	Total     Limit `yaml:"total"`
}

// Limit is at most N in any stretch of Per. N of zero is no limit.
type Limit struct {
	N   int
	Per time.Duration
}

// Rule shapes the acknowledgement of the letters its condition matches; the first that does wins.
type Rule struct {
	Name          string             `yaml:"name"`
	When          *members.Condition `yaml:"when" names:"message"` // nil: always
	RespondWithin time.Duration      `yaml:"respond_within"`       // zero: the mailbox's own
	Letter        string             `yaml:"letter"`               // "": acknowledgement
	Alert         string             `yaml:"alert" check:"address"`
}

// Web is where the pages are served.
type Web struct {
	Listen    string `yaml:"listen" check:"listen"` // "": nowhere
	PublicURL string `yaml:"public_url" check:"url"`
	Secret    string `yaml:"secret"`
}

// Topic is what a member subscribes to.
type Topic struct {
	Name    string            // its key
	Title   map[string]string `yaml:"name"` // by language
	Default bool              `yaml:"default"`
}

// Series is a row of letters that an event of one member sets off.
type Series struct {
	Name  string // its key
	On    string `yaml:"on"`
	Steps []Step `yaml:"steps"`
}

// Step is one letter of a series.
type Step struct {
	Letter string             `yaml:"letter"`
	After  time.Duration      `yaml:"after"`
	When   *members.Condition `yaml:"when"` // nil: always
}

// Newsletter is a recurring campaign.
type Newsletter struct {
	Name     string             // its key
	Topic    string             `yaml:"topic"`
	Schedule Cron               `yaml:"schedule"`
	TimeZone string             `yaml:"time_zone" one:"member|business"`
	Audience *members.Condition `yaml:"audience"` // nil: all who follow the topic
}

// Cron is a schedule in five fields; it holds its source.
type Cron struct {
	Source   string
	Schedule cron.Schedule
}

// Sending are the manners of campaigns and series.
type Sending struct {
	QuietHours       ClockRange    `yaml:"quiet_hours"`
	Cap              Limit         `yaml:"cap"`
	HoldWhileWaiting bool          `yaml:"hold_while_waiting"`
	Doubt            Doubt         `yaml:"doubt"`
	MaxLateness      time.Duration `yaml:"max_lateness"`
	From             string        `yaml:"from" check:"mailbox"` // "": the first mailbox
	Tracking         string        `yaml:"tracking" one:"none|clicks"`
	AdLabel          string        `yaml:"ad_label"`
	Domains          []Domain      `yaml:"domains,keyed"`
	Ramp             Ramp          `yaml:"ramp"`
	StopAbove        StopAbove     `yaml:"stop_above"`
}

// ClockRange is a stretch of the clock in minutes since midnight; From may be later than To, across midnight.
// Equal ends are no stretch at all.
type ClockRange struct{ From, To int }

// Doubt is what becomes of a letter whose fate is not known: resend or hold.
type Doubt struct {
	Acknowledgements string `yaml:"acknowledgements" one:"resend|hold"`
	Campaigns        string `yaml:"campaigns" one:"resend|hold"`
}

// Domain limits what goes to one recipient domain. Zero: as for all.
type Domain struct {
	Name        string  // its key, in lower case
	Rate        float64 `yaml:"rate"`
	Connections int     `yaml:"connections"`
}

// Ramp is how many letters a new sender sends a day at first. PerDay of zero is no ramp.
type Ramp struct {
	PerDay   int
	Doubling bool // each day twice as many
}

// StopAbove are the shares at which a campaign stops: 0.05 is 5%.
type StopAbove struct {
	Bounces    Percent `yaml:"bounces"`
	Complaints Percent `yaml:"complaints"`
}

// Percent is a share: 1 is all.
type Percent float64

// Tier is a name for the members of whom a condition holds.
type Tier struct {
	Name string             `yaml:"name"`
	When *members.Condition `yaml:"when"`
}

// Retention is how long things are kept.
type Retention struct {
	Letters time.Duration `yaml:"letters"`
	Events  time.Duration `yaml:"events"`
}

// Person answers letters.
type Person struct {
	Name      string       // its key
	Address   string       `yaml:"address" check:"address"`
	Languages []string     `yaml:"languages" check:"language"` // none: all
	Week      promise.Week `yaml:"hours"`                      // none: the shop's
}

// Survey asks how it was.
type Survey struct {
	After time.Duration `yaml:"after" check:"optional"` // an answer; zero: never
}

// Ports by security.
var (
	imapPorts = map[string]int{"tls": 993, "starttls": 143, "none": 143}
	smtpPorts = map[string]int{"tls": 465, "starttls": 587, "none": 25}
)

// defaults is the configuration of an empty file. Ports wait until the security is known.
func defaults() *Config {
	var week promise.Week
	for day := time.Monday; day <= time.Friday; day++ {
		week[day] = []promise.Interval{{From: 9 * 60, To: 18 * 60}}
	}
	return &Config{
		Business: Business{Languages: []string{"en"}, TimeZone: "UTC"},
		Database: "returnpost.db",
		Letters:  "letters",
		SMTP:     outbox.Config{Security: "starttls", Connections: 4},
		Hours:    Hours{Week: week},
		Responder: Responder{
			Mode: "reply", RespondWithin: 8 * time.Hour, BacklogAge: 24 * time.Hour,
			Limits: Limits{PerSender: Limit{3, 24 * time.Hour}, PerDomain: Limit{30, time.Hour}, Total: Limit{600, time.Hour}},
		},
		Web: Web{Listen: "127.0.0.1:8025"},
		Sending: Sending{
			QuietHours: ClockRange{21 * 60, 8 * 60}, Cap: Limit{3, 7 * day}, HoldWhileWaiting: true,
			Doubt: Doubt{"resend", "hold"}, MaxLateness: 24 * time.Hour, Tracking: "none",
			StopAbove: StopAbove{Bounces: 0.05, Complaints: 0.003},
		},
		Retention: Retention{Letters: 365 * day, Events: 730 * day},
		FAQ:       "faq",
	}
}

// mailbox is a mailbox before its own keys are read.
func (c *Config) mailbox() Mailbox {
	return Mailbox{
		Addressed: "named", Envelope: "auto",
		IMAP: mailbox.Config{Security: "tls", Folder: "INBOX", Sent: "auto", Poll: time.Minute},
		SMTP: c.SMTP, Hours: c.Hours, Letters: c.Letters, Responder: c.Responder,
	}
}

// MailboxNames are the mailboxes in the file's order.
func (c *Config) MailboxNames() []string {
	names := make([]string, len(c.Mailboxes))
	for i := range c.Mailboxes {
		names[i] = c.Mailboxes[i].Name
	}
	return names
}

// Zone is the business's time zone.
func (c *Config) Zone() *time.Location {
	zone, err := time.LoadLocation(c.Business.TimeZone)
	if err != nil {
		return time.UTC
	}
	return zone
}
