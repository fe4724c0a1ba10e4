package message

import "crypto/sha256"

// Unreadable is a message that could not be had, or that made Parse itself
// fail: broken, for the reason given. raw may be nil.
func Unreadable(raw []byte, why string) *Message {
	sum := sha256.Sum256(raw)
	return &Message{
		Kind: KindBroken, Broken: why, Size: len(raw), Hash: [16]byte(sum[:16]),
		Evidence: []Evidence{{Mark: MarkBroken, Value: why}},
	}
}
