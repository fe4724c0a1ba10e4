package config

import (
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/returnpost/returnpost/mailbox"
	"github.com/returnpost/returnpost/members"
	"github.com/returnpost/returnpost/outbox"
	"github.com/returnpost/returnpost/promise"
)

// check holds the values against each other, fills in what follows from them, and reports what is required and missing.
func (d *decoder) check(c *Config) {
	d.require("business.name", c.Business.Name, "the name of your shop, as letters say it")
	if n := d.nodes["business.languages"]; len(c.Business.Languages) == 0 && len(n.Content) == 0 {
		d.failAt("business.languages", "the list is empty: name at least one language, the first is the default")
	}
	if len(c.Mailboxes) == 0 && !d.faulty("mailboxes") {
		d.failAt("mailboxes", "at least one mailbox is required: the inbox to watch")
	}
	for i := range c.Mailboxes {
		d.mailbox(c, &c.Mailboxes[i])
	}
	if len(c.Mailboxes) == 0 {
		d.smtp(place{d, "smtp", "smtp"}, &c.SMTP)
	}
	d.addresses(c)
	d.responder(place{d, "responder", "responder"}, &c.Responder)
	d.paths(c)
	d.fields(c)
	d.campaigns(c)
	d.positive("retention.letters", c.Retention.Letters)
	d.positive("retention.events", c.Retention.Events)
}

// place finds the key of a value that a mailbox may inherit: its own where it was given, else the top's.
type place struct {
	d         *decoder
	path, top string
}

func (p place) of(key string) string {
	if p.d.given(join(p.path, key)) || !p.d.given(join(p.top, key)) && p.d.given(p.path) {
		return join(p.path, key)
	}
	return join(p.top, key)
}

// require reports a value that is missing; one that was given and is wrong has been reported already.
func (d *decoder) require(path, value, what string) {
	if value != "" || d.faulty(path) {
		return
	}
	d.failAt(path, "is required: %s", what)
}

// faulty says whether a mistake was reported at the key, or at one above it so that nothing below could be read.
func (d *decoder) faulty(path string) bool {
	return slices.ContainsFunc(d.errors, func(e *Error) bool {
		return e.Key == path || strings.HasPrefix(path, e.Key+".") && d.nodes[e.Key] != nil && d.nodes[e.Key].Kind != yaml.MappingNode
	})
}

func (d *decoder) positive(path string, length time.Duration) {
	if length <= 0 {
		d.failAt(path, "must be longer than nothing")
	}
}

func (d *decoder) mailbox(c *Config, m *Mailbox) {
	path := "mailboxes." + m.Name
	d.require(path+".address", m.Address, "the address customers write to")
	d.imap(place{d, path + ".imap", path + ".imap"}, &m.IMAP)
	if d.given(path+".smtp.security") && !d.given(path+".smtp.port") {
		m.SMTP.Port = 0 // the top's port belongs to the top's security
	}
	d.smtp(place{d, path + ".smtp", "smtp"}, &m.SMTP)
	d.responder(place{d, path + ".responder", "responder"}, &m.Responder)
	m.SMTP.Domain = d.helloDomain(c, m)
	m.Schedule = &promise.Schedule{
		Zone: c.Zone(), Week: m.Hours.Week, Calendars: m.Hours.Calendars, Closed: m.Hours.Closed, Open: m.Hours.Open,
	}
}

// helloDomain is the name to greet the server with, where the user name does not give one. Mailboxes that share the top's server
// share the greeting too, so that they share its connections.
func (d *decoder) helloDomain(c *Config, m *Mailbox) string {
	if strings.Contains(m.SMTP.Username, "@") {
		return ""
	}
	if !d.given("mailboxes." + m.Name + ".smtp") {
		m = &c.Mailboxes[0]
	}
	return m.Address[strings.LastIndexByte(m.Address, '@')+1:]
}

func (d *decoder) imap(at place, c *mailbox.Config) {
	d.require(at.of("host"), c.Host, "the server that holds the inbox, like imap.example.com")
	d.server(at, c.Host, c.Security, c.Insecure, &c.Port, imapPorts)
	d.login(at, c.Username, c.Password)
	d.require(at.of("folder"), c.Folder, "the folder to watch, mostly INBOX")
	d.require(at.of("sent"), c.Sent, "the folder with your own replies, or auto")
	if c.Poll < 100*time.Millisecond {
		d.failAt(at.of("poll"), "is too often: at least 100ms")
	}
	c.CAFile = d.certificates(at.of("ca_file"), c.CAFile)
}

func (d *decoder) smtp(at place, c *outbox.Config) {
	// The top's host is where it is missed, unless the mailbox has a server of its own.
	d.require(at.of("host"), c.Host, "the server that sends your mail, like smtp.example.com")
	d.server(at, c.Host, c.Security, c.Insecure, &c.Port, smtpPorts)
	d.login(at, c.Username, c.Password)
	if c.Connections < 1 || c.Connections > 100 {
		d.failAt(at.of("connections"), "%d is not possible: from 1 to 100", c.Connections)
	}
	if c.Rate < 0 {
		d.failAt(at.of("rate"), "must not be below 0 (0: as fast as the server takes)")
	}
	c.CAFile = d.certificates(at.of("ca_file"), c.CAFile)
	for i := range c.DKIM {
		entry, path := &c.DKIM[i], fmt.Sprintf("%s[%d]", at.of("dkim"), i+1)
		d.require(path+".domain", entry.Domain, "the domain you send from")
		d.require(path+".selector", entry.Selector, "the name of the key in the DNS")
		d.require(path+".key", entry.Key, "the private key, like file:/etc/returnpost/dkim.pem")
		entry.Key = d.privateKey(path+".key", entry.Key)
	}
}

// server checks host, security and port. Without security only this machine is spoken to, unless somebody insists.
func (d *decoder) server(at place, host, security string, insecure bool, port *int, ports map[string]int) {
	if strings.ContainsAny(host, ":/ @") && net.ParseIP(strings.Trim(host, "[]")) == nil {
		d.failAt(at.of("host"), "%q is not the name of a server: the port stands under port, and nothing like https:// before it", clip(host))
	}
	words := []string{"tls", "starttls", "none"}
	if !slices.Contains(words, security) {
		d.failAt(at.of("security"), "%q is not possible here; it is one of %s%s", clip(security), strings.Join(words, ", "), meant(security, words))
	}
	if security == "none" && !insecure && !loopback(host) {
		d.failAt(at.of("security"), "none would send the password readable to %s: write tls or starttls; if the way there is safe, write insecure: true beside it", clip(host))
	}
	if d.given(at.of("port")) && *port != 0 && (*port < 1 || *port > 65535) {
		d.failAt(at.of("port"), "%d is not a port: from 1 to 65535", *port)
	}
	if *port == 0 {
		*port = ports[security]
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || host == "" || ip != nil && ip.IsLoopback()
}

func (d *decoder) login(at place, username, password string) {
	if username == "" && password != "" {
		d.failAt(at.of("username"), "is missing beside the password")
	}
}

// certificates gives the file's whole name, and sees that it is there.
func (d *decoder) certificates(path, name string) string {
	if name == "" {
		return ""
	}
	file := d.path(name)
	data, err := d.readFile(file)
	switch {
	case err != nil:
		d.failAt(path, "the file %s cannot be read: %v", file, reason(err))
	case !strings.Contains(string(data), "BEGIN CERTIFICATE"):
		d.failAt(path, "the file %s holds no certificate in PEM", file)
	}
	return file
}

// privateKey gives the key itself, whose file may be named instead of it.
func (d *decoder) privateKey(path, key string) string {
	if key == "" || strings.Contains(key, "PRIVATE KEY-----") {
		return key
	}
	file := d.path(key)
	data, err := d.readFile(file)
	switch {
	case err != nil:
		d.failAt(path, "the file %s cannot be read: %v", file, reason(err))
	case !strings.Contains(string(data), "PRIVATE KEY-----"):
		d.failAt(path, "the file %s holds no private key in PEM", file)
	}
	return string(data)
}

func (d *decoder) responder(at place, r *Responder) {
	if r.Hold > 7*day {
		d.failAt(at.of("hold"), "is too long: at most 7d")
	}
	d.positive(at.of("backlog_age"), r.BacklogAge)
	names := map[string]int{}
	for i := range r.Rules {
		rule, path := &r.Rules[i], fmt.Sprintf("%s[%d]", at.of("rules"), i+1)
		if rule.Name == "" {
			rule.Name = fmt.Sprintf("rule %d", i+1)
		}
		if first := names[rule.Name]; first > 0 {
			d.failAt(path+".name", "the name %q is taken by the rule %d already", clip(rule.Name), first)
		}
		names[rule.Name] = i + 1
		if rule.When == nil && i+1 < len(r.Rules) && !d.given(path+".when") {
			d.failAt(path, "a rule without when matches every letter, so the rules after it are never asked: put it last")
		}
	}
}

// addresses sees that every address belongs to one mailbox.
func (d *decoder) addresses(c *Config) {
	taken := map[string]string{}
	claim := func(address, path string) {
		key := strings.ToLower(address)
		if key == "" || !d.given(path) {
			return
		}
		if other, ok := taken[key]; ok {
			d.failAt(path, "%s stands at %s already (line %d): a letter to it can belong to one mailbox only", address, other, d.nodes[other].Line)
			return
		}
		taken[key] = path
	}
	for i := range c.Mailboxes {
		m := &c.Mailboxes[i]
		claim(m.Address, "mailboxes."+m.Name+".address")
		for j, alias := range m.Aliases {
			claim(alias, fmt.Sprintf("mailboxes.%s.aliases[%d]", m.Name, j+1))
		}
	}
}

// paths makes files and folders whole.
func (d *decoder) paths(c *Config) {
	d.require("database", c.Database, "a file, or postgres://user@host/name")
	switch scheme, _, url := strings.Cut(c.Database, "://"); {
	case url && scheme != "postgres" && scheme != "postgresql":
		d.failAt("database", "%q is not a database we know: a file, or postgres://user@host/name", clip(scheme+"://"))
	case !url && c.Database != "":
		c.Database = d.path(c.Database)
	}
	for _, folder := range []*string{&c.Letters, &c.FAQ} {
		if *folder != "" {
			*folder = d.path(*folder)
		}
	}
	for i := range c.Mailboxes {
		if m := &c.Mailboxes[i]; m.Letters != "" {
			m.Letters = filepath.Clean(d.path(m.Letters))
		}
	}
}

// fields checks the declared fields of members.
func (d *decoder) fields(c *Config) {
	for name, kind := range c.Fields {
		path := "fields." + name
		switch {
		case slices.Contains(members.Columns, name):
			d.failAt(path, "%s is a column every member has, with a type of its own", name)
		case members.ColumnName(name) != name:
			d.failAt(path, "a field's name is written %q", members.ColumnName(name))
		case !slices.Contains(members.FieldTypes, kind):
			d.failAt(path, "%q is not a type; it is one of %s%s", clip(kind), strings.Join(members.FieldTypes, ", "), meant(kind, members.FieldTypes))
		}
	}
	names := map[string]bool{}
	for i := range c.Tiers {
		at := fmt.Sprintf("tiers[%d]", i+1)
		d.require(at+".name", c.Tiers[i].Name, "the tier's name, like gold")
		if !d.given(at + ".when") {
			d.failAt(at+".when", "is required: who belongs to it, like member.spent > 1000")
		}
		if name := c.Tiers[i].Name; names[name] && name != "" {
			d.failAt(at+".name", "the tier %q is given twice", clip(name))
		}
		names[c.Tiers[i].Name] = true
	}
}

var eventName = regexp.MustCompile(`^[a-z][a-z_]*\.[a-z][a-z_]*$`)

// campaigns checks what the later releases send by.
func (d *decoder) campaigns(c *Config) {
	topics := d.topicNames()
	for _, topic := range c.Topics {
		for language := range topic.Title {
			if _, err := members.CheckLanguage(language); err != nil {
				d.failAt("topics."+topic.Name+".name."+language, "%v", err)
			}
		}
	}
	for _, s := range c.Series {
		path := "series." + s.Name
		d.require(path+".on", s.On, "the event that sets it off, like member.joined")
		field, ofMember := strings.CutPrefix(s.On, "member.")
		switch {
		case s.On == "" || c.Fields[field] == "date" || s.On == "member.joined" || s.On == "member.inactive":
		case ofMember:
			d.failAt(path+".on", "%q is neither member.joined nor member.inactive, nor a date declared under fields", clip(s.On))
		case !eventName.MatchString(s.On):
			d.failAt(path+".on", "%q is not an event; write it like member.joined or order.delivered", clip(s.On))
		}
		if len(s.Steps) == 0 && !d.faulty(path+".steps") {
			d.failAt(path+".steps", "is required: the letters, like - {letter: welcome, after: 0s}")
		}
		for i, step := range s.Steps {
			d.require(fmt.Sprintf("%s.steps[%d].letter", path, i+1), step.Letter, "the letter to send")
		}
	}
	for _, n := range c.Newsletters {
		path := "newsletters." + n.Name
		d.require(path+".topic", n.Topic, "one of the topics")
		d.require(path+".schedule", n.Schedule.Source, `when it goes out, like "0 10 1 * *"`)
		if n.Topic != "" && !slices.Contains(topics, n.Topic) {
			d.failAt(path+".topic", "there is no topic %q under topics%s", clip(n.Topic), meant(n.Topic, topics))
		}
	}
	for i := range c.Sending.Domains {
		domain := &c.Sending.Domains[i]
		path := "sending.domains." + domain.Name
		domain.Name = strings.ToLower(domain.Name)
		if domain.Rate < 0 || domain.Connections < 0 {
			d.failAt(path, "neither rate nor connections may be below 0")
		}
	}
	d.positive("sending.max_lateness", c.Sending.MaxLateness)
}
