package members

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// Limits of a file. What is over them is a bad row, and the reader goes on behind it.
const (
	maxLine     = 256 << 10 // bytes of one line
	maxRecord   = 128 << 10 // bytes of one quoted cell
	maxRowLines = 100       // lines of one row: an open quote must not swallow the file
	maxColumns  = 300
	sniffed     = 64 << 10 // bytes looked at to recognise the encoding
)

// A Row is one row of a file. With Err set the row is bad: Columns is nil and Raw holds what could be made out:
// the cells, the line as it stands, or nothing.
type Row struct {
	Line    int               // where the row begins, counted from 1
	Raw     []string          // the cells as they stand in the file, decoded
	Columns map[string]string // by the header's names
	Err     error             // a sentence
}

// ReadCSV reads a member list: RFC 4180 in UTF-8 (a byte order mark is allowed) or GB18030, with commas,
// semicolons or tabs, whichever the header uses. The header is required, its case does not matter, and it must have
// email; the names returned are those of ColumnName, "" for a column without one. Rows are streamed and can be read once.
// Empty lines are passed over. err is about the header or the first read; an error of a later read ends the rows as a Row.Err.
func ReadCSV(r io.Reader) (header []string, rows iter.Seq[Row], err error) {
	s, err := openSheet(r)
	if err != nil {
		return nil, nil, err
	}
	first, line, err := s.header()
	if err != nil {
		return nil, nil, err
	}
	header, err = columnNames(first, line)
	if err != nil {
		return nil, nil, err
	}
	return header, func(yield func(Row) bool) {
		for {
			row, more := s.row(header)
			if !more || !yield(row) {
				return
			}
		}
	}, nil
}

// columnNames checks the header's cells and gives them their names.
func columnNames(cells []string, line int) ([]string, error) {
	if len(cells) > maxColumns {
		return nil, fmt.Errorf("line %d: the header has more than %d columns", line, maxColumns)
	}
	names := make([]string, len(cells))
	for i, cell := range cells {
		name := ColumnName(strings.TrimFunc(cell, blank))
		if name != "" {
			if at := slices.Index(names[:i], name); at >= 0 {
				return nil, fmt.Errorf("line %d: the columns %d and %d are both named %q", line, at+1, i+1, name)
			}
		}
		names[i] = name
	}
	if !slices.Contains(names, "email") {
		return nil, fmt.Errorf("line %d: the header has no column email; it has %s", line, clip(strings.Join(cells, ", ")))
	}
	return names, nil
}

// A sheet is a list being read: physical lines, of which some may wait to be looked at again.
type sheet struct {
	in       *bufio.Reader
	encoding encoding
	comma    byte
	number   int      // of the last line taken
	again    [][]byte // lines put back, the next last
	failed   error    // of the reader
	ended    bool
}

type encoding int

const (
	undecided encoding = iota // ASCII so far
	isUTF8
	isGB18030
)

func openSheet(r io.Reader) (*sheet, error) {
	in := bufio.NewReaderSize(r, sniffed)
	start, err := in.Peek(4)
	if err != nil && err != io.EOF && len(start) == 0 {
		return nil, fmt.Errorf("read the file: %w", err)
	}
	if bytes.HasPrefix(start, []byte("\xef\xbb\xbf")) {
		if _, err := in.Discard(3); err != nil {
			return nil, fmt.Errorf("read the file: %w", err)
		}
	}
	s := &sheet{in: in}
	sample, _ := in.Peek(sniffed)
	s.encoding = guess(sample)
	return s, nil
}

// guess tells UTF-8 from GB18030, the two that Chinese spreadsheets write. In all of GB18030's sequences no byte is a
// comma, a quote or a line break, so rows can be cut before they are decoded.
func guess(sample []byte) encoding {
	good, bad := 0, 0
	all := sample
	for len(sample) > 0 {
		r, size := utf8.DecodeRune(sample)
		switch {
		case r == utf8.RuneError && size == 1:
			bad++
		case size > 1:
			good++
		}
		sample = sample[size:]
	}
	switch {
	case good+bad == 0:
		return undecided
	case bad > 0 && pairs(all):
		return isGB18030
	case good >= bad: // a broken line, or a sample that ends inside a character, makes no GB18030
		return isUTF8
	}
	return isGB18030
}

// pairs says whether all that is not ASCII are the two-byte characters of GB2312, as in everyday Chinese. In a few names of
// UTF-8 the bytes happen to be that as well, but never in a sample that is not valid UTF-8.
func pairs(sample []byte) bool {
	for i := 0; i < len(sample); i++ {
		if sample[i] < utf8.RuneSelf {
			continue
		}
		if i++; i == len(sample) {
			return true // the sample ends inside a character
		}
		if lead, trail := sample[i-1], sample[i]; lead < 0xa1 || lead > 0xf7 || trail < 0xa1 || trail == 0xff {
			return false
		}
	}
	return true
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// next takes a line without its end. A line over maxLine comes back cut, with tooLong set.
func (s *sheet) next() (line []byte, tooLong, ok bool) {
	if n := len(s.again); n > 0 {
		line, s.again = s.again[n-1], s.again[:n-1]
		s.number++
		return line, false, true
	}
	for !s.ended {
		part, err := s.in.ReadSlice('\n')
		if len(line)+len(part) <= maxLine {
			line = append(line, part...)
		} else {
			tooLong = true
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			s.ended = true
			if err != io.EOF {
				s.failed = err
			}
			if len(line) == 0 && !tooLong {
				break
			}
		}
		s.number++
		line = bytes.TrimSuffix(line, []byte("\n"))
		return bytes.TrimSuffix(line, []byte("\r")), tooLong, true
	}
	return nil, false, false
}

// putBack returns lines to be taken again, in their order.
func (s *sheet) putBack(lines [][]byte) {
	for _, line := range slices.Backward(lines) {
		s.again = append(s.again, line)
		s.number--
	}
}

// header takes the first line that is not empty, and the separator from it.
func (s *sheet) header() (cells []string, line int, err error) {
	for {
		first, tooLong, ok := s.next()
		switch {
		case s.failed != nil:
			return nil, 0, fmt.Errorf("read the file: %w", s.failed)
		case !ok:
			return nil, 0, errors.New("the file is empty: it needs a header with at least the column email")
		case tooLong:
			return nil, 0, fmt.Errorf("line %d: the header is longer than %d KiB", s.number, maxLine>>10)
		case len(bytes.TrimSpace(first)) == 0:
			continue
		}
		s.comma = ','
		for _, c := range []byte{';', '\t'} {
			if bytes.Count(first, []byte{c}) > bytes.Count(first, []byte{s.comma}) {
				s.comma = c
			}
		}
		line = s.number
		cells, _, err = s.record(first)
		if err != nil {
			return nil, 0, fmt.Errorf("line %d: the header: %w", line, err)
		}
		return cells, line, nil
	}
}

// row takes the next row and hangs its cells to the header's names.
func (s *sheet) row(header []string) (Row, bool) {
	var first []byte
	for {
		var tooLong, ok bool
		first, tooLong, ok = s.next()
		if !ok {
			if err := s.failed; err != nil {
				s.failed = nil
				return Row{Line: s.number + 1, Err: fmt.Errorf("the file could not be read any further: %w", err)}, true
			}
			return Row{}, false
		}
		if tooLong {
			return Row{Line: s.number, Err: fmt.Errorf("the line is longer than %d KiB", maxLine>>10)}, true
		}
		if len(bytes.TrimSpace(first)) > 0 {
			break
		}
	}
	row := Row{Line: s.number}
	cells, further, err := s.record(first)
	if err != nil {
		// Go on with the line after the first: a quote too many must not cost the rows behind it.
		s.putBack(further)
		text, decodeErr := s.decode(first)
		if decodeErr != nil {
			text = strings.ToValidUTF8(string(first), "\ufffd")
		}
		row.Raw, row.Err = []string{text}, err
		return row, true
	}
	row.Raw = cells
	row.Columns, row.Err = assign(header, cells)
	return row, true
}

func assign(header, cells []string) (map[string]string, error) {
	// Spreadsheets leave empty cells at the end, or leave them out.
	for len(cells) > len(header) && strings.TrimFunc(cells[len(cells)-1], blank) == "" {
		cells = cells[:len(cells)-1]
	}
	if len(cells) != len(header) {
		return nil, fmt.Errorf("%d cells, but the header has %d columns", len(cells), len(header))
	}
	columns := make(map[string]string, len(header))
	for i, name := range header {
		switch {
		case name != "":
			columns[name] = unguard(cells[i])
		case strings.TrimFunc(cells[i], blank) != "":
			return nil, fmt.Errorf("column %d holds %q but has no name in the header", i+1, clip(cells[i]))
		}
	}
	return columns, nil
}

// record splits a row, of which first is the first line, into cells. further are the lines it took beyond that.
func (s *sheet) record(first []byte) (cells []string, further [][]byte, err error) {
	text, err := s.decode(first)
	if err != nil {
		return nil, nil, err
	}
	if strings.IndexByte(text, '"') < 0 {
		return strings.Split(text, string(s.comma)), nil, nil
	}
	for at := 0; ; {
		for at < len(text) && (text[at] == ' ' || text[at] == '\t' && s.comma != '\t') && quoteAhead(text[at:]) {
			at++ // blanks between a separator and a quote
		}
		if at == len(text) || text[at] != '"' {
			cell, rest, more := strings.Cut(text[at:], string(s.comma))
			if strings.IndexByte(cell, '"') >= 0 {
				return nil, further, fmt.Errorf("a quote stands inside a cell that does not begin with one: %q", clip(cell))
			}
			cells = append(cells, cell)
			if !more {
				return cells, further, nil
			}
			at = len(text) - len(rest)
			continue
		}
		var cell string
		if cell, text, at, further, err = s.quoted(text, at+1, further); err != nil {
			return nil, further, err
		}
		cells = append(cells, cell)
		if at == len(text) {
			return cells, further, nil
		}
		at++ // the separator
	}
}

// quoteAhead says whether nothing but blanks stands before the next quote.
func quoteAhead(s string) bool {
	return strings.HasPrefix(strings.TrimLeft(s, " \t"), `"`)
}

// quoted reads a quoted cell from behind its opening quote, taking further lines as it needs them. It returns the line
// it ended in and where: at a separator or at the end.
func (s *sheet) quoted(text string, at int, further [][]byte) (cell, line string, end int, _ [][]byte, err error) {
	var b strings.Builder
	for {
		i := strings.IndexByte(text[at:], '"')
		switch {
		case i < 0: // a line break inside the quotes
			b.WriteString(text[at:])
			b.WriteByte('\n')
			raw, tooLong, ok := s.next()
			if tooLong {
				return "", "", 0, further, fmt.Errorf("a quote is open, and line %d is longer than %d KiB", s.number, maxLine>>10)
			}
			if ok {
				further = append(further, raw)
			}
			if !ok || len(further) > maxRowLines || b.Len() > maxRecord {
				return "", "", 0, further, errors.New("a quote is opened and never closed")
			}
			if text, err = s.decode(raw); err != nil {
				return "", "", 0, further, err
			}
			at = 0
			continue
		case strings.HasPrefix(text[at+i:], `""`):
			b.WriteString(text[at : at+i+1])
			at += i + 2
			continue
		}
		b.WriteString(text[at : at+i])
		end = at + i + 1
		for end < len(text) && text[end] == ' ' {
			end++
		}
		if end < len(text) && text[end] != s.comma {
			return "", "", 0, further, fmt.Errorf("text follows a closing quote: %q", clip(text[at+i:]))
		}
		return b.String(), text, end, further, nil
	}
}

// decode makes a line UTF-8. The encoding is settled by the first line that is not ASCII.
func (s *sheet) decode(line []byte) (string, error) {
	if bytes.IndexByte(line, 0) >= 0 {
		return "", errors.New("the line holds NUL bytes: save the file as CSV UTF-8, not as a workbook or Unicode text")
	}
	if ascii(line) {
		return string(line), nil
	}
	if s.encoding == undecided {
		s.encoding = guess(line)
	}
	if s.encoding == isUTF8 {
		if !utf8.Valid(line) {
			return "", errors.New("the line is not valid UTF-8, though the lines before it are")
		}
		return string(line), nil
	}
	text, err := simplifiedchinese.GB18030.NewDecoder().Bytes(line)
	if err != nil || bytes.ContainsRune(text, utf8.RuneError) {
		return "", errors.New("the line is neither UTF-8 nor GB18030: save the file as CSV UTF-8")
	}
	return string(text), nil
}
