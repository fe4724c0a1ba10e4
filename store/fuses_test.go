package store

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/returnpost/returnpost/outbox"
	"pgregory.net/rapid"
)

// TestWindowNeverLetsMoreThrough: whatever the pauses, at most N claims fall within any Per, and after a quiet Per and a
// twelfth all N are free again.
func TestWindowNeverLetsMoreThrough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const per, width, most = 1200, 100, 3
		var w window
		now := rapid.Int64Range(0, 1e13).Draw(t, "start")
		var claimed []int64
		for range rapid.IntRange(1, 60).Draw(t, "claims") {
			now += rapid.Int64Range(0, 700).Draw(t, "pause")
			w.advance(now / width)
			if w.sum() >= most {
				continue
			}
			w.counts[slots]++
			claimed = append(claimed, now)
			if n := len(claimed); n > most && now-claimed[n-1-most] <= per {
				t.Fatalf("%d claims within %d: %v", most+1, now-claimed[n-1-most], claimed)
			}
		}
		if w.advance((now + per + width) / width); w.sum() != 0 {
			t.Fatalf("%d still count", w.sum())
		}
	})
}

// TestClockJumpingBack: nothing claimed is forgotten when the clock jumps back, and nothing counts for longer than Per
// from then on, however far in the future the clock had been.
func TestClockJumpingBack(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		uid := uint32(0)
		send := func() string {
			uid++
			a := l.letter(uid, "li@example.com", fmt.Sprint("Question ", uid))
			a.Fuses = []Fuse{{"sender:li@example.com", 2, 24 * time.Hour, "limit-sender"}}
			return reasons(l.acknowledge(a))[0]
		}
		steps := []struct {
			turn time.Duration
			want string
		}{
			{0, "new-thread+"},
			{20 * 365 * 24 * time.Hour, "new-thread+"}, // the clock was set wrong
			{time.Hour, "new-thread+"},
			{-20 * 365 * 24 * time.Hour, "limit-sender"}, // and is right again
			{-time.Hour, "limit-sender"},
			{26 * time.Hour, "new-thread+"},
		}
		for i, s := range steps {
			l.clock.turn(s.turn)
			if got := send(); got != s.want {
				t.Errorf("step %d: %s instead of %s", i, got, s.want)
			}
		}
	})
}

func TestFuses(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		uid := uint32(0)
		send := func(from string) string {
			uid++
			a := l.letter(uid, from, fmt.Sprint("Question ", uid))
			a.Fuses = []Fuse{{"sender:" + from, 2, time.Hour, "limit-sender"}, {"total", 3, 24 * time.Hour, "limit-total"}}
			return reasons(l.acknowledge(a))[0]
		}
		var got []string
		for _, from := range []string{"a@x", "a@x", "a@x", "a@x", "b@x", "b@x", "a@x"} {
			got = append(got, send(from))
		}
		// A blown fuse claims nothing of the others: the first two of a@x leave one of the total, which b@x takes.
		want := []string{"new-thread+", "new-thread+", "limit-sender", "limit-sender", "new-thread+", "limit-total", "limit-sender"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		// Silenced by a fuse, a person still waits, untold until their next letter in the thread, which opens nothing more.
		silenced := l.letter(3, "a@x", "Question 3")
		silenced.UID, silenced.Hash, silenced.MessageID, silenced.Refs = 99, content("99"), "<99>", []string{silenced.MessageID}
		if got := reasons(l.acknowledge(silenced))[0]; got != "new-thread+" {
			t.Error(got)
		}
		promises := all(t, l.Promises(t.Context(), PromiseFilter{}))
		told := ""
		for _, p := range promises {
			told += map[bool]string{true: "+", false: "-"}[p.Told]
		}
		if told != "+++-+--" {
			t.Error(told)
		}
		if r, _ := l.ArrivalByID(t.Context(), promises[2].Arrival); !strings.Contains(r.Evidence, "2 in 1h0m0s") {
			t.Errorf("%+v", r)
		}
		// The sender's hour is over; the total's day is not.
		l.clock.turn(65 * time.Minute)
		if got := send("a@x"); got != "limit-total" {
			t.Error(got)
		}
		l.clock.turn(25 * time.Hour)
		if got := send("a@x"); got != "new-thread+" {
			t.Error(got)
		}
		if n := l.count("SELECT count(*) FROM fuses"); n != 2 { // b@x's is forgotten
			t.Errorf("%d fuses are kept", n)
		}
	})
}

func TestRobotFuse(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		uid := uint32(0)
		// exchange is a new letter, its acknowledgement sent, and an answer to that after a while.
		exchange := func(from string, after time.Duration, kind string) (letter, answer Verdict) {
			t.Helper()
			uid += 2
			a := l.letter(uid, from, fmt.Sprint("Ticket ", uid))
			letter = l.acknowledge(a)[0]
			if claimed, _ := l.settle(1); len(claimed) == 1 {
				l.settle(0, l.outcome(claimed[0], outbox.Sent))
			}
			l.clock.turn(after)
			b := l.letter(uid+1, from, fmt.Sprint("Thank you for your mail ", uid))
			b.Refs, b.Kind = []string{a.Ack.MessageID}, kind
			return letter, l.acknowledge(b)[0]
		}
		muted := func(from string) string {
			h, err := l.Histories(t.Context(), []Query{{Mailbox: "support", From: from}})
			if err != nil {
				t.Fatal(err)
			}
			return h[0].Muted
		}
		for range 3 {
			exchange("person@x", 3*time.Minute, "person")     // slow
			exchange("vacation@x", time.Second, "auto-reply") // a person's notice
			exchange("hasty@x", time.Second, "person")        // once a day is human
			l.clock.turn(24 * time.Hour)
		}
		if _, v := exchange("robot@x", time.Minute, "person"); v.Muted || v.Reason != "follow-up" {
			t.Errorf("%+v", v)
		}
		l.clock.turn(23 * time.Hour)
		if _, v := exchange("robot@x", time.Minute, "person"); !v.Muted || v.Reason != "follow-up" {
			t.Errorf("%+v", v)
		}
		if letter, _ := exchange("Robot@x", time.Minute, "person"); letter.Reason != "robot-fuse" || letter.Acknowledged {
			t.Errorf("%+v", letter)
		}
		for from, want := range map[string]bool{"robot@x": true, "person@x": false, "vacation@x": false, "hasty@x": false} {
			if got := muted(from); (got != "") != want {
				t.Errorf("%s: muted %q", from, got)
			}
		}
		if err := l.Unmute(t.Context(), "robot@x"); err != nil || muted("robot@x") != "" {
			t.Error(err, muted("robot@x"))
		}
		if err := l.Unmute(t.Context(), "robot@x"); err == nil {
			t.Error("unmuted twice")
		}
	})
}

// TestRobotAnswersBeforeTheOutcome: an answer may be there before the outcome of the sending is recorded.
func TestRobotAnswersBeforeTheOutcome(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "ledger.db"))
	l.box("support")
	for i := range uint32(2) {
		a := l.letter(10*i+1, "robot@x", fmt.Sprint("Ticket ", i))
		l.acknowledge(a)
		l.settle(1)
		b := l.letter(10*i+2, "robot@x", fmt.Sprint("Thanks ", i))
		b.Refs = []string{a.Ack.MessageID}
		if v := l.acknowledge(b)[0]; v.Muted != (i == 1) {
			t.Errorf("%d: %+v", i, v)
		}
	}
}

// TestRobotNoticedLate: the mailbox is polled seldom, but the server says when the answer came. A server whose clock runs
// behind ours proves nothing.
func TestRobotNoticedLate(t *testing.T) {
	for name, c := range map[string]struct {
		came time.Duration // by the server's clock, after the sending
		want bool
	}{"fast": {30 * time.Second, true}, "slow": {3 * time.Minute, false}, "clock behind": {-time.Minute, false}} {
		t.Run(name, func(t *testing.T) {
			l := open(t, filepath.Join(t.TempDir(), "ledger.db"))
			l.box("support")
			muted := false
			for i := range uint32(2) {
				a := l.letter(10*i+1, "robot@x", fmt.Sprint("Ticket ", i))
				l.acknowledge(a)
				claimed, _ := l.settle(1)
				l.settle(0, l.outcome(claimed[0], outbox.Sent))
				sent := l.clock.now()
				l.clock.turn(5 * time.Minute)
				b := l.letter(10*i+2, "robot@x", fmt.Sprint("Thanks ", i))
				b.Refs, b.Internal = []string{a.Ack.MessageID}, sent.Add(c.came)
				muted = l.acknowledge(b)[0].Muted
			}
			if muted != c.want {
				t.Error("muted:", muted)
			}
		})
	}
}
