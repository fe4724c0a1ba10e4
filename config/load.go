package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/returnpost/returnpost/promise"
)

// maxFile bounds the file; maxNodes what its aliases can make of it.
const (
	maxFile  = 1 << 20
	maxNodes = 100_000
	maxDepth = 40
	maxKey   = 200
)

// places are where the configuration is looked for when nothing says where it is.
var places = []string{"config.yaml", "/etc/returnpost/config.yaml"}

// Find says which file is the configuration: the one of the flag, else of $RETURNPOST_CONFIG, else the first of ./config.yaml and
// /etc/returnpost/config.yaml that exists.
// A file named by the flag or the variable has to exist.
func Find(flag string) (string, error) {
	from, named := "--config", flag
	if named == "" {
		from, named = "$RETURNPOST_CONFIG", os.Getenv("RETURNPOST_CONFIG")
	}
	if named != "" {
		if _, err := os.Stat(named); err != nil {
			return "", fmt.Errorf("the configuration %s, named by %s: %w", named, from, reason(err))
		}
		return named, nil
	}
	for _, file := range places {
		_, err := os.Stat(file)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("the configuration %s: %w", file, reason(err))
		}
	}
	return "", fmt.Errorf("there is no configuration: neither %s; name one with --config", strings.Join(places, " nor "))
}

// reason is a file error without the name, which the sentence around it says already.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("there is no such file")
	}
	return err
}

// Load reads and checks a file. Mistakes in it come as Errors.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the configuration %s cannot be read: %w", path, reason(err))
	}
	return Parse(path, data, os.LookupEnv)
}

// Parse reads and checks a configuration. name is the file's, for the reports and for relative paths; getenv looks up
// environment variables; readFile reads the files that values name, os.ReadFile if it is not given. Mistakes come as Errors.
func Parse(name string, data []byte, getenv func(string) (string, bool), readFile ...func(string) ([]byte, error)) (*Config, error) {
	d := newDecoder(name, getenv)
	if len(readFile) > 0 {
		d.readFile = readFile[0]
	}
	root := d.document(data)
	if root != nil {
		d.mapping(root, "", reflect.ValueOf(d.config).Elem(), false)
		if d.endless != nil {
			return nil, Errors{d.endless}
		}
		d.check(d.config)
	}
	if len(d.errors) > 0 {
		return nil, d.errors.sorted()
	}
	return d.config, nil
}

func newDecoder(name string, getenv func(string) (string, bool)) *decoder {
	return &decoder{
		file: name, folder: filepath.Dir(name), getenv: getenv, readFile: os.ReadFile, config: defaults(),
		nodes: map[string]*yaml.Node{}, keys: map[string]*yaml.Node{}, calendars: map[string]*promise.Calendar{},
	}
}

// document gives the root mapping, nil if there is none, which is then reported.
func (d *decoder) document(data []byte) *yaml.Node {
	switch {
	case len(data) > maxFile:
		d.report(1, 1, "", fmt.Sprintf("the file is larger than %d KiB", maxFile>>10))
		return nil
	case !utf8.Valid(data):
		line, column := invalidUTF8(data)
		d.report(line, column, "", "the file is not UTF-8: save it with the encoding UTF-8")
		return nil
	}
	d.lines = strings.Split(strings.TrimPrefix(string(data), "\ufeff"), "\n")
	var document yaml.Node
	if err := yaml.Load(data, &document); err != nil {
		d.syntax(err)
		return nil
	}
	if len(document.Content) != 1 {
		d.report(1, 1, "", "the file is empty; config.example.yaml shows what belongs into it")
		return nil
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		d.report(root.Line, root.Column, "", "the file holds no keys: write them like business: with the others below it")
		return nil
	}
	return root
}

func invalidUTF8(data []byte) (line, column int) {
	line, column = 1, 1
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if r == utf8.RuneError && size == 1 {
			break
		}
		if column++; r == '\n' {
			line, column = line+1, 1
		}
		data = data[size:]
	}
	return line, column
}

// FieldNames are the declared further fields of members, sorted.
func (c *Config) FieldNames() []string { return slices.Sorted(maps.Keys(c.Fields)) }
