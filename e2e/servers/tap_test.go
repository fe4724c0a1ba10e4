package servers

import (
	"bytes"
	"sync/atomic"
	"testing"
)

func TestTapShowsWhatTheServerSends(t *testing.T) {
	d := Dovecot(t, DovecotOptions{})
	var greeted atomic.Bool
	tap := NewTap(t, d.LMTPAddr(), func() func([]byte) {
		return func(b []byte) {
			if bytes.HasPrefix(b, []byte("220 ")) {
				greeted.Store(true)
			}
		}
	})
	if err := answers(tap.Addr()); err != nil || !greeted.Load() {
		t.Errorf("%v, greeting seen: %v", err, greeted.Load())
	}
}
