package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/returnpost/returnpost/config"
	"github.com/returnpost/returnpost/mailbox"
	"github.com/returnpost/returnpost/outbox"
	"github.com/returnpost/returnpost/templates"
)

// checkTimeout bounds each look at a server.
const checkTimeout = 20 * time.Second

// finding is one line of `check`.
type finding struct {
	Check  string `json:"check"`          // config, letters, database, imap, smtp
	Name   string `json:"name,omitempty"` // the mailbox or the server
	OK     bool   `json:"ok"`
	Detail string `json:"detail"` // what was found, or what is wrong and how to mend it
}

func (a *app) checkCommand() *cobra.Command {
	var offline, probe bool
	cmd := &cobra.Command{
		Use: "check", Short: "Look over configuration, letters, database and logins; each failure with its mend", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := &checker{app: a}
			if err := c.all(cmd.Context(), offline, probe); err != nil {
				return err
			}
			if c.failed > 0 {
				return silentError{fmt.Errorf("%d checks failed", c.failed)}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "ask no server")
	cmd.Flags().BoolVar(&probe, "probe", false, "send each mailbox a letter to an address with +TOKEN, to find out whether such mail arrives")
	return cmd
}

type checker struct {
	app    *app
	failed int
	err    error // writing the report failed
}

// all makes the checks from the inside out: what is wrong further in would only
// repeat itself further out.
func (c *checker) all(ctx context.Context, offline, probe bool) error {
	cfg, err := c.app.config()
	if err != nil {
		return c.configFaults(err)
	}
	c.found("config", "", nil, "watches "+strings.Join(cfg.MailboxNames(), ", "))
	c.letters(cfg)
	c.database(ctx, cfg)
	if !offline {
		c.servers(ctx, cfg)
	}
	if probe && c.failed == 0 {
		c.probe(ctx, cfg)
	}
	return c.err
}

// configFaults reports each fault of the configuration on a line of its own.
func (c *checker) configFaults(err error) error {
	var faults config.Errors
	if !errors.As(err, &faults) {
		c.found("config", "", err, "")
	}
	for _, f := range faults {
		c.found("config", "", f, "")
	}
	if c.err != nil {
		return c.err
	}
	return usageError{silentError{err}}
}

// letters compiles all letters and reports each mistake in them on a line of
// its own.
func (c *checker) letters(cfg *config.Config) {
	libraries, err := openLetters(cfg)
	if err == nil {
		n := 0
		for _, l := range libraries {
			n += len(l.Set().Names())
		}
		c.found("letters", "", nil, fmt.Sprintf("%d letters compile", n))
		c.languages(cfg, libraries)
		return
	}
	for _, mistake := range joined(err) {
		c.found("letters", "", mistake, "")
	}
	if c.err == nil {
		c.err = usageError{silentError{err}}
	}
}

// languages finds letters that a configured language lacks: their readers would
// get another language.
func (c *checker) languages(cfg *config.Config, libraries map[string]*templates.Library) {
	for i := range cfg.Mailboxes {
		mb := &cfg.Mailboxes[i]
		names := []string{"acknowledgement"}
		for _, r := range mb.Responder.Rules {
			if r.Letter != "" {
				names = append(names, r.Letter)
			}
		}
		set := libraries[mb.Letters].Set()
		for _, name := range names {
			for _, language := range cfg.Business.Languages {
				if found := set.Language(name, language); !strings.HasPrefix(strings.ToLower(language), strings.ToLower(found)) {
					c.found("letters", mb.Name, fmt.Errorf("the letter %q is not there in %s, its readers would get %s: write %s.%s.md, or take %s out of business.languages", name, language, found, name, language, language), "")
				}
			}
		}
	}
}

// joined takes apart what errors.Join has put together, at any depth.
func joined(err error) []error {
	var several interface{ Unwrap() []error }
	if !errors.As(err, &several) {
		return []error{err}
	}
	var all []error
	for _, e := range several.Unwrap() {
		all = append(all, joined(e)...)
	}
	return all
}

func (c *checker) database(ctx context.Context, cfg *config.Config) {
	db, err := c.app.existingDatabase(ctx, cfg)
	switch {
	case err != nil:
		c.found("database", "", err, "")
	case db == nil:
		c.found("database", "", writable(filepath.Dir(cfg.Database)), cfg.Database+" will be made by the first `returnpost serve`")
	default:
		err := db.Health(ctx)
		c.found("database", "", errors.Join(err, db.Close()), cfg.Database+" can be read and written")
	}
}

// writable says why no file can be made in a folder.
func writable(folder string) error {
	f, err := os.CreateTemp(folder, ".returnpost-check-*")
	if err != nil {
		return fmt.Errorf("no file can be made in %s: %w; let the user that runs returnpost write there, or set database: to another place", folder, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func (c *checker) servers(ctx context.Context, cfg *config.Config) {
	for i := range cfg.Mailboxes {
		mb := &cfg.Mailboxes[i]
		c.found("imap", mb.Name, c.imap(ctx, mb.IMAP), fmt.Sprintf("%s: logged in to %s, folder %s", mb.Name, mb.IMAP.Host, mb.IMAP.Folder))
	}
	var routes []route
	for i := range cfg.Mailboxes {
		routes = addRoute(routes, &cfg.Mailboxes[i], 0)
	}
	for _, r := range routes {
		ctx, cancel := context.WithTimeout(ctx, checkTimeout)
		report, err := outbox.Check(ctx, r.smtp, r.senders...)
		cancel()
		c.found("smtp", r.smtp.Host, err, fmt.Sprintf("%s takes mail from %s", report.Address, strings.Join(r.senders, ", ")))
	}
}

func (c *checker) imap(ctx context.Context, cfg mailbox.Config) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	_, err := mailbox.Check(ctx, cfg)
	return err
}

// found reports one check.
func (c *checker) found(check, name string, err error, detail string) {
	f := finding{Check: check, Name: name, OK: err == nil, Detail: detail}
	if err != nil {
		f.Detail = err.Error()
		c.failed++
	}
	werr := c.app.line(f, func() string {
		if f.OK {
			return "✓ " + check + ": " + f.Detail
		}
		return "✗ " + check + ": " + f.Detail
	})
	if c.err == nil && werr != nil {
		c.err = werr
	}
}
