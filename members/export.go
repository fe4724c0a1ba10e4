package members

import (
	"encoding/csv"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// WriteCSV writes members as an import reads them back: the columns of an import, then the further fields named.
// Cells that a spreadsheet would take for a formula are guarded (see Guard).
func WriteCSV(w io.Writer, members iter.Seq[*Member], fields []string) error {
	out := csv.NewWriter(w)
	header := append(append([]string{}, Columns...), fields...)
	if err := out.Write(guarded(header)); err != nil {
		return fmt.Errorf("write the header: %w", err)
	}
	cells := make([]string, len(header))
	for m := range members {
		for i, column := range Columns {
			cells[i] = m.column(column)
		}
		for i, name := range fields {
			cells[len(Columns)+i] = formatField(m.Fields[name])
		}
		if err := out.Write(guarded(cells)); err != nil {
			return fmt.Errorf("write the row of %s: %w", m.Email, err)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write the list: %w", err)
	}
	return nil
}

func guarded(cells []string) []string {
	for i, cell := range cells {
		cells[i] = Guard(cell)
	}
	return cells
}

// Guard puts an apostrophe before a cell that spreadsheets would run as a formula. ReadCSV takes it off again, so an
// export can be imported. Plain numbers are left alone.
func Guard(cell string) string {
	if !formula(strings.TrimLeft(cell, "'")) {
		return cell
	}
	if _, number := parseNumber(cell); number {
		return cell
	}
	return "'" + cell
}

func unguard(cell string) string {
	if strings.HasPrefix(cell, "'") && formula(strings.TrimLeft(cell, "'")) {
		return cell[1:]
	}
	return cell
}

// formula says whether a spreadsheet may run the cell: the signs of OWASP's CSV injection page, and their wide forms.
func formula(cell string) bool {
	first, _ := utf8.DecodeRuneInString(strings.TrimLeft(cell, " "))
	return strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) && cell != ""
}

// column is the text of one of Columns.
func (m *Member) column(name string) string {
	switch name {
	case "email":
		return m.Email
	case "name":
		return m.Name
	case "language":
		return m.Language
	case "time_zone":
		return m.TimeZone
	case "tier":
		return m.Tier
	case "topics":
		return strings.Join(m.Topics, ";")
	case "format":
		return m.Format
	case "acknowledgements":
		return m.Acknowledgements
	case "cadence":
		return m.Cadence
	case "preferred_hour":
		if m.PreferredHour == nil {
			return ""
		}
		return strconv.Itoa(*m.PreferredHour)
	case "pause_until":
		return formatTime(m.PauseUntil)
	case "status":
		return m.Status
	case "joined":
		return formatTime(m.Joined)
	}
	return ""
}

// formatTime writes a date where the time of day says nothing.
func formatTime(t time.Time) string {
	t = t.UTC()
	switch {
	case t.IsZero():
		return ""
	case t.Equal(t.Truncate(24 * time.Hour)):
		return t.Format("2006-01-02")
	}
	return t.Format(time.RFC3339Nano)
}

// formatField writes a field so that recognise reads the same value back.
func formatField(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	case time.Time:
		return formatTime(v)
	}
	return ""
}
