package templates

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a file of testdata, or rewrites the file.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update rewrites it)\n--- got\n%s--- want\n%s", path, got, want)
	}
}

// mistakesIn lists what an error of Load or Compile joins, one mistake a line.
func mistakesIn(t *testing.T, err error) string {
	t.Helper()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("%v is no joined error", err)
	}
	var b strings.Builder
	for _, e := range joined.Unwrap() {
		var m *Mistake
		if !errors.As(e, &m) {
			t.Errorf("%v is no *Mistake", e)
			continue
		}
		fmt.Fprintf(&b, "%d:%d: %s\n", m.Line, m.Column, m.Message)
	}
	return b.String()
}

// Each file of testdata/mistakes has all its mistakes reported, at their places in the file.
func TestMistakes(t *testing.T) {
	set, err := Load("")
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob("testdata/mistakes/*.md")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no mistakes to test: %v", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = set.Compile(Source{File: path, Name: "letter", Language: "en", Data: data})
			if err == nil {
				t.Fatal("compiled without a mistake")
			}
			golden(t, strings.TrimSuffix(path, ".md")+".want", mistakesIn(t, err))
		})
	}
}
