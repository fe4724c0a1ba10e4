package e2e

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/returnpost/returnpost"

// levels is the table "Imports run one way" of the design: a package imports only packages of levels below its
// own. cmd wires everything and so stands above the demo.
var levels = map[string]int{
	"message": 0, "promise": 0, "members": 0, "templates": 0, "faq": 0,
	"mailbox": 1, "outbox": 1,
	"store":     2,
	"responder": 3, "campaigns": 3,
	"web": 4, "web/console": 4,
	"config":         5,
	"internal/demo":  6,
	"cmd/returnpost": 7,
}

// harness are the packages that serve tests only (and the demo, which runs on the servers in memory): they import
// nothing of ours, and only the packages listed import them.
var harness = map[string][]string{
	"internal/mailtest": {"internal/demo"},
	"e2e":               nil,
	"e2e/servers":       nil,
}

// gates are the libraries that one package keeps for itself (and, where said, the servers in memory).
var gates = map[string][]string{
	"github.com/emersion/go-imap": {"mailbox", "internal/mailtest"},
	"github.com/emersion/go-smtp": {"internal/mailtest"},
	"github.com/wneessen/go-mail": {"outbox"},
	"database/sql":                {"store"},
	"github.com/jackc/pgx":        {"store"},
	"modernc.org/sqlite":          {"store"},
	"github.com/expr-lang/expr":   {"members"},
	"github.com/spf13/cobra":      {"cmd/returnpost"},
}

type goPackage struct {
	ImportPath        string
	Imports, CgoFiles []string
}

// packages lists all of ours with what they import outside their tests. (-e: what does not compile is for the
// compiler to say.)
func packages(t *testing.T) []goPackage {
	t.Helper()
	list := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,CgoFiles", "./...")
	list.Dir = ".."
	list.Env = append(os.Environ(), "CGO_ENABLED=1") // else files with cgo are passed over in silence
	list.Stderr = os.Stderr
	out, err := list.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := list.Start(); err != nil {
		t.Fatal(err)
	}
	var all []goPackage
	for d := json.NewDecoder(out); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if err := list.Wait(); err != nil {
		t.Fatalf("go list: %v", err)
	}
	return all
}

func TestImportsRunOneWay(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		level, placed := levels[name]
		_, serves := harness[name]
		if !placed && !serves {
			t.Errorf("package %s is on no level: give it one here and in docs/ARCHITECTURE.md", name)
		}
		if len(p.CgoFiles) > 0 {
			t.Errorf("%s uses cgo in %v; the binary is built without", name, p.CgoFiles)
		}
		for _, i := range p.Imports {
			imported, ours := strings.CutPrefix(i, module+"/")
			switch users, forTests := harness[imported]; {
			case !ours:
			case forTests && !slices.Contains(users, name):
				t.Errorf("%s imports %s, which serves tests", name, imported)
			case !forTests && serves:
				t.Errorf("%s imports %s; what serves tests imports nothing of ours", name, imported)
			case !forTests && levels[imported] >= level:
				t.Errorf("%s (level %d) imports %s (level %d)", name, level, imported, levels[imported])
			}
		}
	}
}

func TestLibrariesHaveOneImporter(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		for _, i := range p.Imports {
			for library, keepers := range gates {
				if (i == library || strings.HasPrefix(i, library+"/")) && !slices.Contains(keepers, name) {
					t.Errorf("%s imports %s, which belongs to %v alone", name, i, keepers)
				}
			}
		}
	}
}

// TestNoCatchAllPackages holds the house style: few, deep packages, each a noun.
func TestNoCatchAllPackages(t *testing.T) {
	for _, p := range packages(t) {
		switch base := path.Base(p.ImportPath); base {
		case "util", "utils", "common", "helpers", "types", "models", "misc", "shared":
			t.Errorf("package %s is named after nothing; packages are nouns of the field", base)
		}
	}
}
