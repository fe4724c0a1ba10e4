package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestDemoPlaysItsScenario(t *testing.T) {
	t.Parallel()
	var out, errOut lines
	if code := run(t.Context(), []string{"demo", "--exit"}, strings.NewReader(""), &out, &errOut); code != exitDone {
		t.Fatalf("demo --exit ended with %d\n%s%s", code, out.String(), errOut.String())
	}
	told := strings.Split(strings.TrimSpace(out.String()), "\n")
	if last := told[len(told)-1]; last != "Every message got what it should." || errOut.String() != "" {
		t.Errorf("demo ends with %q and %q", last, errOut.String())
	}
	acknowledged := regexp.MustCompile(`^\d\d:\d\d:\d\d  .+ acknowledged in [\d.]+ ms, promised `)
	silent := regexp.MustCompile(`^\d\d:\d\d:\d\d  .+ silent: [a-z-]+ \(.+\)$`)
	counts := map[bool]int{}
	for _, line := range told[:len(told)-1] {
		if acknowledged.MatchString(line) == silent.MatchString(line) {
			t.Errorf("demo tells %q", line)
		}
		counts[acknowledged.MatchString(line)]++
	}
	if counts[true] != 4 || counts[false] != 7 {
		t.Errorf("%d acknowledged, %d silent", counts[true], counts[false])
	}
}

func TestDemoNeedsAFreeAddress(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var errOut lines
	code := run(t.Context(), []string{"demo", "--listen", l.Addr().String()}, strings.NewReader(""), io.Discard, &errOut)
	if code != exitFailed || !regexp.MustCompile(`^returnpost: the demo's page: .* \(choose another address with --listen\)\n$`).MatchString(errOut.String()) {
		t.Errorf("demo ended with %d and said %q", code, errOut.String())
	}
}

// The page beside the real daemon: who writes there gets an answer, and sees it.
func TestDemoAnswersItsVisitors(t *testing.T) {
	t.Parallel()
	s := &shop{t: t}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"demo", "--listen", "127.0.0.1:0"}, strings.NewReader(""), &s.log, io.Discard)
	}()
	// The scenario's last message is decided, and what visitors write is told from then on.
	s.until(func() bool { return strings.Contains(s.log.String(), "Every message got what it should.") }, func() string { return "the demo does not play" })
	address := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(s.log.String())
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string) string {
		t.Helper()
		r, err := client.Get(address + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%s answers %d (%v)\n%s", path, r.StatusCode, err, body)
		}
		return string(body)
	}

	front := get("/")
	entries := regexp.MustCompile(`href="(/\?lang=en&amp;m=\d+)#answer"`).FindAllStringSubmatch(front, -1)
	if len(entries) != 11 {
		t.Errorf("%d messages are listed, want 11", len(entries))
	}
	for _, e := range entries {
		if page := get(strings.ReplaceAll(e[1], "&amp;", "&")); !strings.HasSuffix(page, "</html>\n") {
			t.Errorf("%s ends with %q", e[1], page[max(0, len(page)-100):])
		}
	}

	events, err := http.NewRequestWithContext(ctx, "GET", address+"/changes", nil)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := client.Do(events)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	if kind := stream.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Errorf("/changes is %q", kind)
	}

	for _, visit := range []struct{ lang, name, from, subject, text, answer string }{
		{"en", "Grace Hall", "grace@hall.example", "A lost page", "Hello,\n\npage 12 is missing in my copy.\n\nGrace", "Hello Grace Hall,"},
		{"zh", "陈晨", "chenchen@visitor.example", "缺页", "您好，我买的书缺了第12页，可以换一本吗？\n\n陈晨", "陈晨，您好："},
	} {
		r, err := client.PostForm(address+"/write", url.Values{"lang": {visit.lang}, "name": {visit.name}, "from": {visit.from}, "subject": {visit.subject}, "text": {visit.text}, "zone": {"28800"}})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		page := string(body)
		if err != nil || r.StatusCode != http.StatusOK || r.Request.URL.Path != "/" || r.Header.Get("Content-Language") != visit.lang {
			t.Fatalf("after writing: %d %s (%v)", r.StatusCode, r.Request.URL, err)
		}
		if !strings.Contains(page, visit.answer) || !strings.Contains(page, visit.subject) {
			t.Errorf("the answer to %s is not on the page:\n%s", visit.name, page)
		}
		frame := regexp.MustCompile(`<iframe src="(/letter/\d+)"`).FindStringSubmatch(page)
		if frame == nil || !strings.Contains(get(frame[1]), visit.answer) {
			t.Errorf("the letter to %s cannot be read", visit.name)
		}
		s.until(func() bool { return strings.Contains(s.log.String(), visit.name) }, func() string { return "the terminal does not tell of " + visit.name })
	}
	// Each visit changed the page more than once: it came in, it was decided, it was answered.
	told := bufio.NewReader(stream.Body)
	for range 2 {
		line, err := told.ReadString('\n')
		blank, err2 := told.ReadString('\n')
		if err != nil || err2 != nil || line != "data: changed\n" || blank != "\n" {
			t.Errorf("the page is told %q %q (%v, %v)", line, blank, err, err2)
		}
	}
	stop()
	if got := <-code; got != exitDone {
		t.Errorf("demo ended with %d\n%s", got, s.log.String())
	}
	if !slices.Contains(strings.Split(s.log.String(), "\n"), "Stop with Ctrl-C.") {
		t.Errorf("the terminal says\n%s", s.log.String())
	}
}
