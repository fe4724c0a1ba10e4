package members

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
)

// read renders rows one a line: "3 email=a@x name=…" or "4 ! the reason".
func read(t *testing.T, data string) []string {
	t.Helper()
	header, rows, err := ReadCSV(strings.NewReader(data))
	if err != nil {
		return []string{"! " + err.Error()}
	}
	return render(header, rows)
}

func render(header []string, rows iter.Seq[Row]) []string {
	var out []string
	for row := range rows {
		if row.Err != nil {
			out = append(out, fmt.Sprintf("%d ! %v", row.Line, row.Err))
			continue
		}
		var cells []string
		for _, name := range header {
			if name != "" {
				cells = append(cells, name+"="+row.Columns[name])
			}
		}
		out = append(out, fmt.Sprintf("%d %s", row.Line, strings.Join(cells, " ")))
	}
	return out
}

func TestReadCSV(t *testing.T) {
	gb, err := simplifiedchinese.GB18030.NewEncoder().String("email,name\nli@example.com,李伟\nwang@example.com,\"王,芳\"\n")
	if err != nil {
		t.Fatal(err)
	}
	wide, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String("email\tname\r\nli@example.com\t李伟😀\r\n")
	if err != nil {
		t.Fatal(err)
	}
	lateGB, err := simplifiedchinese.GB18030.NewEncoder().String("李伟")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, data string
		want       []string
	}{
		{"plain", "email,name\na@x.example,Ann\n", []string{"2 email=a@x.example name=Ann"}},
		{"byte order mark, CRLF, no end of line", "\ufeffEmail,NAME\r\na@x.example,李伟\r\nb@x.example,Bo", []string{"2 email=a@x.example name=李伟", "3 email=b@x.example name=Bo"}},
		{"GB18030", gb, []string{"2 email=li@example.com name=李伟", "3 email=wang@example.com name=王,芳"}},
		{"UTF-16", wide, []string{"! line 1: the header: the line holds NUL bytes: save the file as CSV UTF-8, not as a workbook or Unicode text"}},
		{"semicolons", "email;topics\na@x.example;\"a;b\"\n", []string{"2 email=a@x.example topics=a;b"}},
		{"quoted line breaks", "email,notes\na@x.example,\"one\n\"\"two\"\"\r\nthree\"\nb@x.example,x\n",
			[]string{"2 email=a@x.example notes=one\n\"two\"\nthree", "5 email=b@x.example notes=x"}},
		{"wrong column counts", "email,name\na@x.example\nb@x.example,B,x\nc@x.example,C,,\nd@x.example,D\n",
			[]string{"2 ! 1 cells, but the header has 2 columns", "3 ! 3 cells, but the header has 2 columns", "4 email=c@x.example name=C", "5 email=d@x.example name=D"}},
		{"bare quotes", "email,name\na@x.example,Ann \"Bo\" Lee\nb@x.example,B\n",
			[]string{`2 ! a quote stands inside a cell that does not begin with one: "Ann \"Bo\" Lee"`, "3 email=b@x.example name=B"}},
		{"an open quote costs one row", "email,name\na@x.example,\"Ann\nb@x.example,\"B\"\nc@x.example,C\n",
			[]string{`2 ! text follows a closing quote: "\"B\""`, "3 email=b@x.example name=B", "4 email=c@x.example name=C"}},
		{"an open quote to the end", "email,name\na@x.example,\"Ann\nb@x.example,B\n", []string{"2 ! a quote is opened and never closed", "3 email=b@x.example name=B"}},
		{"text after a quote", "email,name\na@x.example,\"Ann\"x\nb@x.example,B\n", []string{`2 ! text follows a closing quote: "\"x"`, "3 email=b@x.example name=B"}},
		{"blanks around quotes", "email,name\na@x.example, \"Ann\" \n", []string{"2 email=a@x.example name=Ann"}},
		{"empty lines", "\n\nemail,name\n\n  \na@x.example,Ann\n\n", []string{"6 email=a@x.example name=Ann"}},
		{"unnamed columns", "email,,name,\na@x.example,,Ann,\nb@x.example,lost,B,\n",
			[]string{"2 email=a@x.example name=Ann", `3 ! column 2 holds "lost" but has no name in the header`}},
		{"guarded formulas", "email,name,phone\n'=a@x.example,''=x,'+86 754\n", []string{"2 email==a@x.example name='=x phone=+86 754"}},
		{"a broken line in UTF-8", "email,name\nä@x.example,A\nb@x.example,\xff\nc@x.example,C\n",
			[]string{"2 email=ä@x.example name=A", "3 ! the line is not valid UTF-8, though the lines before it are", "4 email=c@x.example name=C"}},
		{"neither UTF-8 nor GB18030", "email,name\na@x.example,\xff\xff\n", []string{"2 ! the line is neither UTF-8 nor GB18030: save the file as CSV UTF-8"}},
		{"NUL", "email\na@x.example\x00\nb@x.example\n", []string{"2 ! the line holds NUL bytes: save the file as CSV UTF-8, not as a workbook or Unicode text", "3 email=b@x.example"}},
		{"a line too long", "email\n" + strings.Repeat("x", maxLine+10) + "\nb@x.example\n", []string{"2 ! the line is longer than 256 KiB", "3 email=b@x.example"}},
		{"GB18030 far behind", "email,name\n" + strings.Repeat("a@x.example,Ann\n", 5000) + "b@x.example," + lateGB + "\n",
			append(slices.Collect(repeat(5000, "email=a@x.example name=Ann")), "5002 email=b@x.example name=李伟")},
		{"no header", "", []string{"! the file is empty: it needs a header with at least the column email"}},
		{"no email", "name,mail\nx,y\n", []string{"! line 1: the header has no column email; it has name, mail"}},
		{"duplicate columns", "email,Time Zone,time_zone\n", []string{`! line 1: the columns 2 and 3 are both named "time_zone"`}},
		{"a header with an open quote", "email,\"name\n", []string{"! line 1: the header: a quote is opened and never closed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, read(t, c.data)); diff != "" {
				t.Error(diff)
			}
			header, rows, err := ReadCSV(iotest.OneByteReader(strings.NewReader(c.data)))
			if err == nil && len(c.data) < 10_000 {
				if diff := cmp.Diff(c.want, render(header, rows)); diff != "" {
					t.Error("byte by byte: ", diff)
				}
			}
		})
	}
}

func repeat(n int, text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range n {
			if !yield(fmt.Sprint(i+2, " ", text)) {
				return
			}
		}
	}
}

func TestAReadErrorIsReportedOnce(t *testing.T) {
	broken := errors.New("the disk is gone")
	_, rows, err := ReadCSV(io.MultiReader(strings.NewReader("email\na@x.example\n"), iotest.ErrReader(broken)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for row := range rows {
		got = append(got, fmt.Sprint(row.Line, " ", row.Err != nil && errors.Is(row.Err, broken)))
	}
	if want := []string{"2 false", "3 true"}; !slices.Equal(got, want) {
		t.Errorf("rows %v, want %v", got, want)
	}
	if _, _, err := ReadCSV(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("header: %v", err)
	}
}

func TestExportComesBackAsItWas(t *testing.T) {
	hour := 7
	list := []*Member{
		{Email: "=cmd@example.com", Name: "@Ann, \"the\" first", Language: "en", TimeZone: "UTC", Tier: "-gold", Topics: []string{"=a", "b"}, Format: "text",
			Acknowledgements: "none", Cadence: "+weekly", PreferredHour: &hour, PauseUntil: time.Date(2027, 1, 2, 0, 0, 0, 0, time.UTC), Status: "active",
			Joined: time.Date(2026, 3, 4, 5, 6, 7, 890, time.UTC),
			Fields: map[string]any{"visits": -3.25, "phone": "+86 754 8888 6666", "vip": true, "born": time.Date(1990, 5, 6, 0, 0, 0, 0, time.UTC), "notes": "one\n=two", "quote": "''=x"}},
		{Email: "bo@example.com", Status: "unsubscribed", Fields: map[string]any{"notes": "＝wide", "phone": "'quoted'"}},
	}
	var out bytes.Buffer
	if err := WriteCSV(&out, slices.Values(list), []string{"born", "notes", "phone", "quote", "vip", "visits"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\n'=cmd@example.com,\"'@Ann, \"\"the\"\" first\"", ",'-gold,'=a;b,", ",'+weekly,", ",'+86 754", ",-3.25\n", ",'＝wide,'quoted'"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the export has no %q:\n%s", want, out.String())
		}
	}
	_, rows, err := ReadCSV(&out)
	if err != nil {
		t.Fatal(err)
	}
	var back []*Member
	for row := range rows {
		if row.Err != nil {
			t.Fatal(row.Err)
		}
		m, _, err := Merge(nil, nil, row.Columns)
		if err != nil {
			t.Fatal(err)
		}
		back = append(back, &m)
	}
	if diff := cmp.Diff(list, back); diff != "" {
		t.Error(diff)
	}
}

func FuzzReadCSV(f *testing.F) {
	for _, seed := range []string{
		"email,name\na@x.example,Ann\n", "\ufeffemail\n", "email;x\n\"a;b\";\"\"\"\n", "email,name\na,\"b\nc\n", "email\n\xc0\xee\n", "\xff\xfee\x00m\x00a\x00i\x00l\x00\n\x00", "email\r\r\n\"\"\"\"\n,",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		header, rows, err := ReadCSV(bytes.NewReader(data))
		if err != nil {
			return
		}
		last := 0
		for row := range rows {
			if row.Line <= last {
				t.Fatalf("line %d follows line %d", row.Line, last)
			}
			last = row.Line
			if row.Err == nil && len(row.Columns) > len(header) {
				t.Fatalf("%d columns under a header of %d", len(row.Columns), len(header))
			}
			if row.Err == nil {
				checkRoundTrip(t, row.Columns)
			}
		}
	})
}

// checkRoundTrip: what an import made of a row comes out of an export and goes in again unchanged.
func checkRoundTrip(t *testing.T, columns map[string]string) {
	m, _, err := Merge(nil, nil, columns)
	if err != nil {
		return
	}
	var fields []string
	for name := range m.Fields {
		fields = append(fields, name)
	}
	slices.Sort(fields)
	var out bytes.Buffer
	if err := WriteCSV(&out, slices.Values([]*Member{&m}), fields); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	_, rows, err := ReadCSV(&out)
	if err != nil {
		t.Fatalf("export %q: %v", text, err)
	}
	for row := range rows {
		if row.Err != nil {
			t.Fatalf("export %q: %v", text, row.Err)
		}
		if _, changed, err := Merge(&m, nil, row.Columns); err != nil || changed != nil {
			t.Fatalf("export %q: changed %v, %v", text, changed, err)
		}
	}
}

func sample(rows int) []byte {
	var b bytes.Buffer
	b.WriteString("email,name,language,time_zone,tier,topics,format,acknowledgements,status,joined,visits,birthday,notes\n")
	for i := range rows {
		fmt.Fprintf(&b, "member%d@example.com,李伟 %d,zh,Asia/Shanghai,gold,news;architecture,html,full,active,2026-01-02,%d,1990-05-06,\"likes, old \"\"maps\"\"\"\n", i, i, i%50)
	}
	return b.Bytes()
}

func BenchmarkReadCSV(b *testing.B) {
	const n = 20_000
	data := sample(n)
	for b.Loop() {
		_, rows, err := ReadCSV(bytes.NewReader(data))
		if err != nil {
			b.Fatal(err)
		}
		for row := range rows {
			if row.Err != nil {
				b.Fatal(row.Err)
			}
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkReadAndMerge(b *testing.B) {
	const n = 20_000
	data := sample(n)
	for b.Loop() {
		_, rows, err := ReadCSV(bytes.NewReader(data))
		if err != nil {
			b.Fatal(err)
		}
		for row := range rows {
			if _, _, err := Merge(nil, nil, row.Columns); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "rows/s")
}

func TestAFewNamesInGB18030AreRecognised(t *testing.T) {
	// By chance some of these bytes are UTF-8 too.
	for _, names := range [][]string{{"吴静", "郑爽"}, {"李伟"}, {"王芳", "Zoë"}} {
		text := "email;name\n"
		for i, name := range names {
			text += fmt.Sprintf("p%d@example.com;%s\n", i, name)
		}
		for _, encode := range []func(string) (string, error){simplifiedchinese.GB18030.NewEncoder().String, func(s string) (string, error) { return s, nil }} {
			file, err := encode(text)
			if err != nil {
				t.Fatal(err)
			}
			_, rows, err := ReadCSV(strings.NewReader(file))
			if err != nil {
				t.Fatal(err)
			}
			i := 0
			for row := range rows {
				if row.Err != nil || row.Columns["name"] != names[i] {
					t.Errorf("%q: got %q, %v", file, row.Columns["name"], row.Err)
				}
				i++
			}
		}
	}
}
