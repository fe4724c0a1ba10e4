package members

import (
	"fmt"
	"strings"
)

// Nearest is the word among those that was probably meant, "" if none is near: at most a third of its letters are
// wrong, missing, too many or swapped with their neighbour. The first of equals wins.
func Nearest(word string, among []string) string {
	if len(word) > 64 {
		return ""
	}
	best, least := "", 1000
	typed := []rune(strings.ToLower(word))
	for _, candidate := range among {
		wanted := []rune(strings.ToLower(candidate))
		if d := distance(typed, wanted); d < least && d <= (max(len(typed), len(wanted))+1)/3 {
			best, least = candidate, d
		}
	}
	return best
}

// meant is the end of a sentence about an unknown word.
func meant(word string, among []string) string {
	if near := Nearest(word, among); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// distance counts edits, a swap of neighbours as one (optimal string alignment).
func distance(a, b []rune) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
