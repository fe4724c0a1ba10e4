package servers

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// imapConn is a few lines of IMAP4rev1 (RFC 3501), enough to fill and to read back a test's mailboxes. It is not
// the library that the daemon uses, so that a mistake there cannot hide itself.
type imapConn struct {
	net.Conn
	r   *bufio.Reader
	w   *bufio.Writer
	tag int
}

// imapLine is one response with its literals taken out of it.
type imapLine struct {
	text     string
	literals [][]byte
}

func dialIMAP(addr, user, password string) (*imapConn, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	c := &imapConn{Conn: conn, r: bufio.NewReaderSize(conn, 64<<10), w: bufio.NewWriterSize(conn, 64<<10)}
	conn.SetDeadline(time.Now().Add(5 * time.Minute))
	if _, err := c.line(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("greeting: %w", err)
	}
	if _, err := c.command("LOGIN %s %s", quoted(user), quoted(password)); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// command sends one command and gathers the untagged responses until its tagged OK.
func (c *imapConn) command(format string, args ...any) ([]imapLine, error) {
	text := fmt.Sprintf(format, args...)
	tag := c.begin(text)
	if err := c.w.Flush(); err != nil {
		return nil, err
	}
	return c.finish(tag, text)
}

func (c *imapConn) begin(text string) (tag string) {
	c.tag++
	tag = "a" + strconv.Itoa(c.tag)
	fmt.Fprintf(c.w, "%s %s\r\n", tag, text)
	return tag
}

func (c *imapConn) finish(tag, text string) ([]imapLine, error) {
	var lines []imapLine
	for {
		l, err := c.line()
		if err != nil {
			return lines, fmt.Errorf("IMAP %s: %w", text, err)
		}
		rest, ours := strings.CutPrefix(l.text, tag+" ")
		switch {
		case ours && strings.HasPrefix(rest, "OK"):
			return lines, nil
		case ours:
			return lines, fmt.Errorf("IMAP %s: %s", text, rest)
		default:
			lines = append(lines, l)
		}
	}
}

func (c *imapConn) line() (imapLine, error) {
	var l imapLine
	for {
		s, err := c.r.ReadString('\n')
		if err != nil {
			return l, err
		}
		s = strings.TrimRight(s, "\r\n")
		l.text += s
		open := strings.LastIndexByte(s, '{')
		if open < 0 || !strings.HasSuffix(s, "}") {
			return l, nil
		}
		n, err := strconv.Atoi(s[open+1 : len(s)-1])
		if err != nil {
			return l, nil
		}
		literal := make([]byte, n)
		if _, err := io.ReadFull(c.r, literal); err != nil {
			return l, err
		}
		l.literals = append(l.literals, literal)
	}
}

// appendAll stores the messages in as few commands as possible (RFC 3502 MULTIAPPEND, RFC 7888 LITERAL+).
func (c *imapConn) appendAll(folder string, n int, message func(i int) []byte) error {
	const group = 1000
	for from := 0; from < n; from += group {
		c.tag++
		tag := "a" + strconv.Itoa(c.tag)
		fmt.Fprintf(c.w, "%s APPEND %s", tag, quoted(folder))
		for i := from; i < min(from+group, n); i++ {
			m := crlf(message(i))
			fmt.Fprintf(c.w, " {%d+}\r\n", len(m))
			c.w.Write(m)
		}
		c.w.WriteString("\r\n")
		if err := c.w.Flush(); err != nil {
			return err
		}
		if _, err := c.finish(tag, "APPEND"); err != nil {
			return err
		}
	}
	return nil
}

// count asks how many messages a folder has.
func (c *imapConn) count(folder string) (n int, err error) {
	lines, err := c.command("STATUS %s (MESSAGES)", quoted(folder))
	for _, l := range lines {
		if _, after, ok := strings.Cut(l.text, "(MESSAGES "); ok {
			_, err = fmt.Sscan(after, &n)
		}
	}
	return n, err
}

func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// crlf ends every line with CR LF, as the wire wants it.
func crlf(b []byte) []byte {
	if bytes.Count(b, []byte("\n")) == bytes.Count(b, []byte("\r\n")) {
		return b
	}
	return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}
