// Package web serves what Returnpost shows over HTTP: for now its health, later
// the members' pages and the HTTP API. It only reads requests and writes
// answers; rules and rows live elsewhere.
//
// A request that is slow, large or malformed is ended by the server's limits
// and disturbs nobody else.
package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Pages are what the handler shows.
type Pages struct {
	// Health gives the reasons why the service does not work as it should, a
	// sentence each; none when every mailbox is watched and the outbox works.
	Health func(ctx context.Context) []string
}

// Handler is the table of routes.
func Handler(p Pages) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", p.healthz)
	return mux
}

// healthz answers 200 when all is well, and 503 with the reasons otherwise.
func (p Pages) healthz(w http.ResponseWriter, r *http.Request) {
	report := struct {
		Status  string   `json:"status"`
		Reasons []string `json:"reasons,omitempty"`
	}{Status: "ok", Reasons: p.Health(r.Context())}
	code := http.StatusOK
	if len(report.Reasons) > 0 {
		report.Status, code = "unwell", http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	// A client that has gone away is its own affair.
	_ = enc.Encode(report)
}

// Serve answers requests on a listener until ctx ends, then lets those under
// way finish for a few seconds.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      2 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if s.Shutdown(grace) != nil {
			s.Close()
		}
	})
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}
