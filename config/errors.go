package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one mistake in the configuration.
type Error struct {
	File         string
	Line, Column int    // from 1; columns in characters
	Key          string // the path of keys, such as mailboxes.support.imap.port; entries of lists by number: responder.rules[1].when
	Message      string // a sentence that says how to mend it
}

func (e *Error) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
	}
	return fmt.Sprintf("%s:%d:%d: %s: %s", e.File, e.Line, e.Column, e.Key, e.Message)
}

// Errors are all mistakes of a file, in its order.
type Errors []*Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, mistake := range e {
		lines[i] = mistake.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find a single mistake.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, mistake := range e {
		all[i] = mistake
	}
	return all
}

// maxErrors is more than anybody mends at once.
const maxErrors = 100

// sorted puts the mistakes into the file's order; one that several mailboxes inherit is said once.
func (e Errors) sorted() Errors {
	slices.SortStableFunc(e, func(a, b *Error) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) })
	e = slices.CompactFunc(e, func(a, b *Error) bool { return *a == *b })
	if len(e) > maxErrors {
		e = e[:maxErrors]
	}
	return e
}
