package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/returnpost/returnpost/members"
	"github.com/returnpost/returnpost/responder"
	"github.com/returnpost/returnpost/store"
	"github.com/returnpost/returnpost/templates"
)

func (a *app) lettersCommand() *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "The letters there are", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.listLetters() },
	}
	var o renderOptions
	render := &cobra.Command{
		Use: "render NAME", Short: "A letter as a reader would get it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.renderLetter(cmd.Context(), args[0], o) },
	}
	render.Flags().StringVar(&o.member, "member", "", "as this member (`ADDRESS`) would get it")
	render.Flags().StringVar(&o.language, "language", "", "in this language (default: the member's, else the first configured)")
	render.Flags().StringVar(&o.mailbox, "mailbox", "", "from this mailbox (default: the first)")
	render.Flags().BoolVar(&o.html, "html", false, "the HTML part instead of the text")
	return group("letters", "What is written to people", list, render)
}

func (a *app) listLetters() error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	libraries, err := openLetters(cfg)
	if err != nil {
		return err
	}
	for _, folder := range slices.Sorted(maps.Keys(libraries)) {
		for _, info := range libraries[folder].Set().Names() {
			report := struct {
				Name      string   `json:"name"`
				Languages []string `json:"languages"`
				BuiltIn   bool     `json:"built_in"`
				Folder    string   `json:"folder"`
			}{info.Name, info.Languages, info.BuiltIn, folder}
			where := "built in"
			if !info.BuiltIn {
				where = folder
			}
			err := a.line(report, func() string {
				return fmt.Sprintf("%-24s %-10s %s", info.Name, strings.Join(info.Languages, ", "), where)
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

type renderOptions struct {
	member, language, mailbox string
	html                      bool
}

func (a *app) renderLetter(ctx context.Context, name string, o renderOptions) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	mb, err := mailboxNamed(cfg, o.mailbox)
	if err != nil {
		return err
	}
	libraries, err := openLetters(cfg)
	if err != nil {
		return err
	}
	letters := libraries[mb.Letters]
	if !letters.Set().Has(name) {
		return fmt.Errorf("there is no letter %q; `returnpost letters list` shows which there are", name)
	}
	var member *members.Member
	if o.member != "" {
		db, err := a.existingDatabase(ctx, cfg)
		if err != nil {
			return err
		}
		if db != nil {
			defer db.Close()
			if member, err = db.Member(ctx, o.member); err != nil {
				return err
			}
		}
		if member == nil {
			return fmt.Errorf("%s is not on the member list", o.member)
		}
	}
	policy := policyOf(cfg, mb, letters, responder.Marker{}, store.Mailbox{})
	letter, err := policy.Sample(name, o.language, member, a.now())
	if err != nil {
		return err
	}
	return a.line(letterReport(letter), func() string {
		if o.html {
			return letter.HTML
		}
		return "Subject: " + letter.Subject + "\n\n" + letter.Text
	})
}

func letterReport(l *templates.Letter) any {
	return struct {
		Name      string `json:"name"`
		Language  string `json:"language"`
		Subject   string `json:"subject"`
		Preheader string `json:"preheader"`
		Text      string `json:"text"`
		HTML      string `json:"html"`
	}{l.Name, l.Language, l.Subject, l.Preheader, l.Text, l.HTML}
}
