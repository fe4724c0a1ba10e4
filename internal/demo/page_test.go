package demo

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/returnpost/returnpost/message"
	"github.com/returnpost/returnpost/promise"
	"github.com/returnpost/returnpost/responder"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens the shop without its daemon: the test decides.
func open(t *testing.T) (*Shop, http.Handler) {
	t.Helper()
	s, err := Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, s.Handler(slog.New(slog.DiscardHandler))
}

func write(t *testing.T, s *Shop, name, from, subject, text string) *Entry {
	t.Helper()
	e, err := s.Write(name, from, subject, text, 0)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// acknowledge decides a message and delivers an acknowledgement, in this order
// or the other.
func acknowledge(t *testing.T, s *Shop, e *Entry, early bool, html string) *Entry {
	t.Helper()
	id := fmt.Sprintf("<ack-%d@harbourbooks.example>", e.UID)
	deliver := func() {
		t.Helper()
		raw := strings.ReplaceAll("From: "+Address+"\nTo: "+e.Message.From.Addr+"\nSubject: Re: "+e.Message.Subject+"\nMessage-ID: "+id+
			"\nIn-Reply-To: "+e.Message.MessageID+"\nContent-Language: en\nContent-Type: multipart/alternative; boundary=b\n\n"+
			"--b\nContent-Type: text/plain\n\nThank you.\n--b\nContent-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n"+html+"\n--b--\n", "\n", "\r\n")
		if err := smtp.SendMail(s.smtp.Addr(), nil, Address, []string{e.Message.From.Addr}, []byte(raw)); err != nil {
			t.Fatal(err)
		}
	}
	if early {
		deliver()
	}
	s.Decided(responder.Event{
		UID: e.UID, Acknowledged: true, Kind: message.KindPerson, Reason: responder.NewThread, AckID: id, Language: "en",
		Promise: promise.Promise{By: e.Written.Add(time.Hour), Zone: time.UTC, Made: e.Written},
	})
	if !early {
		deliver()
	}
	settled, err := s.Settled(t.Context(), e.ID)
	if err != nil {
		t.Fatal(err)
	}
	return settled
}

func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w
}

// whole gets a page and sees to it that it was written to its end.
func whole(t *testing.T, h http.Handler, path string) string {
	t.Helper()
	w := get(t, h, path)
	if w.Code != http.StatusOK || !strings.HasSuffix(w.Body.String(), "</html>\n") {
		t.Fatalf("%s answers %d and ends with %q", path, w.Code, w.Body.String()[max(0, w.Body.Len()-200):])
	}
	return w.Body.String()
}

func TestThePageShowsBothSides(t *testing.T) {
	s, h := open(t)
	if page := whole(t, h, "/"); !strings.Contains(page, english.Choose) {
		t.Errorf("the empty page is\n%s", page)
	}
	waiting := write(t, s, "Jane Doe", "jane@doe.example", "An atlas", "Is it in?")
	if page := whole(t, h, "/?m=1"); !strings.Contains(page, english.Waiting) || !strings.Contains(page, "Is it in?") {
		t.Errorf("a letter that waits is shown as\n%s", page)
	}
	if w := get(t, h, "/letter/1"); w.Code != http.StatusNotFound {
		t.Errorf("a letter without an answer answers %d", w.Code)
	}
	acknowledge(t, s, waiting, false, "<p>Thank you.</p>")
	page := whole(t, h, "/?m=1")
	for _, want := range []string{english.Acknowledged, english.PromisedBy, `<iframe src="/letter/1"`, "Thank you.", "In-Reply-To", "Re: An atlas"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not on the page\n%s", want, page)
		}
	}
	w := get(t, h, "/letter/1")
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "<p>Thank you.</p>") || !strings.Contains(w.Header().Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("the letter answers %d %v\n%s", w.Code, w.Header(), w.Body)
	}
	// The first answer is open when nothing is asked for, and the page speaks the reader's language.
	if page := whole(t, h, "/"); !strings.Contains(page, `<iframe src="/letter/1"`) {
		t.Errorf("no answer is open\n%s", page)
	}
	if page := whole(t, h, "/?lang=zh&m=1"); !strings.Contains(page, chinese.Acknowledged) || !strings.Contains(page, `<html lang="zh">`) {
		t.Errorf("in Chinese the page is\n%s", page)
	}
	for _, path := range []string{"/?m=99", "/?m=x", "/?m=-1", "/?m=1&m=2", "/?fault=%3Cscript%3E"} {
		if page := whole(t, h, path); strings.Contains(page, "<script>") {
			t.Errorf("%s gives back markup", path)
		}
	}
	for path, want := range map[string]int{
		"/nowhere": http.StatusNotFound, "/letter/x": http.StatusNotFound, "/page/../demo.go": http.StatusTemporaryRedirect, "/page/nothing.js": http.StatusNotFound,
		"/page/page.css": http.StatusOK, "/page/page.js": http.StatusOK, "/write": http.StatusMethodNotAllowed,
	} {
		if w := get(t, h, path); w.Code != want && !(want == http.StatusTemporaryRedirect && w.Code/100 == 3) {
			t.Errorf("%s answers %d, want %d", path, w.Code, want)
		}
	}
}

// An acknowledgement may be delivered before its decision is told.
func TestAnAnswerMayComeFirst(t *testing.T) {
	s, _ := open(t)
	e := acknowledge(t, s, write(t, s, "Jane", "jane@doe.example", "Hello", "Hello."), true, "<p>Thank you.</p>")
	if e.Ack == nil || e.Ack.HTML == "" || e.Ack.To != "jane@doe.example" || e.Ack.InReplyTo != e.Message.MessageID {
		t.Errorf("the answer is %+v", e.Ack)
	}
	if line := Line(e); !strings.Contains(line, "acknowledged in ") || !strings.Contains(line, "promised ") {
		t.Errorf("the terminal tells %q", line)
	}
}

// Names, subjects and texts are words, whatever stands in them.
func TestNothingBreaksThePage(t *testing.T) {
	s, h := open(t)
	const script = `<script>alert(1)</script>`
	for _, v := range []struct{ name, from, subject, text string }{
		{script, "a@x.example", script, script},
		{`" onmouseover="alert(1)`, "b@x.example", `'"><img src=x onerror=alert(1)>`, "</pre></article></main>"},
		{"{{.Shop}}", "c@x.example", "{{template \"x\"}}", "{{end}}"},
		{"", "d@x.example", "", " "},
		{"名\x00字\u202e", "e@x.example", strings.Repeat("长", 5000), strings.Repeat("\u0300", 5000)},
		{"Evil\\\", <victim@x.example>, <", "f@x.example", "=?utf-8?B?PHNjcmlwdD4=?=", "\xff\xfe"},
	} {
		write(t, s, v.name, v.from, v.subject, v.text)
	}
	for _, raw := range [][]byte{nil, []byte("\x00"), []byte("From: <>\r\n\r\n"), []byte("From: " + script + " <g@x.example>\r\nSubject: " + script + "\r\n\r\n" + script)} {
		if _, err := s.arrive("a broken one "+script, raw); err != nil {
			t.Fatal(err)
		}
	}
	entries, _ := s.list()
	check := func() {
		t.Helper()
		for _, lang := range []string{"en", "zh"} {
			for i := range entries {
				page := whole(t, h, fmt.Sprintf("/?lang=%s&m=%d", lang, entries[i].ID))
				if strings.Contains(page, "<script>") || strings.Contains(page, "<img") || strings.Contains(page, `" onmouseover="`) || strings.Count(page, "</main>") != 1 {
					t.Fatalf("markup came through for message %d:\n%s", entries[i].ID, page)
				}
			}
		}
	}
	check() // while all are waiting
	for i := range entries {
		e := &entries[i]
		switch {
		case i%2 == 0 && e.Message.From.Addr != "":
			acknowledge(t, s, e, false, script)
		default:
			s.Decided(responder.Event{UID: e.UID, Reason: responder.Broken, Rule: script, Evidence: script})
		}
	}
	check()
	for i := range entries {
		settled, err := s.Settled(t.Context(), entries[i].ID)
		if err != nil {
			t.Fatal(err)
		}
		if line := Line(settled); line == "" {
			t.Errorf("nothing is told of message %d", settled.ID)
		}
	}
}

func TestWriting(t *testing.T) {
	s, h := open(t)
	post := func(form url.Values, headers ...string) *httptest.ResponseRecorder {
		t.Helper()
		r := httptest.NewRequest("POST", "/write", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	good := url.Values{"lang": {"en"}, "name": {"Jane Doe"}, "from": {"jane@doe.example"}, "subject": {"Hello"}, "text": {"Hello."}, "zone": {"3600"}}
	with := func(name, value string) url.Values {
		form := url.Values{}
		for k, v := range good {
			form[k] = v
		}
		form.Set(name, value)
		return form
	}

	// Other people's pages cannot make their visitors write.
	for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}} {
		if w := post(good, headers...); w.Code != http.StatusForbidden {
			t.Errorf("a form with %v answers %d", headers, w.Code)
		}
	}
	// A letter that is none is said so, and what was written is still there.
	for name, form := range map[string]url.Values{
		"no address": with("from", ""), "no real address": with("from", "jane"), "two addresses": with("from", "a@x.example, b@x.example"),
		"no text": with("text", " \n"), "nothing": {},
	} {
		w := post(form)
		if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), english.BadForm) || form.Get("name") != "" && !strings.Contains(w.Body.String(), `value="Jane Doe"`) {
			t.Errorf("%s: answers %d\n%s", name, w.Code, w.Body)
		}
	}
	if w := post(with("text", strings.Repeat("x", maxForm))); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("a form that is too large answers %d", w.Code)
	}
	if entries, _ := s.list(); len(entries) > 0 {
		t.Fatalf("%d letters came in", len(entries))
	}

	// A good one is put into the inbox, and the page waits for what becomes of it.
	go func() {
		for {
			entries, changed := s.list()
			if len(entries) == 1 {
				s.Decided(responder.Event{UID: entries[0].UID, Reason: responder.MemberWish, Rule: "the member's preference"})
				return
			}
			<-changed
		}
	}()
	w := post(with("name", "Jane\r\nBcc: victim@x.example"), "Sec-Fetch-Site", "same-origin")
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/?lang=en&m=1#answer" {
		t.Errorf("writing answers %d %v", w.Code, w.Header())
	}
	entries, _ := s.list()
	m := entries[0].Message
	if m.From.Addr != "jane@doe.example" || m.Subject != "Hello" || strings.TrimSpace(m.Text) != "Hello." || len(m.Bcc) > 0 || m.Offset == nil || *m.Offset != 3600 {
		t.Errorf("the letter is %+v", m)
	}
}

func TestThePageIsToldOfChanges(t *testing.T) {
	s, h := open(t)
	server := httptest.NewServer(h)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/changes", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	const told = "data: changed\n\n"
	got := make([]byte, len(told))
	for i := range 3 {
		write(t, s, "Jane", "jane@doe.example", fmt.Sprint(i), "Hello.")
		if _, err := io.ReadFull(answer.Body, got); err != nil || string(got) != told {
			t.Fatalf("after change %d the page is told %q (%v)", i, got, err)
		}
	}
}

// The page remembers a bounded number of messages.
func TestOldMessagesAreForgotten(t *testing.T) {
	s, h := open(t)
	for range maxEntries + 5 {
		write(t, s, "Jane", "jane@doe.example", "Hello", "Hello.")
	}
	entries, _ := s.list()
	if len(entries) != maxEntries || entries[0].ID != maxEntries+5 {
		t.Errorf("%d messages, the newest %d", len(entries), entries[0].ID)
	}
	whole(t, h, "/?m=1")
}

// The scenario is held to what should become of it, whatever visitors do meanwhile.
func TestCheckTellsWhatWentWrong(t *testing.T) {
	s, _ := open(t)
	if faults := s.Check(); len(faults) != len(scenario) {
		t.Errorf("of %d messages that never came %d are missed", len(scenario), len(faults))
	}
	visitor := write(t, s, "Jane", "jane@doe.example", "Hello", "Hello.")
	for i := range scenario {
		sc := &scenario[i]
		e, err := s.arrive(sc.title, sc.raw(time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		s.Decided(responder.Event{UID: e.UID, Reason: responder.Reason(sc.reason)})
	}
	acknowledge(t, s, visitor, false, "<p>Thank you.</p>")
	faults := strings.Join(s.Check(), "\n")
	if n := strings.Count(faults, "was not acknowledged"); n != 4 || strings.Count(faults, "\n") != 3 {
		t.Errorf("without acknowledgements the faults are\n%s", faults)
	}
	// A letter more than anybody was to get.
	if err := smtp.SendMail(s.smtp.Addr(), nil, Address, []string{"jane@doe.example"}, []byte("Subject: again\r\n\r\nAgain.\r\n")); err != nil {
		t.Fatal(err)
	}
	if faults := s.Check(); !strings.Contains(strings.Join(faults, "\n"), "2 letters went out, 1 should have") {
		t.Errorf("a double letter is not told: %q", faults)
	}
}
