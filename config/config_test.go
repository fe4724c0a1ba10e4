package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata/bad/*.want")

func lookup(name string) (string, bool) {
	value, ok := map[string]string{"SECRET": "pa$$word ${X}", "PORT": "1993", "EMPTY": "", "BREAK": "a\nb", "SMTP_PASSWORD": "one", "IMAP_PASSWORD": "two", "RETURNPOST_SECRET": "0123456789abcdef"}[name]
	return value, ok
}

// TestMistakes: each file of testdata/bad has the mistakes of one kind, and .want what is said of them.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := Parse(filepath.Base(file), data, lookup, func(name string) ([]byte, error) {
				if filepath.IsAbs(name) {
					return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
				}
				return os.ReadFile(filepath.Join("testdata/bad", name))
			})
			var mistakes Errors
			if !errors.As(err, &mistakes) || cfg != nil {
				t.Fatalf("Parse: %v, %v; want Errors alone", cfg, err)
			}
			got := mistakes.Error() + "\n"
			want := strings.TrimSuffix(file, ".yaml") + ".want"
			if *update {
				if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			wanted, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(wanted), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
