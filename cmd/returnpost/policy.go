package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/returnpost/returnpost/config"
	"github.com/returnpost/returnpost/responder"
	"github.com/returnpost/returnpost/store"
	"github.com/returnpost/returnpost/templates"
)

// openLetters compiles the letters of every mailbox, a library a folder, and
// checks that each letter a rule names exists. All mistakes come at once.
func openLetters(cfg *config.Config) (map[string]*templates.Library, error) {
	libraries := map[string]*templates.Library{}
	var errs []error
	for i := range cfg.Mailboxes {
		mb := &cfg.Mailboxes[i]
		if _, ok := libraries[mb.Letters]; !ok {
			l, err := templates.Open(mb.Letters, templates.Fields(fieldsOf(cfg)))
			if err != nil {
				errs = append(errs, err)
			}
			libraries[mb.Letters] = l
		}
		l := libraries[mb.Letters]
		for _, r := range mb.Responder.Rules {
			if l != nil && r.Letter != "" && !l.Set().Has(r.Letter) {
				errs = append(errs, fmt.Errorf("mailbox %q, rule %q: there is no letter %q; `returnpost letters list` shows which there are", mb.Name, r.Name, r.Letter))
			}
		}
	}
	if len(errs) > 0 {
		return nil, usageError{errors.Join(errs...)}
	}
	return libraries, nil
}

// fieldsOf are the further fields of members that letters may name.
func fieldsOf(cfg *config.Config) func() []string {
	return func() []string {
		return append(slices.Sorted(maps.Keys(cfg.Fields)), "orders", "spent", "last_order")
	}
}

// policyOf is what the configuration says of one mailbox, as the responder
// needs it.
func policyOf(cfg *config.Config, mb *config.Mailbox, letters *templates.Library, marker responder.Marker, held store.Mailbox) *responder.Policy {
	r := &mb.Responder
	p := &responder.Policy{
		Mailbox: mb.Name, Address: mb.Address, Name: mb.DisplayName, Aliases: mb.Aliases,
		AnyAddressee: mb.Addressed == "any", Forms: mb.Forms, AuthservID: mb.AuthservID,
		Business: templates.Business{
			Name: cfg.Business.Name, Website: cfg.Business.Website, Phone: cfg.Business.Phone, PostalAddress: cfg.Business.PostalAddress,
		},
		Languages: cfg.Business.Languages, Letters: letters, Schedule: mb.Schedule,
		Observe: r.Mode == "observe", Hold: r.Hold, RespondWithin: r.RespondWithin, BacklogAge: r.BacklogAge,
		PerSender: responder.Limit(r.Limits.PerSender), PerDomain: responder.Limit(r.Limits.PerDomain), Total: responder.Limit(r.Limits.Total),
		Envelope: envelopeOf(mb.Envelope, held), Marker: marker,
	}
	if p.Name == "" {
		p.Name = cfg.Business.Name
	}
	for i := range cfg.Mailboxes {
		if other := &cfg.Mailboxes[i]; other.Name != mb.Name {
			p.Siblings = append(append(p.Siblings, other.Address), other.Aliases...)
		}
	}
	for _, rule := range r.Rules {
		p.Rules = append(p.Rules, responder.Rule{
			Name: rule.Name, When: rule.When, RespondWithin: rule.RespondWithin, Letter: rule.Letter, Alert: rule.Alert,
		})
	}
	return p
}

// envelopeOf chooses the envelope sender: as configured, else with a token
// where `check` has found that sub-addressing works.
func envelopeOf(configured string, held store.Mailbox) responder.Envelope {
	switch {
	case configured == "null":
		return responder.EnvelopeNull
	case configured == "subaddress", configured == "auto" && held.Subaddress != nil && *held.Subaddress:
		return responder.EnvelopeSubaddress
	default:
		return responder.EnvelopePlain
	}
}
