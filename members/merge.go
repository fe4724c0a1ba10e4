package members

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
)

// Merge decides what an imported row makes of a member. held is nil for an address not on the list, which becomes
// active unless the row says otherwise. own names the columns the member set themself: their choice wins over a file.
// Who left stays away: a file can neither bring back an unsubscribed, bounced or complaining member nor sign one up to
// topics. changed names the columns that differ from what was held, sorted; nothing held is written to.
// The error lists every mistake of the row, and then nothing is to be stored.
func Merge(held *Member, own map[string]bool, row map[string]string) (updated Member, changed []string, err error) {
	if held != nil {
		updated = held.clone()
	}
	wanted := make(map[string]string, len(row))
	for column, value := range row {
		name := ColumnName(column)
		if held == nil || !own[name] && !(held.Left() && name == "topics") {
			wanted[name] = value
		}
	}
	if err := checkEmail(held, row); err != nil {
		return Member{}, nil, err
	}
	if held != nil {
		delete(wanted, "email") // the same but for case; the held spelling stays
	}
	if err := updated.Apply(wanted); err != nil {
		return Member{}, nil, err
	}
	if held == nil {
		if updated.Status == "" {
			updated.Status = StatusActive
		}
		return updated, differing(&Member{}, &updated), nil
	}
	if farther[updated.Status] < farther[held.Status] && held.Left() {
		updated.Status = held.Status
	}
	return updated, differing(held, &updated), nil
}

// farther orders the ways of leaving; a file may move a member on, never back.
var farther = map[string]int{StatusBounced: 1, StatusUnsubscribed: 2, StatusComplained: 3}

func checkEmail(held *Member, row map[string]string) error {
	given := strings.TrimFunc(row["email"], blank)
	if held == nil {
		_, err := NormalAddress(given)
		return err
	}
	if given != "" && !strings.EqualFold(given, held.Email) {
		return errors.New("email: the row is for " + clip(given) + ", not for " + held.Email)
	}
	return nil
}

// differing names the columns in which two members differ, sorted.
func differing(a, b *Member) []string {
	var columns []string
	for _, column := range Columns {
		if a.column(column) != b.column(column) {
			columns = append(columns, column)
		}
	}
	names := maps.Clone(a.Fields)
	if names == nil {
		names = map[string]any{}
	}
	maps.Copy(names, b.Fields)
	for name := range names {
		if !equalValues(a.Fields[name], b.Fields[name]) {
			columns = append(columns, name)
		}
	}
	slices.Sort(columns)
	return columns
}

// equalValues compares instants, not their zones: a field may have been to the database and back.
func equalValues(a, b any) bool {
	if ta, ok := a.(time.Time); ok {
		tb, ok := b.(time.Time)
		return ok && ta.Equal(tb)
	}
	return a == b
}
