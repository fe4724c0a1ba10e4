package store

import (
	"testing"
	"time"
)

// TestTheLedgersOwnReasonsHaveTheirRules: where the ledger says no by itself, the rule is that reason's.
func TestTheLedgersOwnReasonsHaveTheirRules(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		letter := func(uid uint32, from string) Arrival {
			a := l.letter(uid, from, "A")
			a.Rule, a.RuleOf = "rule of the decision", func(reason string) string { return "rule of " + reason }
			a.Fuses = []Fuse{{"total", 1, time.Hour, "limit-total"}}
			return a
		}
		plain := letter(4, "c@x.example")
		plain.RuleOf = nil
		verdicts := l.acknowledge(letter(1, "a@x.example"), letter(2, "a@x.example"), letter(3, "b@x.example"), plain)
		for i, want := range []string{"rule of the decision", "rule of follow-up", "rule of limit-total", ""} {
			if got, err := l.ArrivalByID(t.Context(), verdicts[i].Arrival); err != nil || got.Rule != want {
				t.Errorf("%s: %q %v", got.Reason, got.Rule, err)
			}
		}
	})
}
