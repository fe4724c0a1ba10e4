package outbox

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// State is where a delivery stands. The numbers are stored: new states are added at the end.
type State int

// The states of a delivery. Queued and Deferred wait for an attempt, Sending has been claimed, Doubt was given to the
// server whole without an answer; the others are ends, the last three told by later events or by the clock.
const (
	Queued State = iota
	Sending
	Sent
	Deferred
	Failed
	Doubt
	Skipped
	Canceled
	Bounced
	Complained
	Expired
)

var stateWords = [...]string{"queued", "sending", "sent", "deferred", "failed", "doubt", "skipped", "canceled", "bounced", "complained", "expired"}

// String is the word that commands and reports use.
func (s State) String() string {
	if s < 0 || int(s) >= len(stateWords) {
		return fmt.Sprintf("state %d", int(s))
	}
	return stateWords[s]
}

// ParseState is the inverse of String.
func ParseState(word string) (State, error) {
	for i, w := range stateWords {
		if w == word {
			return State(i), nil
		}
	}
	return 0, fmt.Errorf("no delivery state is called %q; there are %s", word, strings.Join(stateWords[:], ", "))
}

// MarshalText makes JSON show the word.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the word.
func (s *State) UnmarshalText(word []byte) (err error) {
	*s, err = ParseState(string(word))
	return err
}

// Delivery is one letter to one recipient, claimed for an attempt. Sending and Recipient are its key.
type Delivery struct {
	Sending   int64  // the mailbox, campaign or series step that it belongs to
	Recipient int64  // the arrival that it answers, or the member
	From      string // envelope sender; "" is the null path <>
	To        string // the one recipient
	MessageID string // the same at every attempt
	Bytes     []byte // the finished letter, the same at every attempt
	Attempts  int    // attempts made before this one
	Doubted   bool   // an earlier attempt ended in doubt
	Created   time.Time
}

// Outcome is what became of one attempt.
type Outcome struct {
	Sending, Recipient int64
	State              State     // Sent, Deferred, Failed, Doubt; or Queued: nothing happened to the letter, it was no attempt
	Code               int       // the server's reply code; 0 when it said nothing
	Status             string    // enhanced status code "5.1.1" (RFC 3463), "" when there was none
	Words              string    // what the server said or what we found, one line
	At                 time.Time // when it was known, UTC
	Due                time.Time // of Deferred and Doubt: the next attempt; zero: none is planned
}

// Queue is where deliveries wait and outcomes are kept: the store.
type Queue interface {
	// Settle records finished deliveries and claims up to room more, in one durable commit. Claimed deliveries are
	// Sending from then on. next is when a delivery that waits becomes due, in the past if one could be claimed now;
	// zero: nothing waits. An error means that nothing was recorded and nothing claimed; the same outcomes come again,
	// so recording an outcome twice must change nothing.
	Settle(ctx context.Context, finished []Outcome, room int) (claimed []Delivery, next time.Time, err error)
}
