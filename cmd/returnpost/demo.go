package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/returnpost/returnpost/config"
	"github.com/returnpost/returnpost/internal/demo"
	"github.com/returnpost/returnpost/web"
)

// demoPatience is how long the demo's scenario may take on a slow machine.
const demoPatience = time.Minute

func (a *app) demoCommand() *cobra.Command {
	var listen string
	var exit, verbose bool
	cmd := &cobra.Command{
		Use: "demo", Short: "The whole job in one process, with a sample shop and nothing to install", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.demo(cmd.Context(), listen, exit, verbose)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8026", "where the page is served")
	cmd.Flags().BoolVar(&exit, "exit", false, "play the scenario, check it, and end")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "show the daemon's log too")
	return cmd
}

// demo opens the sample shop, runs the real daemon on it and tells what happens.
func (a *app) demo(ctx context.Context, listen string, exit, verbose bool) (err error) {
	shop, err := demo.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shop.Close()) }()
	cfg, err := config.Parse("the demo's config.yaml", shop.Config, os.LookupEnv)
	if err != nil {
		return err
	}
	log := a.logger(verbose)
	if !verbose {
		log = slog.New(slog.DiscardHandler)
	}
	p, err := NewProgram(ctx, cfg, ProgramOptions{Log: log, Now: a.now, OnEvent: shop.Decided})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if _, err := importMembers(ctx, p.db, strings.NewReader(shop.Members), importOptions{}); err != nil {
		return err
	}

	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- p.Run(running) }()
	defer func() { stop(); err = errors.Join(err, <-done) }()
	if err := untilWell(ctx, p); err != nil {
		return err
	}
	if exit {
		return a.demoPlay(ctx, shop)
	}
	return a.demoShow(ctx, shop, p, listen)
}

// demoPlay lets the scenario happen, tells it, and checks what everybody got.
func (a *app) demoPlay(ctx context.Context, shop *demo.Shop) error {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	if err := shop.Play(ctx, func(e *demo.Entry) { fmt.Fprintln(a.out, demo.Line(e)) }); err != nil {
		return err
	}
	if faults := shop.Check(); len(faults) > 0 {
		return fmt.Errorf("not every message got what it should:\n  %s", strings.Join(faults, "\n  "))
	}
	fmt.Fprintln(a.out, "Every message got what it should.")
	return nil
}

// demoShow serves the page, plays the scenario and goes on until it is stopped,
// telling of what visitors write as well.
func (a *app) demoShow(ctx context.Context, shop *demo.Shop, p *Program, listen string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("the demo's page: %w (choose another address with --listen)", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- web.Serve(ctx, l, shop.Handler(p.log)) }()
	fmt.Fprintf(a.out, "Both sides of the sample shop, and a form to write to it: http://%s/\nStop with Ctrl-C.\n\n", l.Addr())
	err = a.demoPlay(ctx, shop)
	if err == nil {
		shop.Follow(ctx, func(e *demo.Entry) { fmt.Fprintln(a.out, demo.Line(e)) })
	}
	cancel()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, <-served)
}

// untilWell waits until the program watches and sends.
func untilWell(ctx context.Context, p *Program) error {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		reasons := p.Health(ctx)
		if len(reasons) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the daemon did not come up: %s", strings.Join(reasons, "; "))
		}
	}
}
