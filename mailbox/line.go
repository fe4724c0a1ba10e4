package mailbox

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// slowest is the pace, in bytes a second, below which a server is given up although it still sends.
const slowest = 8 << 10

// line is the connection below the library: it bounds how long a server may be silent, how long and how much it may talk.
// go-imap has neither contexts nor a limit on what it reads, so its own deadlines are not let through.
type line struct {
	net.Conn
	raw net.Conn // under TLS: closing it does not wait for the peer

	mu       sync.Mutex
	patience time.Duration // 0: nothing is owed, silence is welcome
	until    time.Time     // when the command must be done
	left     int64         // bytes the server may still send
	why      error         // why the line was given up, if it was
}

// expect begins a command whose answer is up to size bytes.
func (l *line) expect(patience time.Duration, size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.patience, l.left = patience, size
	l.until = now.Add(2*patience + time.Duration(size/slowest)*time.Second)
	l.Conn.SetReadDeadline(now.Add(patience))
}

// rest ends a command: the server owes nothing, and may say a little of its own accord.
func (l *line) rest() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.patience, l.left = 0, 1<<20
	l.Conn.SetReadDeadline(time.Time{})
}

func (l *line) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left -= int64(n); l.left < 0 && l.why == nil {
		l.why = fmt.Errorf("it sent far more than it was asked for")
		l.raw.Close()
	}
	if l.why != nil {
		return 0, l.why
	}
	if err != nil {
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() && l.patience > 0 {
			l.why = fmt.Errorf("it said nothing for %v", l.patience)
			if !time.Now().Before(l.until) {
				l.why = fmt.Errorf("it is too slow")
			}
		}
		return n, err
	}
	if l.patience > 0 {
		next := time.Now().Add(l.patience)
		if l.until.Before(next) {
			next = l.until
		}
		l.Conn.SetReadDeadline(next)
	}
	return n, nil
}

// SetReadDeadline ignores the library's deadlines: expect and rest set them.
func (l *line) SetReadDeadline(time.Time) error { return nil }

// Close closes the connection without a farewell.
func (l *line) Close() error { return l.raw.Close() }

// reason is why the line was given up; nil if it was not.
func (l *line) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}
