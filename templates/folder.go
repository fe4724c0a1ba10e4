package templates

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed letters/*.md
var builtIn embed.FS

// maxFiles is how many letters a folder may hold.
const maxFiles = 1000

// file is one letter's file.
type file struct {
	Source
	builtIn bool
}

// readAll reads the built-in files and the folder's, which take their place, sorted by name and language.
// Files that are called wrongly or cannot be read are mistakes; the others are there all the same.
func readAll(overlay string) (sorted []file, mistakes []error, err error) {
	files := map[string]file{}
	entries, err := builtIn.ReadDir("letters")
	if err != nil {
		return nil, nil, fmt.Errorf("templates: the built-in letters: %w", err)
	}
	for _, e := range entries {
		data, err := builtIn.ReadFile("letters/" + e.Name())
		if err != nil {
			return nil, nil, fmt.Errorf("templates: the built-in letters: %w", err)
		}
		name, language, _ := namesOf(e.Name())
		files[e.Name()] = file{Source{File: "letters/" + e.Name(), Name: name, Language: language, Data: data}, true}
	}
	paths, err := lettersIn(overlay)
	if err != nil {
		return nil, nil, err
	}
	for _, path := range paths {
		name, language, ok := namesOf(path)
		if !ok {
			mistakes = append(mistakes, &Mistake{File: path, Message: "a letter's file is called NAME.LANGUAGE.md, in small letters: welcome.en.md"})
			continue
		}
		data, err := read(path)
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("templates: read letter: %w", err))
			continue
		}
		files[filepath.Base(path)] = file{Source: Source{File: path, Name: name, Language: language, Data: data}}
	}
	for _, key := range slices.Sorted(maps.Keys(files)) {
		sorted = append(sorted, files[key])
	}
	return sorted, mistakes, nil
}

// read reads no more of a file than tells that it is too large.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSource+1))
}

// lettersIn finds the Markdown files of the folder; README.md, hidden files and folders are no letters.
func lettersIn(overlay string) ([]string, error) {
	if overlay == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(overlay)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("templates: the folder of letters %s cannot be read: %w", overlay, err)
	}
	var paths []string
	for _, e := range entries {
		name := e.Name()
		if filepath.Ext(name) == ".md" && name != "README.md" && !strings.HasPrefix(name, ".") && !e.IsDir() {
			paths = append(paths, filepath.Join(overlay, name))
		}
	}
	if len(paths) > maxFiles {
		return nil, fmt.Errorf("templates: the folder of letters %s holds %d letters; %d are the most", overlay, len(paths), maxFiles)
	}
	return paths, nil
}
