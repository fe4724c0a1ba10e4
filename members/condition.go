package members

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"
)

// What a condition may cost. Without loops in loops, ranges and variables its work is bounded by its size.
const (
	maxSource = 16 << 10 // bytes
	maxNodes  = 2000
	maxMemory = 10_000 // elements of lists made while it runs
)

// Fields are the further member fields a condition may name, with their types: string, number, boolean or date.
type Fields map[string]string

// FieldTypes are the types of Fields.
var FieldTypes = []string{"string", "number", "boolean", "date"}

// A Condition is a compiled expression over a member that is true or false. It is safe for concurrent use.
type Condition struct {
	source   string
	program  *vm.Program
	uses     []use          // of member, in the order of first use
	extra    map[string]any // samples of the further names it uses: they stand in for what Match is not given
	parts    map[string][]string
	follows  bool
	now      bool
	followed []Mention
}

// A Mention is a topic that a condition asks for, and where.
type Mention struct {
	Topic        string
	Line, Column int
}

// use is one member.name of the source.
type use struct {
	name  string
	value func(m *Member, now time.Time) any
}

// known are the names under member that every condition may use.
var known = map[string]struct {
	typ   types.Type
	value func(m *Member, now time.Time) any
}{
	"email":            {types.String, func(m *Member, _ time.Time) any { return m.Email }},
	"name":             {types.String, func(m *Member, _ time.Time) any { return m.Name }},
	"language":         {types.String, func(m *Member, _ time.Time) any { return m.Language }},
	"time_zone":        {types.String, func(m *Member, _ time.Time) any { return m.TimeZone }},
	"tier":             {types.String, func(m *Member, _ time.Time) any { return m.Tier }},
	"topics":           {types.TypeOf([]string{}), func(m *Member, _ time.Time) any { return m.Topics }},
	"format":           {types.String, func(m *Member, _ time.Time) any { return m.Format }},
	"acknowledgements": {types.String, func(m *Member, _ time.Time) any { return m.Acknowledgements }},
	"cadence":          {types.String, func(m *Member, _ time.Time) any { return m.Cadence }},
	"status":           {types.String, func(m *Member, _ time.Time) any { return m.Status }},
	"joined":           {dateType, func(m *Member, _ time.Time) any { return m.Joined }},
	"orders":           {types.Int, func(m *Member, _ time.Time) any { return int(fieldValue(m, "orders", "number").(float64)) }},
	"spent":            {types.Float64, func(m *Member, _ time.Time) any { return fieldValue(m, "spent", "number") }},
	"last_order":       {dateType, func(m *Member, _ time.Time) any { return fieldValue(m, "last_order", "date") }},
	"days_since_order": {types.Float64, func(m *Member, now time.Time) any {
		return daysSince(fieldValue(m, "last_order", "date").(time.Time), now)
	}},
	"days_since_joined": {types.Float64, func(m *Member, now time.Time) any { return daysSince(m.Joined, now) }},
}

// standardFields are fields with a name and a type of their own, which no declaration changes.
var standardFields = Fields{"orders": "number", "spent": "number", "last_order": "date"}

var dateType = types.TypeOf(time.Time{})

var kinds = map[string]types.Type{"string": types.String, "number": types.Float64, "boolean": types.Bool, "date": dateType}

// daysSince counts whole days. A time that is not known, or still to come, is no number: every comparison with it is false, so that
// "no order for 90 days" and "an order in the last 90 days" both leave out who never ordered.
func daysSince(t, now time.Time) float64 {
	if t.IsZero() || t.After(now) {
		return math.NaN()
	}
	return math.Floor(now.Sub(t).Hours() / 24)
}

// Compile checks a condition and makes it ready to be asked. fields are the further names under member. extra declares
// names beside member by a sample: a string, a number, a bool, a time.Time, or a map[string]any of these; "now" with a
// time.Time declares the function now(). The error is a *ConditionError.
func Compile(src string, fields Fields, extra map[string]any) (c *Condition, err error) {
	switch {
	case strings.TrimSpace(src) == "":
		return nil, &ConditionError{Line: 1, Column: 1, Message: "the condition is empty"}
	case len(src) > maxSource:
		return nil, &ConditionError{Line: 1, Column: 1, Message: fmt.Sprintf("the condition is longer than %d KiB", maxSource>>10)}
	case !utf8.ValidString(src):
		return nil, &ConditionError{Line: 1, Column: 1, Message: "the condition is not valid UTF-8"}
	}
	// The compiler is a stranger's: whatever it stumbles over is a mistake in the condition, not the end of the program.
	defer func() {
		if r := recover(); r != nil {
			c, err = nil, &ConditionError{Line: 1, Column: 1, Message: fmt.Sprintf("cannot be understood: %v", r), Near: near(src, 0)}
		}
	}()
	scope := newScope(src, fields, extra)
	options := []expr.Option{expr.Env(scope.env), expr.AsBool(), expr.WarnOnAny(), expr.MaxNodes(maxNodes), expr.DisableIfOperator(), expr.Patch(scope), expr.DisableAllBuiltins()}
	for _, name := range builtins {
		options = append(options, expr.EnableBuiltin(name))
	}
	program, err := expr.Compile(src, options...)
	scope.refuseBare()
	if scope.refused != nil {
		return nil, scope.refused
	}
	if err != nil {
		return nil, scope.explain(err)
	}
	return scope.condition(program), nil
}

// builtins are the functions of the language that a condition may use: bounded work, no input or output, no clock.
var builtins = []string{
	"all", "any", "none", "one", "count", "len", "lower", "upper", "trim", "hasPrefix", "hasSuffix",
	"abs", "ceil", "floor", "round", "int", "float", "min", "max", "date", "duration",
}

// machines are reused: a fresh one costs more than most conditions.
var machines = sync.Pool{New: func() any { return &vm.VM{MemoryBudget: maxMemory} }}

// Match asks the condition of a member; nil is an unknown person, of whom every value is zero. extra gives the values of
// the names declared to Compile; what is missing has its sample's value. The instant it is asked for is extra["now"], a
// time.Time; without one it is the present.
func (c *Condition) Match(m *Member, extra map[string]any) (bool, error) {
	now, given := extra["now"].(time.Time)
	if !given {
		now = time.Now()
	}
	if m == nil {
		m = &Member{}
	}
	env := make(map[string]any, 2+len(c.extra))
	if len(c.uses) > 0 {
		values := make(map[string]any, len(c.uses))
		for _, u := range c.uses {
			values[u.name] = u.value(m, now)
		}
		env["member"] = values
	}
	if c.follows {
		env["follows"] = m.Follows
	}
	if c.now {
		env["now"] = func() time.Time { return now }
	}
	for name, sample := range c.extra {
		env[name] = fill(sample, extra[name], c.parts[name])
	}
	machine := machines.Get().(*vm.VM)
	result, err := machine.Run(c.program, env)
	machines.Put(machine)
	if err != nil {
		return false, fmt.Errorf("condition %q: %w", clip(c.source), err)
	}
	yes, ok := result.(bool)
	if !ok {
		return false, fmt.Errorf("condition %q: the result is neither true nor false", clip(c.source))
	}
	return yes, nil
}

// String is the source.
func (c *Condition) String() string { return c.source }

// Followed lists the topics the condition asks for, so that they can be held against those there are.
func (c *Condition) Followed() []Mention { return c.followed }

// fill gives what was declared where nothing, or something of another type, was given.
func fill(sample, given any, parts []string) any {
	declared, isMap := sample.(map[string]any)
	if !isMap {
		if given == nil || reflect.TypeOf(given) != reflect.TypeOf(sample) {
			return sample
		}
		return given
	}
	values, _ := given.(map[string]any)
	for i, part := range parts {
		if reflect.TypeOf(values[part]) == reflect.TypeOf(declared[part]) {
			continue
		}
		whole := maps.Clone(declared)
		for _, part := range parts[:i] {
			whole[part] = values[part]
		}
		for _, part := range parts[i:] {
			whole[part] = fill(declared[part], values[part], nil)
		}
		return whole
	}
	return values
}

// fieldValue is a field as the type it was declared with, its zero value if it is unknown or cannot be read as that.
func fieldValue(m *Member, name, kind string) any {
	value, _ := convert(kind, m.Fields[name])
	return value
}

// convert reads a value as a type. The value is of that type even when it cannot be.
func convert(kind string, value any) (any, bool) {
	switch kind {
	case "number":
		switch v := value.(type) {
		case float64:
			return v, true
		case string:
			n, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
				return 0.0, false
			}
			return n, true
		}
		return 0.0, false
	case "boolean":
		switch v := value.(type) {
		case bool:
			return v, true
		case float64:
			return v == 1, v == 0 || v == 1
		case string:
			yes := slices.Contains([]string{"true", "yes", "y", "是"}, strings.ToLower(v))
			return yes, yes || slices.Contains([]string{"false", "no", "n", "否"}, strings.ToLower(v))
		}
		return false, false
	case "date":
		switch v := value.(type) {
		case time.Time:
			return v, true
		case string:
			return parseTime(v)
		}
		return time.Time{}, false
	}
	return formatField(value), value != nil
}

// equalsChoice are the words a column can hold; comparing it with another is a mistake that would never be noticed.
var equalsChoice = map[string][]string{"status": statuses, "format": formats, "acknowledgements": acknowledgements}

// memberName is the x of member.x or member["x"].
func memberName(node ast.Node) (name string, ok bool) {
	member, ok := node.(*ast.MemberNode)
	if !ok {
		return "", false
	}
	base, ok := member.Node.(*ast.IdentifierNode)
	if !ok || base.Value != "member" {
		return "", false
	}
	property, ok := member.Property.(*ast.StringNode)
	if !ok {
		return "", false
	}
	return property.Value, true
}
