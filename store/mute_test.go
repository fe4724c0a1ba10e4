package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/returnpost/returnpost/outbox"
)

// answerer lets senders write and answer their acknowledgements.
type answerer struct {
	*ledger
	uid uint32
}

// letter sends a new letter and, where it is acknowledged, an answer to that a second later.
func (r *answerer) letter(from string) (letter, answer Verdict, copied Arrival) {
	r.t.Helper()
	r.uid += 10
	a := r.ledger.letter(r.uid, from, fmt.Sprint("Ticket ", r.uid))
	letter = r.acknowledge(a)[0]
	if claimed, _ := r.settle(1); len(claimed) == 1 {
		r.settle(0, r.outcome(claimed[0], outbox.Sent))
	}
	r.clock.turn(time.Second)
	b := r.ledger.letter(r.uid+1, from, fmt.Sprint("Thanks ", r.uid))
	b.Refs = []string{a.Ack.MessageID}
	return letter, r.acknowledge(b)[0], b
}

// TestAnAnswerDeliveredTwiceIsOneStrike: a quick person whose provider delivers twice is no robot.
func TestAnAnswerDeliveredTwiceIsOneStrike(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		r := answerer{ledger: l}
		_, _, answer := r.letter("hasty@x")
		answer.UID++
		if v := l.acknowledge(answer)[0]; v.Muted || v.Reason != "follow-up" {
			t.Errorf("%+v", v)
		}
		if letter, _, _ := r.letter("hasty@x"); !letter.Acknowledged {
			t.Errorf("muted: %+v", letter)
		}
	})
}

// TestAMuteEnds after thirty days, counted from the last strike.
func TestAMuteEnds(t *testing.T) {
	onBoth(t, func(t *testing.T, l *ledger) {
		l.box("support")
		r := answerer{ledger: l}
		l.clock.turn(24 * time.Hour)
		early := l.letter(1, "robot@x", "Early") // its acknowledgement is answered when the sender is muted already
		l.acknowledge(early)
		late, _ := l.settle(1)
		r.letter("robot@x")
		if _, v, _ := r.letter("robot@x"); !v.Muted {
			t.Fatalf("not muted: %+v", v)
		}
		muted := func(want bool) {
			t.Helper()
			h, err := l.Histories(t.Context(), []Query{{Mailbox: "support", From: "robot@x"}})
			if err != nil || (h[0].Muted != "") != want {
				t.Errorf("muted %q: %v", h[0].Muted, err)
			}
			r.uid += 10
			a := l.letter(r.uid, "robot@x", fmt.Sprint("Question ", r.uid))
			if v := l.acknowledge(a)[0]; (v.Reason == "robot-fuse") != want {
				t.Errorf("%+v", v)
			}
		}
		l.clock.turn(30*24*time.Hour - time.Hour)
		muted(true)
		l.settle(0, l.outcome(late[0], outbox.Sent))
		answer := l.letter(2, "robot@x", "Thanks")
		answer.Refs = []string{early.Ack.MessageID}
		if v := l.acknowledge(answer)[0]; v.Muted {
			t.Error("muted a second time: the owner would be told again")
		}
		l.clock.turn(30*24*time.Hour - time.Hour)
		muted(true)
		l.clock.turn(time.Hour)
		muted(false)
		if err := l.Unmute(t.Context(), "robot@x"); err == nil {
			t.Error("unmuted although the mute has ended")
		}
		// From then on it is as it was at first: one strike is human, two within a day are not.
		l.settle(1)
		if _, v, _ := r.letter("robot@x"); v.Muted {
			t.Errorf("%+v", v)
		}
		if _, v, _ := r.letter("robot@x"); !v.Muted {
			t.Errorf("%+v", v)
		}
	})
}
