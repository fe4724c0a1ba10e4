package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
)

// explainAll runs explain on files of a folder and gives its objects.
func explainAll(t *testing.T, files map[string][]byte, names []string) []explained {
	t.Helper()
	s := &shop{t: t, dir: t.TempDir()}
	s.file("config.yaml", "business: {name: Harbour Books}\nsmtp: {host: 127.0.0.1, security: none}\n"+
		"mailboxes: {support: {address: support@harbourbooks.example, imap: {host: 127.0.0.1, security: none}}}\n")
	args := []string{"explain", "--json"}
	for _, name := range names {
		args = append(args, s.file(name, string(files[name])))
	}
	code, out, errOut := s.command(args...)
	if code != exitDone || errOut != "" {
		t.Fatalf("explain ended with %d: %s", code, errOut)
	}
	var all []explained
	for line := range strings.Lines(out) {
		var x explained
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			t.Fatalf("%v\n%s", err, line)
		}
		all = append(all, x)
	}
	return all
}

// Files are judged several at a time; the report keeps their order.
func TestExplainKeepsTheOrder(t *testing.T) {
	t.Parallel()
	files, names := map[string][]byte{}, []string{}
	for i := range 300 {
		name := fmt.Sprintf("%03d.eml", i)
		names = append(names, name)
		// The first of each ten is much larger than those behind it.
		body := "a line of a letter\n"
		if i%10 == 0 {
			body = strings.Repeat("a line of a letter\n", 20_000)
		}
		files[name] = crlf(fmt.Sprintf("From: jane@doe%d.example\nTo: %s\nSubject: %d\n\n%s", i, support, i, body))
	}
	all := explainAll(t, files, names)
	if len(all) != len(names) {
		t.Fatalf("%d objects for %d files", len(all), len(names))
	}
	for i, x := range all {
		if filepath.Base(x.File) != names[i] || x.Subject != fmt.Sprint(i) {
			t.Fatalf("object %d is of %s, subject %q", i, x.File, x.Subject)
		}
	}
}

// Any bytes at all get an object, with a reason and a rule where we are silent.
func TestExplainTakesAnyBytes(t *testing.T) {
	t.Parallel()
	letter := letter("jane@doe.example", support)
	random := rand.New(rand.NewPCG(1, 2))
	files, names := map[string][]byte{}, []string{}
	add := func(raw []byte) {
		name := fmt.Sprintf("%03d.eml", len(names))
		names, files[name] = append(names, name), raw
	}
	for i := range 200 {
		noise := make([]byte, random.IntN(5000))
		for j := range noise {
			noise[j] = byte(random.Uint32())
		}
		add(noise)
		spoilt := bytes.Clone(letter)
		for range 1 + i/20 {
			spoilt[random.IntN(len(spoilt))] = byte(random.Uint32())
		}
		add(spoilt)
		add(letter[:random.IntN(len(letter))])
	}
	for i, x := range explainAll(t, files, names) {
		if x.Reason == "" || x.Kind == "" || !x.Acknowledge && x.Rule == "" || x.Acknowledge && x.Letter == "" {
			t.Errorf("%q is explained as %+v", files[names[i]], x)
		}
	}
}
