package mailtest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/smtp"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startSMTP(t *testing.T, opts SMTPOptions) *SMTP {
	t.Helper()
	s, err := StartSMTP(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// say sends lines as one write and reads one reply for each answer expected.
func say(t *testing.T, c *textproto.Conn, send string, want ...int) {
	t.Helper()
	if send != "" {
		if _, err := io.WriteString(c.W, strings.ReplaceAll(send, "\n", "\r\n")); err != nil {
			t.Fatal(err)
		}
		if err := c.W.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	for i, code := range want {
		got, text, err := c.ReadResponse(0)
		if got != code {
			t.Fatalf("after %q, reply %d: got %d %s (%v), want %d", send, i+1, got, text, err, code)
		}
	}
}

func dial(t *testing.T, s *SMTP) *textproto.Conn {
	t.Helper()
	c, err := textproto.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestSMTPKeepsWhatItAccepts(t *testing.T) {
	s := startSMTP(t, SMTPOptions{})
	c := dial(t, s)
	say(t, c, "", 220)
	say(t, c, "EHLO me\n", 250)
	say(t, c, "MAIL FROM:<a@x.example>\nRCPT TO:<b@y.example>\nRCPT TO:<c@y.example>\nDATA\n", 250, 250, 250, 354)
	say(t, c, "Subject: one\n\n..dot\n.\nMAIL FROM:<>\nRCPT TO:<d@y.example>\nDATA\n", 250, 250, 250, 354)
	say(t, c, "two\n.\nQUIT\n", 250, 221)
	got := s.Messages()
	if len(got) != 2 || s.Count() != 2 {
		t.Fatalf("got %d messages, want 2", len(got))
	}
	if got[0].From != "a@x.example" || got[0].To != "b@y.example" || len(got[0].Rcpts) != 2 || string(got[0].Data) != "Subject: one\r\n\r\n.dot\r\n" {
		t.Errorf("first message: %+v %q", got[0], got[0].Data)
	}
	if got[1].From != "" || got[1].At.IsZero() || got[1].TLS {
		t.Errorf("second message: %+v", got[1])
	}
}

func TestSMTPScriptAnswersAtEveryStage(t *testing.T) {
	refuse := func(at Stage, code int) Script {
		return func(stage Stage, _ Session) *Reply {
			if stage == at {
				return &Reply{Code: code, Status: fmt.Sprintf("%d.7.1", code/100), Text: "not today"}
			}
			return nil
		}
	}
	for _, test := range []struct {
		at   Stage
		code int
		want []int // greeting, EHLO, MAIL, RCPT, DATA, dot, RSET, QUIT as far as they are reached
	}{
		{StageGreeting, 554, []int{554}},
		{StageHelo, 421, []int{220, 421}},
		{StageMail, 451, []int{220, 250, 451}},
		{StageRcpt, 550, []int{220, 250, 250, 550, 502}},
		{StageData, 452, []int{220, 250, 250, 250, 452}},
		{StageMiddle, 451, []int{220, 250, 250, 250, 354, 451}},
		{StageDot, 554, []int{220, 250, 250, 250, 354, 554}},
		{StageReset, 421, []int{220, 250, 250, 250, 354, 250, 421}},
		{StageQuit, 500, []int{220, 250, 250, 250, 354, 250, 250, 500}},
	} {
		t.Run(string(test.at), func(t *testing.T) {
			s := startSMTP(t, SMTPOptions{Script: refuse(test.at, test.code)})
			c := dial(t, s)
			steps := []string{"", "EHLO me\n", "MAIL FROM:<a@x.example>\n", "RCPT TO:<b@y.example>\n", "DATA\n", "text\n.\n", "RSET\n", "QUIT\n"}
			for i, code := range test.want {
				say(t, c, steps[i], code)
			}
			if want := 0; test.at == StageReset || test.at == StageQuit {
				want = 1
				if s.Count() != want {
					t.Errorf("count %d, want %d", s.Count(), want)
				}
			} else if s.Count() != want {
				t.Errorf("count %d, want %d", s.Count(), want)
			}
		})
	}
}

func TestSMTPCutsAndKeeps(t *testing.T) {
	for _, test := range []struct {
		name  string
		at    Stage
		reply Reply
		keeps int
	}{
		{"before the dot", StageMiddle, Reply{Cut: true, After: 3}, 0},
		{"after the dot, lost", StageDot, Reply{Cut: true}, 0},
		{"after the dot, kept", StageDot, Reply{Cut: true, Keep: true}, 1},
		{"instead of 354", StageData, Reply{Cut: true}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startSMTP(t, SMTPOptions{Script: func(stage Stage, _ Session) *Reply {
				if stage == test.at {
					return &test.reply
				}
				return nil
			}})
			c := dial(t, s)
			say(t, c, "", 220)
			say(t, c, "EHLO me\nMAIL FROM:<a@x.example>\nRCPT TO:<b@y.example>\nDATA\n", 250, 250, 250)
			if test.at != StageData {
				say(t, c, "", 354)
				say(t, c, "some text\n.\n")
			}
			if code, _, err := c.ReadResponse(0); err == nil {
				t.Errorf("got %d, want a closed connection", code)
			}
			if s.Count() != test.keeps {
				t.Errorf("kept %d, want %d", s.Count(), test.keeps)
			}
		})
	}
}

func TestSMTPHangsUntilItIsClosed(t *testing.T) {
	reached := make(chan struct{})
	s := startSMTP(t, SMTPOptions{Script: func(stage Stage, _ Session) *Reply {
		if stage == StageGreeting {
			close(reached)
			return &Reply{Hang: true}
		}
		return nil
	}})
	c := dial(t, s)
	<-reached
	s.Cut()
	if _, _, err := c.ReadResponse(0); err == nil {
		t.Error("a hanging server spoke")
	}
}

func TestSMTPRefusedRecipientAndGoAhead(t *testing.T) {
	s := startSMTP(t, SMTPOptions{Script: func(stage Stage, _ Session) *Reply {
		if stage == StageRcpt {
			return &Reply{Code: 550, Status: "5.1.1", Go: true}
		}
		return nil
	}})
	c := dial(t, s)
	say(t, c, "", 220)
	say(t, c, "EHLO me\nMAIL FROM:<a@x.example>\nRCPT TO:<b@y.example>\nDATA\n", 250, 250, 550, 354)
	say(t, c, ".\nNOOP\n", 554, 250) // the lone dot of RFC 2920
	if s.Count() != 0 {
		t.Errorf("a message without recipients counted")
	}
}

func TestSMTPWithTLSAndPasswords(t *testing.T) {
	for _, security := range []string{"starttls", "tls"} {
		t.Run(security, func(t *testing.T) {
			s := startSMTP(t, SMTPOptions{Security: security, Users: map[string]string{"shop": "secret"}, NoPipelining: true})
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(s.Authority().PEM())
			config := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
			for _, password := range []string{"wrong", "secret"} {
				var c *smtp.Client
				var err error
				if security == "tls" {
					conn, dialErr := tls.Dial("tcp", s.Addr(), config)
					if dialErr != nil {
						t.Fatal(dialErr)
					}
					c, err = smtp.NewClient(conn, "127.0.0.1")
				} else {
					c, err = smtp.Dial(s.Addr())
				}
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if security == "starttls" {
					if err := c.StartTLS(config); err != nil {
						t.Fatal(err)
					}
				}
				if ok, _ := c.Extension("PIPELINING"); ok {
					t.Error("PIPELINING is offered")
				}
				err = c.Auth(smtp.PlainAuth("", "shop", password, "127.0.0.1"))
				if (err == nil) != (password == "secret") {
					t.Fatalf("password %q: %v", password, err)
				}
				err = c.Mail("a@x.example")
				if (err == nil) != (password == "secret") {
					t.Fatalf("MAIL after password %q: %v", password, err)
				}
				if password == "wrong" {
					continue
				}
				if err := errors.Join(c.Rcpt("b@y.example"), write(c, "hello")); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if err := s.Wait(ctx, 1); err != nil {
				t.Fatal(err)
			}
			if m := s.Messages()[0]; !m.TLS || m.User != "shop" {
				t.Errorf("message: %+v", m)
			}
		})
	}
}

func write(c *smtp.Client, text string) error {
	w, err := c.Data()
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text)
	return errors.Join(err, w.Close())
}

func TestSMTPWaitEndsWithItsContext(t *testing.T) {
	s := startSMTP(t, SMTPOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestSMTPDownAndUpAgain(t *testing.T) {
	s := startSMTP(t, SMTPOptions{CountOnly: true})
	c := dial(t, s)
	say(t, c, "", 220)
	s.SetDown(true)
	if _, _, err := c.ReadResponse(0); err == nil {
		t.Error("an open connection outlived the outage")
	}
	if _, _, err := dial(t, s).ReadResponse(0); err == nil {
		t.Error("the server spoke while it was down")
	}
	s.SetDown(false)
	c = dial(t, s)
	say(t, c, "", 220)
	say(t, c, "EHLO me\nMAIL FROM:<a@x.example>\nRCPT TO:<b@y.example>\nDATA\n", 250, 250, 250, 354)
	say(t, c, "text\n.\n", 250)
	if s.Count() != 1 || len(s.Messages()) != 0 {
		t.Errorf("count %d, kept %d; want 1 and none", s.Count(), len(s.Messages()))
	}
}
