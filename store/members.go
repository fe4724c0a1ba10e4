package store

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/returnpost/returnpost/members"
)

// held is a member as the list holds it.
type held struct {
	i      int // which of a batch was asked for
	member members.Member
	own    map[string]bool // the columns that the member set themself
}

const memberColumns = `m.id, m.email, m.name, m.language, m.time_zone, m.tier, m.topics, m.format, m.acknowledgements, m.cadence, m.preferred_hour,
	m.pause_until, m.status, m.joined, m.fields, m.own`

func scanHeld(s scanner, h *held) error {
	m := &h.member
	var pause, joined moment
	var topics, fields, own string
	err := s.Scan(&h.i, &m.ID, &m.Email, &m.Name, &m.Language, &m.TimeZone, &m.Tier, &topics, &m.Format, &m.Acknowledgements, &m.Cadence, &m.PreferredHour,
		&pause, &m.Status, &joined, &fields, &own)
	if err != nil {
		return err
	}
	m.PauseUntil, m.Joined = pause.Time, joined.Time
	if topics != "" {
		m.Topics = strings.Split(topics, ";")
	}
	if own != "" {
		h.own = map[string]bool{}
		for column := range strings.SplitSeq(own, ";") {
			h.own[column] = true
		}
	}
	m.Fields, err = readFields(fields)
	return err
}

// readFields reads a member's further fields: JSON as is, but for times, which are {"time": "…"}.
func readFields(text string) (map[string]any, error) {
	if text == "{}" {
		return nil, nil
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		return nil, fmt.Errorf("the fields of a member: %w", err)
	}
	for name, value := range fields {
		boxed, ok := value.(map[string]any)
		if !ok {
			continue
		}
		word, _ := boxed["time"].(string)
		at, err := time.Parse(time.RFC3339Nano, word)
		if err != nil {
			return nil, fmt.Errorf("the field %q of a member: %w", name, err)
		}
		fields[name] = at
	}
	return fields, nil
}

func writeFields(fields map[string]any) (string, error) {
	out := make(map[string]any, len(fields))
	for name, value := range fields {
		switch v := value.(type) {
		case time.Time:
			value = map[string]string{"time": v.UTC().Format(time.RFC3339Nano)}
		case string:
			value = clean(v, len(v))
		}
		out[clean(name, maxText)] = value
	}
	text, err := json.Marshal(out)
	return string(text), err
}

// findMember looks up addresses given as rows of index and address key.
const findMember = `SELECT x.i, ` + memberColumns + `
	FROM {{set $1 i:bigint address:text}} x CROSS JOIN members m WHERE m.address = x.address`

// hold looks members up to change them.
func (t *tx) hold(wanted [][]any) ([]held, error) {
	return rows(t.ctx, t, scanHeld, findMember+` {{lock m}}`, set(wanted))
}

// Member is the member of an address, nil if there is none.
func (db *DB) Member(ctx context.Context, address string) (*members.Member, error) {
	found, err := rows(ctx, db, scanHeld, findMember, set([][]any{{0, addressKey(address)}}))
	if err != nil {
		return nil, fmt.Errorf("store: look up the member %q: %w", address, sentence(err))
	}
	if len(found) == 0 {
		return nil, nil
	}
	return &found[0].member, nil
}

// SetMember changes the member of an address, or adds one: change gets what is held, or a member with only the address,
// and may run more than once. own names the columns that are the member's own choice from now on, against any file.
func (db *DB) SetMember(ctx context.Context, address string, own []string, change func(*members.Member) error) (added bool, err error) {
	err = db.write(ctx, "change the member "+address, func(t *tx) error {
		found, err := t.hold([][]any{{0, addressKey(address)}})
		if err != nil {
			return err
		}
		var h held
		if added = len(found) == 0; added {
			h.member.Email, err = members.NormalAddress(address)
		} else {
			h = found[0]
		}
		if err != nil {
			return &Refusal{err.Error()}
		}
		if err := change(&h.member); err != nil {
			return &Refusal{err.Error()}
		}
		if addressKey(h.member.Email) != addressKey(address) {
			return refuse("the address of the member %s cannot be changed to %s: add the new address instead", address, h.member.Email)
		}
		if h.own == nil {
			h.own = map[string]bool{}
		}
		for _, column := range own {
			h.own[column] = true
		}
		return t.keepMember(&h, added)
	})
	return added, err
}

func (t *tx) keepMember(h *held, added bool) error {
	m := &h.member
	fields, err := writeFields(m.Fields)
	if err != nil {
		return fmt.Errorf("the fields of the member %s: %w", m.Email, err)
	}
	var hour any
	if m.PreferredHour != nil {
		hour = *m.PreferredHour
	}
	values := []any{addressKey(m.Email), clean(m.Email, maxText), clean(m.Name, maxLine), clean(m.Language, maxText), clean(m.TimeZone, maxText), clean(m.Tier, maxText),
		clean(strings.Join(m.Topics, ";"), maxLine*10), clean(m.Format, maxText), clean(m.Acknowledgements, maxText), clean(m.Cadence, maxText), hour,
		stamp(m.PauseUntil), clean(m.Status, maxText), stamp(m.Joined), fields, strings.Join(slices.Sorted(maps.Keys(h.own)), ";"), t.now}
	if added {
		_, err = t.exec(`INSERT INTO members (address, email, name, language, time_zone, tier, topics, format, acknowledgements, cadence, preferred_hour,
				pause_until, status, joined, fields, own, changed)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`, values...)
		return err
	}
	_, err = t.exec(`UPDATE members SET email = $2, name = $3, language = $4, time_zone = $5, tier = $6, topics = $7, format = $8, acknowledgements = $9,
			cadence = $10, preferred_hour = $11, pause_until = $12, status = $13, joined = $14, fields = $15, own = $16, changed = $17
		WHERE address = $1`, values...)
	return err
}

// Imported counts the rows of an import; every row read is one of the other four.
type Imported struct {
	Read, Added, Updated, Unchanged, Rejected int
}

// Import says what an import tells while it goes on. Both may be nil.
type Import struct {
	Rejected func(members.Row) // a bad row, with its mistake in Err
	Progress func(Imported)    // after each batch
}

// importBatch is how many rows are one transaction: a daemon beside the import waits no longer than for one.
const importBatch = 500

// ImportMembers brings the rows of a file into the list, as members.Merge says: nobody who left comes back, and a member's
// own choice wins. Rows that change nothing write nothing. After an error what was counted is in the list; the same file
// may be imported again.
func (db *DB) ImportMembers(ctx context.Context, file iter.Seq[members.Row], on Import) (sum Imported, err error) {
	batch := make([]members.Row, 0, importBatch)
	flush := func() error {
		count, rejected, err := db.importRows(ctx, batch)
		if err != nil {
			return err
		}
		sum.Read, sum.Added, sum.Updated = sum.Read+count.Read, sum.Added+count.Added, sum.Updated+count.Updated
		sum.Unchanged, sum.Rejected = sum.Unchanged+count.Unchanged, sum.Rejected+count.Rejected
		for _, row := range rejected {
			if on.Rejected != nil {
				on.Rejected(row)
			}
		}
		if on.Progress != nil {
			on.Progress(sum)
		}
		batch = batch[:0]
		return nil
	}
	for row := range file {
		if batch = append(batch, row); len(batch) == importBatch {
			if err := flush(); err != nil {
				return sum, err
			}
		}
	}
	if len(batch) > 0 {
		err = flush()
	}
	return sum, err
}

// importRows is one batch, in one transaction.
func (db *DB) importRows(ctx context.Context, batch []members.Row) (count Imported, rejected []members.Row, err error) {
	wanted := make([][]any, len(batch))
	for i := range batch {
		wanted[i] = []any{i, addressKey(batch[i].Columns["email"])}
	}
	err = db.write(ctx, fmt.Sprintf("import %d members", len(batch)), func(t *tx) error {
		count, rejected = Imported{Read: len(batch)}, nil
		found, err := t.hold(wanted)
		if err != nil {
			return err
		}
		known := make(map[string]*held, len(found))
		for i := range found {
			known[addressKey(found[i].member.Email)] = &found[i]
		}
		for _, row := range batch {
			if row.Err == nil {
				if row.Err, err = t.importRow(row.Columns, known, &count); err != nil {
					return err
				}
			}
			if row.Err != nil {
				rejected = append(rejected, row)
			}
		}
		count.Rejected = len(rejected)
		return nil
	})
	return count, rejected, err
}

// importRow merges one row into what is known of the batch's members. mistake is the row's, err the database's.
func (t *tx) importRow(row map[string]string, known map[string]*held, count *Imported) (mistake, err error) {
	key := addressKey(row["email"])
	before := known[key]
	if before == nil {
		m, _, mistake := members.Merge(nil, nil, row)
		if mistake != nil {
			return mistake, nil
		}
		after := &held{member: m}
		count.Added, known[addressKey(m.Email)] = count.Added+1, after
		return nil, t.keepMember(after, true)
	}
	m, changed, mistake := members.Merge(&before.member, before.own, row)
	if mistake != nil {
		return mistake, nil
	}
	if len(changed) == 0 {
		count.Unchanged++
		return nil, nil
	}
	before.member = m
	count.Updated++
	return nil, t.keepMember(before, false)
}

// ExportMembers goes through the members in the order they came.
func (db *DB) ExportMembers(ctx context.Context) iter.Seq2[*members.Member, error] {
	return func(yield func(*members.Member, error) bool) {
		for h, err := range pages(func(last *held) ([]held, error) {
			var w where
			if last != nil {
				w.and("m.id > %s", last.member.ID)
			}
			return rows(ctx, db, scanHeld, `SELECT 0, `+memberColumns+` FROM members m `+w.text+` ORDER BY m.id LIMIT `+strconv.Itoa(pageSize), w.args...)
		}) {
			if !yield(&h.member, err) {
				return
			}
		}
	}
}

// MemberCount is how many members are on the list, whatever their status.
func (db *DB) MemberCount(ctx context.Context) (n int, err error) {
	counts, err := rows(ctx, db, func(s scanner, n *int) error { return s.Scan(n) }, `SELECT count(*) FROM members`)
	if err != nil {
		return 0, fmt.Errorf("store: count the members: %w", sentence(err))
	}
	return counts[0], nil
}
