// Command returnpost is the program: one file a subcommand. This package does
// all the wiring, owns the signals and the exit codes, and holds no rule of its
// own. What went wrong is said once, in a sentence, on standard error.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/returnpost/returnpost/config"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // wrong usage or a faulty configuration
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program with its surroundings given: it answers with the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	a := &app{in: in, out: out, err: errOut, now: time.Now}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	var silent silentError
	if !errors.As(err, &silent) {
		fmt.Fprintln(errOut, "returnpost:", err)
	}
	var usage usageError
	var faults config.Errors
	if errors.As(err, &usage) || errors.As(err, &faults) {
		return exitUsage
	}
	return exitFailed
}

// app is what the commands share.
type app struct {
	in         io.Reader
	out, err   io.Writer
	now        func() time.Time
	configFile string
	json       bool
}

// usageError is the user's slip, not the program's failure.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// silentError ends a command that has already said what was wrong.
type silentError struct{ error }

func (e silentError) Unwrap() error { return e.error }

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:     "returnpost",
		Version: version,
		Short:   "Answers a support inbox at once, and says when a person will reply",
		Long: "Returnpost watches a support inbox and answers each letter from a person at once,\n" +
			"in the writer's language, saying honestly when a person will reply.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.PersistentFlags().StringVar(&a.configFile, "config", "", "the configuration `FILE` (default: $RETURNPOST_CONFIG, ./config.yaml, /etc/returnpost/config.yaml)")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "report as JSON, one object a line")
	root.SetVersionTemplate("returnpost {{.Version}}\n")
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		a.serveCommand(), a.demoCommand(), a.checkCommand(), a.explainCommand(), a.arrivalsCommand(),
		a.membersCommand(), a.promisesCommand(), a.lettersCommand(), a.deliveriesCommand(),
		a.backupCommand(), a.versionCommand(),
	)
	slips(root)
	return root
}

// slips makes a command's complaint about its arguments a usageError, and a
// group called without one of its commands show its help.
func slips(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usageError{fmt.Errorf("%s\nusage: %s", slip(c, args), c.UseLine())}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		slips(sub)
	}
}

// slip is the sentence for arguments that do not fit a command.
func slip(c *cobra.Command, args []string) string {
	switch {
	case c.HasSubCommands():
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			return fmt.Sprintf("there is no command %q; did you mean %s?", args[0], near[0])
		}
		return fmt.Sprintf("there is no command %q", args[0])
	case len(args) == 0:
		return "something is missing behind " + c.CommandPath()
	}
	return fmt.Sprintf("%s does not take %q", c.CommandPath(), args)
}

// group is a command that only holds others.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	g.AddCommand(subs...)
	return g
}

// config finds and loads the configuration.
func (a *app) config() (*config.Config, error) {
	file, err := config.Find(a.configFile)
	if err != nil {
		return nil, usageError{err}
	}
	cfg, err := config.Load(file)
	if err != nil {
		return nil, usageError{err}
	}
	return cfg, nil
}

// line writes one object of a report: as JSON for programs, else the sentence
// that text makes.
func (a *app) line(v any, text func() string) error {
	if !a.json {
		_, err := fmt.Fprintln(a.out, text())
		return err
	}
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// say writes words for people to standard error.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.err, format+"\n", args...) }

// onTerminal says whether people's words go to a terminal.
func (a *app) onTerminal() bool {
	f, ok := a.err.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
