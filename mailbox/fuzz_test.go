package mailbox

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"time"
)

// turn divides what a scripted server says: it waits there for the client's next line.
const turn = "|C|\n"

// transcript is a whole good session; go-imap counts its tags from T1.
var transcript = strings.ReplaceAll(strings.Join([]string{
	"* OK [CAPABILITY IMAP4rev1 IDLE ID AUTH=PLAIN] ready\n",
	"T1 OK [CAPABILITY IMAP4rev1 IDLE ID] in\n",
	"* CAPABILITY IMAP4rev1 IDLE ID\nT2 OK done\n",
	"* ID (\"name\" \"server\" \"version\" NIL)\nT3 OK done\n",
	"* FLAGS (\\Seen)\n* 3 EXISTS\n* OK [UIDVALIDITY 7] ok\n* OK [UIDNEXT 14] ok\nT4 OK [READ-ONLY] done\n",
	"* 2 FETCH (UID 12 RFC822.SIZE 4 INTERNALDATE \"22-Nov-2026 09:00:00 +0000\" FLAGS (\\Seen))\n* 3 FETCH (UID 13 RFC822.SIZE 9 INTERNALDATE \"22-Nov-2026 09:00:00 +0000\" FLAGS ())\nT5 OK done\n",
	"* 2 FETCH (UID 12 BODY[]<0> {4}\nabcd)\n* 3 FETCH (UID 13 BODY[]<0> \"quoted ab\")\nT6 OK done\n",
	"+ idling\n* 4 EXISTS\n* 1 EXPUNGE\n",
	"T7 OK done\n",
	"* 3 FETCH (UID 14 RFC822.SIZE 3 INTERNALDATE \"22-Nov-2026 09:00:00 +0000\" FLAGS ())\nT8 OK done\n",
	"* 3 FETCH (BODY[]<0> {3}\nxyz UID 14)\nT9 OK done\n",
	"* BYE enough\n",
}, turn), "\n", "\r\n")

// scripted is a server that says its lines, each part after a line of the client, and hangs up.
func scripted(script []byte) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		lines := make(chan struct{}, 1000)
		go func() {
			defer close(lines)
			for in := bufio.NewScanner(server); in.Scan(); {
				select {
				case lines <- struct{}{}:
				default:
				}
			}
		}()
		go func() {
			defer server.Close()
			for i, part := range bytes.Split(script, []byte(strings.ReplaceAll(turn, "\n", "\r\n"))) {
				if i > 0 {
					if _, ok := <-lines; !ok {
						return
					}
				}
				if _, err := server.Write(part); err != nil {
					return
				}
			}
		}()
		return client, nil
	}
}

// play plays one connection with a scripted server and returns what the receiver got.
func play(t *testing.T, script []byte) (*ledger, *Watcher) {
	l := newLedger()
	l.begun = Position{7, 11}
	w := New("support", Config{Host: "imap.example.com", Security: "none", Username: user, Password: password, Poll: 50 * time.Millisecond}, l, l.handle,
		Options{Patience: 200 * time.Millisecond, Dial: scripted(script)})
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	if _, err := w.visit(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("the visit ended with %v (%v)", err, ctx.Err())
	}
	return l, w
}

func TestScriptedServer(t *testing.T) {
	// Some servers send NIL in ID, which go-imap cannot read: the next connection does without.
	_, w := play(t, []byte(transcript))
	if !w.noID {
		t.Error("an unreadable ID is asked for again")
	}
	l, _ := play(t, bytes.Replace([]byte(transcript), []byte(" NIL)"), []byte(" \"1\")"), 1))
	got := l.all()
	if len(got) != 2 || string(got[0].Raw) != "abcd" || string(got[1].Raw) != "quoted ab" || got[1].Size != 9 {
		t.Errorf("got %+v", got)
	}
}

// go-imap would go in circles for ever, and nothing could stop it.
func TestListOfCapabilitiesThatWouldSpin(t *testing.T) {
	for was, is := range map[string]string{
		"* OK [CAPABILITY IMAP4rev1": "* OK [CAPABILITY IMAP(4rev1",
		"T1 OK [CAPABILITY":          "T1 OK [CAPABILITY(",
		"* CAPABILITY IMAP4rev1":     "* Capability IMAP4rev1 (",
		"* BYE enough":               "* CAPABILITY " + strings.Repeat("X", longest) + "(",
	} {
		if !strings.Contains(transcript, was) {
			t.Fatalf("the transcript has no %q", was)
		}
		play(t, []byte(strings.Replace(strings.Replace(transcript, " NIL)", " \"1\")", 1), was, is, 1)))
	}
	// The same words are harmless in a message and in what is meant for people.
	l, _ := play(t, []byte(strings.NewReplacer(
		" NIL)", " \"1\")", "T2 OK done", "T2 OK [ALERT] * CAPABILITY (all of them) done", "{4}\r\nabcd", "{20}\r\n\r\n* CAPABILITY (x)\r\n",
	).Replace(transcript)))
	if got := l.all(); len(got) != 2 || string(got[0].Raw) != "\r\n* CAPABILITY (x)\r\n" {
		t.Errorf("got %+v", got)
	}
}

// Whatever a server says, the visit ends, nothing panics, and what is handed over is new and in order.
func FuzzServer(f *testing.F) {
	good := strings.Replace(transcript, " NIL)", " \"1\")", 1)
	f.Add([]byte(good))
	f.Add([]byte(transcript))
	f.Add([]byte(strings.Replace(good, "{4}", "{40000000000}", 1)))
	f.Add([]byte(strings.Replace(good, "UID 13 BODY", "UID 12 BODY", 1)))
	f.Add([]byte(strings.Replace(good, "UID 12 RFC", "UID 4294967295 RFC", 1)))
	f.Add([]byte(strings.Replace(good, "[UIDNEXT 14]", "[UIDNEXT 4294967295]", 1)))
	f.Add([]byte(strings.Replace(good, "[UIDVALIDITY 7]", "[UIDVALIDITY 8]", 1)))
	f.Add([]byte(strings.Replace(good, "* 3 EXISTS", "* 4294967295 EXISTS", 1)))
	f.Add([]byte(strings.Replace(good, "T1 OK [CAPABILITY", "T1 OK [CAPABILITY (", 1)))
	f.Fuzz(func(t *testing.T, script []byte) {
		l, _ := play(t, script)
		last := uint32(11)
		for _, got := range l.all() {
			if got.Renumbered || got.UIDValidity != 7 {
				last = 0
				continue
			}
			if got.UID <= last {
				t.Errorf("UID %d after %d", got.UID, last)
			}
			last = got.UID
		}
	})
}
