package mailbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// slowest is the pace, in bytes a second, below which a server is given up although it still sends.
const slowest = 8 << 10

// longest is how long a line may be that might be a list of capabilities.
const longest = 64 << 10

// line is the connection below the library: it bounds how long a server may be silent, how long and how much it may talk.
// go-imap has neither contexts nor a limit on what it reads, so its own deadlines are not let through.
type line struct {
	net.Conn
	raw net.Conn // under TLS: closing it does not wait for the peer

	// These belong to the goroutine that reads; with a body, the library's reader waits while it is read.
	in       *bufio.Reader
	head     []byte // of the line that is being passed on
	announce bool   // the last line ended with the size of a literal
	body     int64  // bytes of a body that come next

	mu       sync.Mutex
	patience time.Duration // 0: nothing is owed, silence is welcome
	until    time.Time     // when the command must be done
	left     int64         // bytes the server may still send
	why      error         // why the line was given up, if it was
	ended    bool          // the other side has closed it, or it broke
}

// newLine makes the line over conn. The library reads the greeting before what the server says.
func newLine(conn, raw net.Conn, greeting string) *line {
	in := bufio.NewReaderSize(io.MultiReader(strings.NewReader(greeting), conn), 64<<10)
	return &line{Conn: conn, raw: raw, in: in}
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

// bodyNext says that the library is about to read a literal of that size, if it is one and not a quoted string, which it
// has read already.
func (l *line) bodyNext(size int64) {
	if l.announce {
		l.body = size
	}
}

// Read passes on bodies as they come, and all else line by line. So the library never holds more than one line, and each
// answer is looked at before it parses it.
func (l *line) Read(p []byte) (int, error) {
	inBody := l.body > 0
	n, err := l.read(p)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left -= int64(n); l.left < 0 && l.why == nil {
		l.why = errors.New("it sent far more than it was asked for")
	}
	if l.why == nil && err == nil && !inBody && l.spins(p[:n]) {
		l.why = errors.New("its list of what it can do cannot be read")
	}
	if l.why != nil {
		l.raw.Close()
		return 0, l.why
	}
	if err != nil {
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() && l.patience > 0 {
			l.why = fmt.Errorf("it said nothing for %v", l.patience)
			if !time.Now().Before(l.until) {
				l.why = errors.New("it is too slow")
			}
		}
		l.ended = true
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

func (l *line) read(p []byte) (int, error) {
	if l.body > 0 {
		n, err := l.in.Read(p[:min(int64(len(p)), l.body)])
		l.body -= int64(n)
		return n, err
	}
	if _, err := l.in.Peek(1); err != nil {
		return 0, err
	}
	ready, err := l.in.Peek(min(l.in.Buffered(), len(p)))
	if err != nil {
		return 0, err
	}
	if i := bytes.IndexByte(ready, '\n'); i >= 0 {
		ready = ready[:i+1]
	}
	return l.in.Read(p[:len(ready)])
}

// spins says whether go-imap would never come back from what is to be passed on: a list of capabilities with a "(" in it
// keeps v2.0.0-beta.8 going in circles, and nothing could stop it then.
func (l *line) spins(part []byte) bool {
	if len(l.head)+len(part) <= longest {
		l.head = append(l.head, part...)
	}
	capabilities, bracketed := []byte("* CAPABILITY"), []byte("[CAPABILITY")
	head, _, found := bytes.Cut(l.head, []byte("("))
	list := len(head) >= len(capabilities) && bytes.EqualFold(head[:len(capabilities)], capabilities) ||
		bytes.Contains(head, bracketed) && !bytes.Contains(head, []byte("]"))
	if list && (found || len(l.head)+len(part) > longest) {
		return true
	}
	if bytes.HasSuffix(part, []byte("\n")) {
		l.announce = bytes.HasSuffix(l.head, []byte("}\r\n"))
		l.head = l.head[:0]
	}
	return false
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

// hungUp says whether the other side has closed the line. The library's errors do not: it goes on parsing what it has.
func (l *line) hungUp() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}
