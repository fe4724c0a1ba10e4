package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/returnpost/returnpost/config"
	"github.com/returnpost/returnpost/members"
	"github.com/returnpost/returnpost/store"
)

func (a *app) membersCommand() *cobra.Command {
	imp := &cobra.Command{
		Use: "import FILE.csv", Short: "Bring a file into the list; bad rows go to FILE.rejected.csv, the rest goes in", Args: cobra.ExactArgs(1),
		RunE: a.withNewDatabase(func(ctx context.Context, cfg *config.Config, db *store.DB, args []string) error {
			return a.importFile(ctx, cfg, db, args[0])
		}),
	}
	export := &cobra.Command{
		Use: "export", Short: "Write the list as CSV, as an import reads it", Args: cobra.NoArgs,
		RunE: a.listing(func(ctx context.Context, _ *config.Config, db *store.DB, _ []string) error {
			return a.exportMembers(ctx, db)
		}),
	}
	show := &cobra.Command{
		Use: "show ADDRESS", Short: "Everything held on a member", Args: cobra.ExactArgs(1),
		RunE: a.withDatabase(func(ctx context.Context, _ *config.Config, db *store.DB, args []string) error {
			return a.showMember(ctx, db, args[0])
		}),
	}
	set := &cobra.Command{
		Use: "set ADDRESS COLUMN=VALUE…", Short: "Change a member by hand: language=zh acknowledgements=brief …", Args: cobra.MinimumNArgs(2),
		RunE: a.withDatabase(func(ctx context.Context, cfg *config.Config, db *store.DB, args []string) error {
			return a.setMember(ctx, cfg, db, args[0], args[1:])
		}),
	}
	return group("members", "The member list", imp, export, show, set)
}

// importOptions are how an import tells of itself.
type importOptions struct {
	header   func(names []string) // the file's columns
	rejected func(members.Row)
	progress func(store.Imported)
}

// importMembers brings a CSV into the list.
func importMembers(ctx context.Context, db *store.DB, r io.Reader, opts importOptions) (store.Imported, error) {
	header, rows, err := members.ReadCSV(r)
	if err != nil {
		return store.Imported{}, err
	}
	if len(header) > 2 && slices.Equal(header[:2], rejectColumns) {
		header, rows = header[2:], withoutReasons(rows)
	}
	if opts.header != nil {
		opts.header(header)
	}
	return db.ImportMembers(ctx, rows, store.Import{Rejected: opts.rejected, Progress: opts.progress})
}

// rejectColumns stand before the file's own in FILE.rejected.csv, so that it can
// be mended and imported as it is.
var rejectColumns = []string{"line", "reason"}

func withoutReasons(rows iter.Seq[members.Row]) iter.Seq[members.Row] {
	return func(yield func(members.Row) bool) {
		for row := range rows {
			for _, c := range rejectColumns {
				delete(row.Columns, c)
			}
			if len(row.Raw) >= len(rejectColumns) {
				row.Raw = row.Raw[len(rejectColumns):]
			}
			if !yield(row) {
				return
			}
		}
	}
}

// slipOf says which column a name was probably meant to be that would otherwise
// become a field of its own.
func slipOf(name string, declared members.Fields) string {
	if _, ok := declared[name]; ok || name == "" || slices.Contains(members.Columns, name) {
		return ""
	}
	return members.Nearest(name, members.Columns)
}

func (a *app) importFile(ctx context.Context, cfg *config.Config, db *store.DB, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	size := int64(-1)
	if info, err := f.Stat(); err == nil {
		size = info.Size()
	}
	opts := importOptions{}
	var r io.Reader = f
	if a.onTerminal() {
		bar := progressbar.NewOptions64(size, progressbar.OptionSetWriter(a.err), progressbar.OptionShowBytes(true),
			progressbar.OptionSetDescription("importing"), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond))
		reader := progressbar.NewReader(f, bar)
		r = &reader
		opts.progress = func(s store.Imported) { bar.Describe(fmt.Sprintf("%d rows", s.Read)) }
	}
	rejects := rejectFile{app: a, name: strings.TrimSuffix(name, ".csv") + ".rejected.csv"}
	opts.rejected = rejects.add
	opts.header = func(names []string) {
		rejects.header = names
		for _, n := range names {
			if meant := slipOf(n, cfg.Fields); meant != "" {
				a.say("the column %q becomes a further field of that name; if %q is meant, rename it and import again", n, meant)
			}
		}
	}
	sum, err := importMembers(ctx, db, r, opts)
	if err := errors.Join(err, rejects.close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	report := struct {
		Read      int `json:"read"`
		Added     int `json:"added"`
		Updated   int `json:"updated"`
		Unchanged int `json:"unchanged"`
		Rejected  int `json:"rejected"`
	}(sum)
	return a.line(report, func() string {
		s := fmt.Sprintf("%d rows read: %d added, %d updated, %d unchanged, %d rejected", sum.Read, sum.Added, sum.Updated, sum.Unchanged, sum.Rejected)
		if sum.Rejected > 0 {
			s += "; the rejected rows are in " + rejects.name
		}
		return s
	})
}

// rejectFile gathers bad rows beside their reasons. It is made when the first one comes.
type rejectFile struct {
	app    *app
	name   string
	header []string
	f      *os.File
	w      *csv.Writer
	err    error
}

func (r *rejectFile) add(row members.Row) {
	r.app.say("line %d: %v", row.Line, row.Err)
	if r.err != nil {
		return
	}
	if r.f == nil {
		// The rows hold people's addresses.
		if r.f, r.err = os.OpenFile(r.name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600); r.err != nil {
			return
		}
		r.w = csv.NewWriter(r.f)
		r.err = r.w.Write(append(slices.Clone(rejectColumns), r.header...))
	}
	cells := []string{fmt.Sprint(row.Line), row.Err.Error()}
	for _, c := range row.Raw {
		cells = append(cells, members.Guard(c))
	}
	r.err = errors.Join(r.err, r.w.Write(cells))
}

func (r *rejectFile) close() error {
	if r.f == nil {
		return r.err
	}
	r.w.Flush()
	return errors.Join(r.err, r.w.Error(), r.f.Close())
}

func (a *app) exportMembers(ctx context.Context, db *store.DB) error {
	// The further fields' names stand in the header, so the list is read twice rather than held.
	names := map[string]bool{}
	for m, err := range db.ExportMembers(ctx) {
		if err != nil {
			return err
		}
		for name := range m.Fields {
			names[name] = true
		}
	}
	var failed error
	all := iter.Seq[*members.Member](func(yield func(*members.Member) bool) {
		for m, err := range db.ExportMembers(ctx) {
			if err != nil {
				failed = err
				return
			}
			if !yield(m) {
				return
			}
		}
	})
	if a.json {
		for m := range all {
			if err := a.line(memberJSON(m), nil); err != nil {
				return err
			}
		}
		return failed
	}
	return errors.Join(members.WriteCSV(a.out, all, slices.Sorted(maps.Keys(names))), failed)
}

// memberReport is the JSON of a member.
type memberReport struct {
	Email            string         `json:"email"`
	Name             string         `json:"name"`
	Status           string         `json:"status"`
	Language         string         `json:"language"`
	TimeZone         string         `json:"time_zone"`
	Tier             string         `json:"tier"`
	Topics           []string       `json:"topics"`
	Format           string         `json:"format"`
	Acknowledgements string         `json:"acknowledgements"`
	Cadence          string         `json:"cadence"`
	PreferredHour    *int           `json:"preferred_hour"`
	PauseUntil       *time.Time     `json:"pause_until"`
	Joined           *time.Time     `json:"joined"`
	Fields           map[string]any `json:"fields"`
	Suppressed       []string       `json:"suppressed,omitempty"`
	Preferences      string         `json:"preferences_url"` // "": the members' pages come with a later release
	Unsubscribe      string         `json:"unsubscribe_url"`
}

func memberJSON(m *members.Member) *memberReport {
	r := &memberReport{
		Email: m.Email, Name: m.Name, Status: m.Status, Language: m.Language, TimeZone: m.TimeZone, Tier: m.Tier,
		Topics: m.Topics, Format: m.Format, Acknowledgements: m.Acknowledgements, Cadence: m.Cadence, PreferredHour: m.PreferredHour,
		PauseUntil: moment(m.PauseUntil), Joined: moment(m.Joined), Fields: m.Fields,
	}
	if r.Topics == nil {
		r.Topics = []string{}
	}
	if r.Fields == nil {
		r.Fields = map[string]any{}
	}
	return r
}

// moment is a time as JSON has it: null for none.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func (a *app) showMember(ctx context.Context, db *store.DB, address string) error {
	m, err := db.Member(ctx, address)
	if err != nil {
		return err
	}
	if m == nil {
		return fmt.Errorf("%s is not on the member list", address)
	}
	r := memberJSON(m)
	held, err := db.Suppression(ctx, address)
	if err != nil {
		return err
	}
	for _, s := range held {
		r.Suppressed = append(r.Suppressed, s.Scope+": "+s.Reason)
	}
	return a.line(r, r.text)
}

func (r *memberReport) text() string {
	var b strings.Builder
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-17s %s\n", name, value)
		}
	}
	row("email", r.Email)
	row("name", r.Name)
	row("status", r.Status)
	row("language", r.Language)
	row("time zone", r.TimeZone)
	row("tier", r.Tier)
	row("topics", strings.Join(r.Topics, ", "))
	row("format", r.Format)
	row("acknowledgements", r.Acknowledgements)
	row("cadence", r.Cadence)
	if r.PreferredHour != nil {
		row("preferred hour", fmt.Sprint(*r.PreferredHour))
	}
	if r.PauseUntil != nil {
		row("paused until", r.PauseUntil.Format(time.DateOnly))
	}
	if r.Joined != nil {
		row("joined", r.Joined.Format(time.DateOnly))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Fields)) {
		value := r.Fields[name]
		switch v := value.(type) {
		case time.Time:
			value = v.Format(time.DateOnly)
		case float64:
			value = strconv.FormatFloat(v, 'f', -1, 64)
		}
		row(name, fmt.Sprint(value))
	}
	row("suppressed", strings.Join(r.Suppressed, "; "))
	return strings.TrimSuffix(b.String(), "\n")
}

func (a *app) setMember(ctx context.Context, cfg *config.Config, db *store.DB, address string, settings []string) error {
	columns := map[string]string{}
	for _, s := range settings {
		name, value, ok := strings.Cut(s, "=")
		if !ok {
			return usageError{fmt.Errorf("%q: write COLUMN=VALUE, for example language=zh", s)}
		}
		name = strings.TrimSpace(name)
		if meant := slipOf(name, cfg.Fields); meant != "" {
			return usageError{fmt.Errorf("there is no column %q; did you mean %s? (a field of your own by that name is declared under fields:)", name, meant)}
		}
		columns[name] = value
	}
	known, err := db.Member(ctx, address)
	if err != nil {
		return err
	}
	if known == nil {
		return fmt.Errorf("%s is not on the member list", address)
	}
	_, err = db.SetMember(ctx, address, nil, func(m *members.Member) error {
		for name, value := range columns {
			if err := m.Set(name, value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return a.showMember(ctx, db, address)
}
