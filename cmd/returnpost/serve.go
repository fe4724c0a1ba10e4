package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
)

// drainLimit is how long a daemon that was told to stop may take.
const drainLimit = 30 * time.Second

func (a *app) serveCommand() *cobra.Command {
	var verbose bool
	cmd := &cobra.Command{
		Use: "serve", Short: "The daemon: watch, acknowledge, send, until SIGTERM", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			p, err := NewProgram(cmd.Context(), cfg, ProgramOptions{Log: a.logger(verbose), Now: a.now})
			if err != nil {
				return err
			}
			defer p.Close()
			if p.listener != nil {
				a.say("returnpost %s watches %s; health at http://%s/healthz", version, strings.Join(cfg.MailboxNames(), ", "), p.listener.Addr())
			}
			for i := range cfg.Mailboxes {
				if mb := &cfg.Mailboxes[i]; mb.Responder.Mode == "observe" {
					a.say("%s is only observed: what would be acknowledged is recorded, and nothing is sent (responder.mode)", mb.Name)
				}
			}
			return serve(cmd.Context(), p)
		},
	}
	cmd.Flags().BoolVar(&verbose, "verbose", false, "log what is done in detail")
	return cmd
}

// serve runs the program until ctx ends and it has drained, and tells systemd
// where it stands.
func serve(ctx context.Context, p *Program) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	go ready(ctx, p)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	notify(p.log, daemon.SdNotifyStopping)
	p.log.Info("draining: what is on the wire finishes")
	select {
	case err := <-done:
		return err
	case <-time.After(drainLimit):
		return fmt.Errorf("not drained after %s; what was on the wire is in doubt", drainLimit)
	}
}

// ready tells systemd that the daemon runs, and the log when all is well for the
// first time. A server that is away is waited for: to be restarted over it, with
// its logins all anew, would help nobody.
func ready(ctx context.Context, p *Program) {
	notify(p.log, daemon.SdNotifyReady)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for len(p.Health(ctx)) > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
	p.log.Info("every mailbox is watched, the outbox works")
}

func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Debug("systemd could not be told", "state", state, "error", err)
	}
}

// logger writes to standard error, for people who operate the daemon.
func (a *app) logger(verbose bool) *slog.Logger {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level}))
}
