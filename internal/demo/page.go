package demo

import (
	"context"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/mail"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/returnpost/returnpost/responder"
)

//go:embed page
var pageFiles embed.FS

const (
	maxForm     = 64 << 10
	settleLimit = 5 * time.Second // how long a visitor's answer is waited for before the page shows what there is
)

// Handler serves the page: both sides of the shop's mail, and a form to write
// to it. It works without JavaScript; with it the page follows what happens.
func (s *Shop) Handler(log *slog.Logger) http.Handler {
	p := &page{shop: s, log: log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.show)
	mux.HandleFunc("POST /write", p.write)
	mux.HandleFunc("GET /letter/{id}", p.letter)
	mux.HandleFunc("GET /changes", p.changes)
	mux.Handle("GET /page/", http.FileServerFS(pageFiles))
	return http.NewCrossOriginProtection().Handler(secure(mux))
}

// secure sets the headers that keep a page to itself.
func secure(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		h.ServeHTTP(w, r)
	})
}

type page struct {
	shop *Shop
	log  *slog.Logger
}

var pageTemplate = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"took": took, "when": func(t time.Time) string { return t.Format("15:04:05") },
	"promised": promised, "short": short,
}).ParseFS(pageFiles, "page/page.html"))

// view is what page.html shows.
type view struct {
	W        words
	Entries  []Entry
	Selected *Entry
	Fault    string
	Form     form
}

type form struct{ Name, From, Subject, Text string }

// show serves the page with one entry open.
func (p *page) show(w http.ResponseWriter, r *http.Request) {
	v := view{W: wordsFor(r), Fault: r.URL.Query().Get("fault")}
	v.Form = v.W.Sample
	v.Entries, _ = p.shop.list()
	id, err := strconv.Atoi(r.URL.Query().Get("m"))
	for i := range v.Entries {
		if e := &v.Entries[i]; e.ID == id || (err != nil && e.Ack != nil && v.Selected == nil) {
			v.Selected = e
		}
	}
	p.render(w, http.StatusOK, v)
}

func (p *page) render(w http.ResponseWriter, code int, v view) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", v.W.Lang)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	if err := pageTemplate.Execute(w, v); err != nil {
		p.log.Debug("the demo's page was not written whole", "error", err)
	}
}

// write puts a visitor's letter into the inbox and shows what became of it.
func (p *page) write(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	words := wordsFor(r)
	f := form{oneLine(r.PostFormValue("name")), oneLine(r.PostFormValue("from")), oneLine(r.PostFormValue("subject")), r.PostFormValue("text")}
	a, err := mail.ParseAddress(f.From)
	if err != nil || strings.TrimSpace(f.Text) == "" {
		v := view{W: words, Fault: words.BadForm, Form: f}
		v.Entries, _ = p.shop.list()
		p.render(w, http.StatusUnprocessableEntity, v)
		return
	}
	zone, _ := strconv.Atoi(r.PostFormValue("zone"))
	e, err := p.shop.Write(f.Name, a.Address, f.Subject, f.Text, max(-14*3600, min(zone, 14*3600)))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), settleLimit)
	defer cancel()
	// The page shows the letter as waiting when this takes too long.
	_, _ = p.shop.Settled(ctx, e.ID)
	http.Redirect(w, r, fmt.Sprintf("/?lang=%s&m=%d#answer", words.Lang, e.ID), http.StatusSeeOther)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// letter serves an acknowledgement's HTML as a mail program would show it: in a
// frame without scripts.
func (p *page) letter(w http.ResponseWriter, r *http.Request) {
	id, _ := strconv.Atoi(r.PathValue("id"))
	entries, _ := p.shop.list()
	for i := range entries {
		if e := &entries[i]; e.ID == id && e.Ack != nil {
			w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'self'")
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			// A client that has gone away is its own affair.
			_, _ = w.Write([]byte(e.Ack.HTML))
			return
		}
	}
	http.NotFound(w, r)
}

// changes tells the page, as server-sent events, that something has happened.
func (p *page) changes(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w)
	for {
		_, changed := p.shop.list()
		if err := flush.Flush(); err != nil {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
		if _, err := fmt.Fprint(w, "data: changed\n\n"); err != nil {
			return
		}
	}
}

// took is how long it was from the message's arrival until its reader's server
// had the acknowledgement.
func took(e *Entry) string {
	if e.Ack == nil {
		return ""
	}
	d := e.Ack.At.Sub(e.Written)
	if d < time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

// promised is the promise of an entry in a few words; "" where none was made.
func promised(e *Entry, lang string) string {
	if e.Event == nil || e.Event.Promise.By.IsZero() {
		return ""
	}
	return e.Event.Promise.Short(lang, nil)
}

func short(s string) string {
	if utf8.RuneCountInString(s) <= 60 {
		return s
	}
	return string([]rune(s)[:59]) + "…"
}

// Line is one settled entry as the terminal tells it.
func Line(e *Entry) string {
	ev := e.Event
	if ev.Acknowledged {
		promise := promised(e, "en")
		if promise == "" {
			promise = "no time, and says so"
		}
		return fmt.Sprintf("%s  %-48s acknowledged in %s, promised %s", e.Written.Format("15:04:05"), e.Title, took(e), promise)
	}
	rule := ev.Rule
	if rule == "" {
		rule = responder.RuleOf(ev.Reason)
	}
	return fmt.Sprintf("%s  %-48s silent: %s (%s)", e.Written.Format("15:04:05"), e.Title, ev.Reason, rule)
}
