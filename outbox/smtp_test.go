package outbox

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/returnpost/returnpost/internal/mailtest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick are timeouts for tests in which a server hangs.
var quick = Timeouts{Dial: time.Second, Command: 200 * time.Millisecond, Data: 200 * time.Millisecond, End: 200 * time.Millisecond, Quit: 200 * time.Millisecond}

func startSMTP(t testing.TB, opts mailtest.SMTPOptions) *mailtest.SMTP {
	t.Helper()
	s, err := mailtest.StartSMTP(opts)
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

// settings are the Config for a server.
func settings(t testing.TB, s *mailtest.SMTP, security string) Config {
	t.Helper()
	cfg := Config{Host: "127.0.0.1", Port: s.Port(), Security: security, Domain: "harbourbooks.example"}
	if a := s.Authority(); a != nil {
		file, err := a.WriteFile(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		cfg.CAFile = file
	}
	return cfg
}

func session(t testing.TB, cfg Config, timeouts Timeouts) Conn {
	t.Helper()
	transport, err := NewTransport(cfg, timeouts)
	if err != nil {
		t.Fatal(err)
	}
	c, err := transport.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func delivery() Delivery {
	return Delivery{Sending: 1, Recipient: 2, From: "support@harbourbooks.example", To: "li@example.com",
		Bytes: []byte("Subject: x\r\n\r\n.leading\r\n..two\r\nlast"), Created: time.Now()}
}

const arrived = "Subject: x\r\n\r\n.leading\r\n..two\r\nlast\r\n"

func TestSendCarriesTheLetter(t *testing.T) {
	for _, security := range []string{"none", "starttls", "tls"} {
		for _, alone := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/one by one %v", security, alone), func(t *testing.T) {
				var hello string
				s := startSMTP(t, mailtest.SMTPOptions{Security: security, NoPipelining: alone, Users: map[string]string{"shop": "secret"}, MaxSize: 1 << 20,
					Script: func(stage mailtest.Stage, session mailtest.Session) *mailtest.Reply {
						if stage == mailtest.StageMail {
							hello = session.Helo
						}
						return nil
					}})
				cfg := settings(t, s, security)
				cfg.Username, cfg.Password = "shop", "secret"
				c := session(t, cfg, Timeouts{})
				for _, from := range []string{"support@harbourbooks.example", ""} {
					d := delivery()
					d.From = from
					reply, err := c.Send(t.Context(), d)
					if err != nil || reply.Code != 250 {
						t.Fatalf("%v %v", reply, err)
					}
				}
				got := s.Messages()
				if len(got) != 2 || string(got[0].Data) != arrived || got[0].To != "li@example.com" || got[0].From != "support@harbourbooks.example" ||
					got[1].From != "" || got[0].User != "shop" || got[0].TLS != (security != "none") {
					t.Errorf("got %+v", got)
				}
				if hello != "harbourbooks.example" {
					t.Errorf("EHLO %q", hello)
				}
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestSendClassifiesReplies(t *testing.T) {
	stages := map[mailtest.Stage]string{mailtest.StageMail: "MAIL", mailtest.StageRcpt: "RCPT", mailtest.StageData: "DATA", mailtest.StageDot: "message"}
	for stage, name := range stages {
		for _, code := range []int{421, 451, 550} {
			for _, alone := range []bool{false, true} {
				for _, goAhead := range []bool{false, true} {
					if goAhead && (stage != mailtest.StageRcpt || alone) {
						continue
					}
					t.Run(fmt.Sprintf("%s %d, one by one %v, 354 %v", name, code, alone, goAhead), func(t *testing.T) {
						reply := &mailtest.Reply{Code: code, Status: fmt.Sprintf("%d.7.1", code/100), Text: "not today", Close: code == 421, Go: goAhead}
						s := startSMTP(t, mailtest.SMTPOptions{NoPipelining: alone, Script: only(stage, reply)})
						c := session(t, settings(t, s, "none"), Timeouts{})
						_, err := c.Send(t.Context(), delivery())
						want := Reply{code, fmt.Sprintf("%d.7.1", code/100), "not today"}
						if code == 550 {
							if got := (*Permanent)(nil); !errors.As(err, &got) || got.Reply != want || got.Stage != name {
								t.Fatalf("got %v", err)
							}
						} else if got := (*Temporary)(nil); !errors.As(err, &got) || got.Reply != want || got.Stage != name {
							t.Fatalf("got %v", err)
						}
						if c.Alive() != (code != 421) {
							t.Errorf("alive: %v", c.Alive())
						}
						if s.Count() != 0 {
							t.Error("a refused letter was accepted")
						}
						s.SetScript(nil)
						if code == 421 {
							return
						}
						if _, err := c.Send(t.Context(), delivery()); err != nil { // the session is in step
							t.Errorf("the next letter: %v", err)
						}
						if got := s.Messages(); len(got) != 1 || string(got[0].Data) != arrived {
							t.Errorf("got %+v", got)
						}
					})
				}
			}
		}
	}
}

func only(at mailtest.Stage, reply *mailtest.Reply) mailtest.Script {
	return func(stage mailtest.Stage, _ mailtest.Session) *mailtest.Reply {
		if stage == at {
			return reply
		}
		return nil
	}
}

func TestSendKnowsWhetherTheLetterWasComplete(t *testing.T) {
	for _, stage := range []mailtest.Stage{mailtest.StageMail, mailtest.StageRcpt, mailtest.StageData, mailtest.StageDot} {
		for _, hang := range []bool{false, true} {
			for _, alone := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, hang %v, one by one %v", stage, hang, alone), func(t *testing.T) {
					s := startSMTP(t, mailtest.SMTPOptions{NoPipelining: alone, Script: only(stage, &mailtest.Reply{Cut: !hang, Hang: hang, Keep: true})})
					var timeouts Timeouts
					if hang {
						timeouts = quick
					}
					c := session(t, settings(t, s, "none"), timeouts)
					_, err := c.Send(t.Context(), delivery())
					var lost *Lost
					var doubtful *Doubtful
					if stage == mailtest.StageDot && !errors.As(err, &doubtful) || stage != mailtest.StageDot && !errors.As(err, &lost) {
						t.Errorf("got %T %v", err, err)
					}
					if c.Alive() {
						t.Error("the session is thought alive")
					}
					if isTimeout(err) != hang {
						t.Errorf("got %v", err)
					}
				})
			}
		}
	}
}

func TestSendCutInTheMiddleOfALongLetter(t *testing.T) {
	for _, test := range []struct {
		name  string
		reply mailtest.Reply
		want  any
	}{
		{"without a word", mailtest.Reply{Cut: true, After: 1000}, new(Lost)},
		{"silently", mailtest.Reply{Hang: true, After: 1000}, new(Lost)},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startSMTP(t, mailtest.SMTPOptions{Script: only(mailtest.StageMiddle, &test.reply)})
			timeouts := quick
			timeouts.Data = time.Second // and a second for each 4 KiB is too much for a test, so ctx ends it
			c := session(t, settings(t, s, "none"), timeouts)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			d := delivery()
			d.Bytes = []byte(strings.Repeat("a line of a long letter\r\n", 1<<20))
			_, err := c.Send(ctx, d)
			if reflect.TypeOf(err) != reflect.TypeOf(test.want) || c.Alive() {
				t.Errorf("got %T %v", err, err)
			}
			if s.Count() != 0 {
				t.Error("accepted")
			}
		})
	}
}

func TestSendEndsWithItsContext(t *testing.T) {
	reached := make(chan struct{})
	s := startSMTP(t, mailtest.SMTPOptions{Script: func(stage mailtest.Stage, _ mailtest.Session) *mailtest.Reply {
		if stage != mailtest.StageDot {
			return nil
		}
		close(reached)
		return &mailtest.Reply{Hang: true}
	}})
	c := session(t, settings(t, s, "none"), Timeouts{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	if _, err := c.Send(ctx, delivery()); err == nil || errors.As(err, new(*Lost)) {
		t.Errorf("got %v, want doubt", err)
	}
}

func TestSendRefusesWhatTheServerCannotTake(t *testing.T) {
	s := startSMTP(t, mailtest.SMTPOptions{MaxSize: 2000})
	c := session(t, settings(t, s, "none"), Timeouts{})
	for _, test := range []struct {
		name   string
		change func(*Delivery)
		status string
	}{
		{"too big", func(d *Delivery) { d.Bytes = make([]byte, 3000) }, "5.3.4"},
		{"SMTPUTF8 not offered", func(d *Delivery) { d.To = "用户@example.com" }, "5.6.7"},
		{"a command in the recipient", func(d *Delivery) { d.To = "a@b.example>\r\nRCPT TO:<c@d.example" }, "5.1.3"},
		{"a command in the sender", func(d *Delivery) { d.From = "a@b.example> BODY=8BITMIME <" }, "5.1.7"},
		{"no recipient", func(d *Delivery) { d.To = "" }, "5.1.3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := delivery()
			test.change(&d)
			_, err := c.Send(t.Context(), d)
			var never *Permanent
			if !errors.As(err, &never) || never.Status != test.status || never.Code != 0 || never.Words == "" {
				t.Errorf("got %v", err)
			}
			if !c.Alive() {
				t.Error("the session is given up for it")
			}
		})
	}
	for _, to := range []string{"li@bücher.example", "li@example.com"} {
		d := delivery()
		d.To = to
		if _, err := c.Send(t.Context(), d); err != nil {
			t.Errorf("%s: %v", to, err)
		}
	}
}

func TestSendWithSMTPUTF8(t *testing.T) {
	s := startSMTP(t, mailtest.SMTPOptions{SMTPUTF8: true})
	c := session(t, settings(t, s, "none"), Timeouts{})
	d := delivery()
	d.To = "用户@例子.example"
	if _, err := c.Send(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if got := s.Messages()[0].To; got != d.To {
		t.Errorf("got %q", got)
	}
}
