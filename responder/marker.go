package responder

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"time"

	"github.com/returnpost/returnpost/outbox"
)

// Marker makes the Message-IDs of our letters and knows them again. An id is
// derived from the arrival it answers, so that the same letter made again bears
// the same id, and carries an HMAC, so that nobody else can make one.
type Marker struct{ key []byte }

// NewMarker makes a Marker from the database's secret.
func NewMarker(secret []byte) Marker {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("message-id mark"))
	return Marker{key: mac.Sum(nil)}
}

// An id and its mark are base32 of 10 bytes each: long enough never to be met
// twice or guessed, short enough that the Message-ID stays on one line.
const (
	idPrefix = "rp."
	idBytes  = 10
	idLen    = 16
)

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// token names the answer to one message of a mailbox: an id and its mark.
func (k Marker) token(mailbox string, content [16]byte) string {
	h := sha256.New()
	h.Write([]byte(mailbox))
	h.Write(content[:])
	id := idEncoding.EncodeToString(h.Sum(nil)[:idBytes])
	return idPrefix + id + "." + k.mark(id)
}

// messageID is the token as a Message-ID of the domain of an address.
func messageID(token, address string) string {
	return "<" + token + address[strings.LastIndexByte(address, '@'):] + ">"
}

// Made says whether a Message-ID was made by us.
func (k Marker) Made(messageID string) bool {
	left, _, ok := strings.Cut(strings.TrimPrefix(messageID, "<"), "@")
	if !ok || len(k.key) == 0 || !strings.HasPrefix(left, idPrefix) {
		return false
	}
	id, mark, ok := strings.Cut(left[len(idPrefix):], ".")
	return ok && len(id) == idLen && len(mark) == idLen && hmac.Equal([]byte(mark), []byte(k.mark(id)))
}

func (k Marker) mark(id string) string {
	mac := hmac.New(sha256.New, k.key)
	mac.Write([]byte(id))
	return idEncoding.EncodeToString(mac.Sum(nil)[:idBytes])
}

// Probe is a letter from a mailbox to itself with a token in the detail part of
// its address, to find out whether such mail arrives. It bears our mark, so it
// is never answered.
func (k Marker) Probe(address string, now time.Time) (outbox.Delivery, error) {
	stamp := sha256.Sum256([]byte(now.Format(time.RFC3339Nano)))
	token := k.token(address, [16]byte(stamp[:16]))
	at := strings.LastIndexByte(address, '@')
	d := outbox.Delivery{From: address, To: address[:at] + "+" + token + address[at:], MessageID: messageID(token, address), Created: now}
	var err error
	d.Bytes, err = outbox.Compose(outbox.Mail{
		From: address, To: d.To, Subject: "Returnpost: does sub-addressing work here?", MessageID: d.MessageID, Date: now,
		Headers: [][2]string{{"Auto-Submitted", "auto-generated"}}, // RFC 3834 §5
		Text:    "This letter was sent by `returnpost check --probe`. It may be deleted.\n",
	})
	return d, err
}
