package outbox

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/returnpost/returnpost/internal/mailtest"
)

func TestDialErrorsAreSentencesWithTheMend(t *testing.T) {
	expired := mailtest.SMTPOptions{Security: "tls"}
	authority, err := mailtest.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	old, err := authority.Certificate(time.Now().Add(-time.Hour), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	expired.Authority, expired.Certificate = authority, &old
	other, err := authority.Certificate(time.Now().Add(time.Hour), "mail.example.com")
	if err != nil {
		t.Fatal(err)
	}
	users := map[string]string{"shop": "secret"}
	wrong := func(c *Config) { c.Username, c.Password = "shop", "wrong" }
	for _, test := range []struct {
		name     string
		server   mailtest.SMTPOptions
		security string
		change   func(*Config)
		want     string
	}{
		{"an unknown authority, starttls", mailtest.SMTPOptions{Security: "starttls"}, "starttls", func(c *Config) { c.CAFile = "" }, "smtp.ca_file"},
		{"an expired certificate", expired, "tls", nil, "cannot be trusted"},
		{"another name", mailtest.SMTPOptions{Security: "starttls", Authority: authority, Certificate: &other}, "starttls", nil, "for another name"},
		{"no STARTTLS", mailtest.SMTPOptions{}, "starttls", nil, "does not offer STARTTLS"},
		{"TLS to a plain port", mailtest.SMTPOptions{}, "tls", nil, "try smtp.security starttls"},
		{"plain to a TLS port", mailtest.SMTPOptions{Security: "tls"}, "starttls", nil, "is silent at greeting: if smtp.port is 465 set smtp.security"},
		{"a wrong password", mailtest.SMTPOptions{Security: "tls", Users: users}, "tls", wrong, "check smtp.username and smtp.password"},
		{"no login offered", mailtest.SMTPOptions{}, "none", wrong, "offers no login"},
		{"a refusing greeting", mailtest.SMTPOptions{Script: only(mailtest.StageGreeting, &mailtest.Reply{Code: 554, Text: "go away"})}, "none", nil, "refuses us at greeting: 554 5.0.0 go away"},
		{"a busy greeting", mailtest.SMTPOptions{Script: only(mailtest.StageGreeting, &mailtest.Reply{Code: 421, Text: "busy", Close: true})}, "none", nil, "come later"},
		{"a busy login", mailtest.SMTPOptions{Users: users, Script: only(mailtest.StageAuth, &mailtest.Reply{Code: 454, Text: "database"})}, "none", wrong, "come later at login: 454"},
		{"cut at the greeting", mailtest.SMTPOptions{Script: only(mailtest.StageGreeting, &mailtest.Reply{Cut: true})}, "none", nil, "closes the connection at greeting"},
		{"a silent greeting", mailtest.SMTPOptions{Script: only(mailtest.StageGreeting, &mailtest.Reply{Hang: true})}, "none", nil, "is silent at greeting"},
		{"a silent login", mailtest.SMTPOptions{Users: users, Script: only(mailtest.StageAuth, &mailtest.Reply{Hang: true})}, "none", wrong, "is silent at login"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startSMTP(t, test.server)
			cfg := settings(t, s, test.security)
			if test.change != nil {
				test.change(&cfg)
			}
			var timeouts Timeouts
			if strings.Contains(test.want, "silent") {
				timeouts = quick
			}
			transport, err := NewTransport(cfg, timeouts)
			if err != nil {
				t.Fatal(err)
			}
			_, err = transport.Dial(t.Context())
			var unavailable *Unavailable
			if !errors.As(err, &unavailable) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), s.Addr()) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestDialToNobody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Security: "none"}
	l.Close()
	transport, err := NewTransport(cfg, Timeouts{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := transport.Dial(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing listens there") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := transport.Dial(ctx); err == nil || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("got %v", err)
	}
}

func TestServerThatWantsALoginAtMail(t *testing.T) {
	s := startSMTP(t, mailtest.SMTPOptions{Users: map[string]string{"shop": "secret"}})
	c := session(t, settings(t, s, "none"), Timeouts{})
	_, err := c.Send(t.Context(), delivery())
	var unavailable *Unavailable
	if !errors.As(err, &unavailable) || !strings.Contains(err.Error(), "set smtp.username") || c.Alive() {
		t.Errorf("got %v: no letter is at fault for it", err)
	}
}

func TestNewTransportFindsAllMistakes(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(broken, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := NewTransport(Config{Security: "ssl", Port: 70000, Username: "shop", CAFile: broken, DKIM: []DKIM{{}}}, Timeouts{})
	for _, want := range []string{"smtp.host", "tls, starttls or none", "65535", "smtp.password", "holds no certificate", "smtp.dkim entry 1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want also %q", err, want)
		}
	}
	for _, host := range []string{"mail.example.com", "192.0.2.1"} {
		if _, err := NewTransport(Config{Host: host, Security: "none"}, Timeouts{}); err == nil || !strings.Contains(err.Error(), "insecure") {
			t.Errorf("%s: %v", host, err)
		}
		if _, err := NewTransport(Config{Host: host, Security: "none", Insecure: true}, Timeouts{}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, cfg := range []Config{{Host: "localhost", Security: "none"}, {Host: "::1", Security: "none"}, {Host: "mail.example.com"}} {
		if _, err := NewTransport(cfg, Timeouts{}); err != nil {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func TestHelloName(t *testing.T) {
	for want, cfg := range map[string]Config{
		"harbourbooks.example":    {Domain: "harbourbooks.example", Username: "a@other.example"},
		"other.example":           {Username: "a@other.example"},
		"xn--bcher-kva.example":   {Domain: "bücher.example"},
		"[127.0.0.1]":             {Username: "shop"},
		"mail.harbourbooks.local": {Username: "shop@mail.harbourbooks.local"},
	} {
		if got := helloName(cfg); got != want {
			t.Errorf("%+v: got %q, want %q", cfg, got, want)
		}
	}
}

// listen plays a server that is written out line by line: each answer stands for one line of the client's.
func listen(t *testing.T, dialogue ...string) (Config, <-chan []string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	heard := make(chan []string, 1)
	go func() {
		var lines []string
		defer func() { heard <- lines }()
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		in := bufio.NewReader(c)
		for _, answer := range dialogue {
			if _, err := io.WriteString(c, strings.ReplaceAll(answer, "\n", "\r\n")+"\r\n"); err != nil {
				return
			}
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			lines = append(lines, strings.TrimSpace(line))
		}
	}()
	return Config{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Security: "none", Username: "shop", Password: "secret"}, heard
}

func TestLoginsThatServersOffer(t *testing.T) {
	for _, test := range []struct {
		offer string
		say   []string
		want  []string
	}{
		{"LOGIN", []string{"334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"}, []string{"AUTH LOGIN", "c2hvcA==", "c2VjcmV0"}},
		{"NTLM PLAIN LOGIN", nil, []string{"AUTH PLAIN AHNob3AAc2VjcmV0"}},
		{"login plain", nil, []string{"AUTH PLAIN AHNob3AAc2VjcmV0"}},
		{"CRAM-MD5", []string{"334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2U+"}, []string{"AUTH CRAM-MD5", "c2hvcCBk"}},
		{"PLAIN SCRAM-SHA-1", []string{"334 "}, []string{"AUTH SCRAM-SHA-1", "biwsbj1zaG9wLHI9"}},
		{"PLAIN SCRAM-SHA-256 SCRAM-SHA-1", []string{"334 "}, []string{"AUTH SCRAM-SHA-256", "biwsbj1zaG9wLHI9"}},
	} {
		t.Run(test.offer, func(t *testing.T) {
			scram := strings.Contains(test.offer, "SCRAM")
			dialogue := append([]string{"220 hello", "250-hello\n250 AUTH " + test.offer}, test.say...)
			if scram {
				dialogue = append(dialogue, "535 5.7.8 no", "501 no") // the exchange itself is go-mail's to test
			} else {
				dialogue = append(dialogue, "235 welcome")
			}
			cfg, heard := listen(t, dialogue...)
			transport, err := NewTransport(cfg, Timeouts{})
			if err != nil {
				t.Fatal(err)
			}
			c, err := transport.Dial(t.Context())
			if (err != nil) != scram {
				t.Fatal(err)
			}
			if c != nil {
				c.(*conn).raw.Close()
			}
			lines := (<-heard)[1:]
			for i, want := range test.want {
				if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
					t.Errorf("heard %q, want %q", lines, test.want)
				}
			}
		})
	}
}

func TestServerOutOfStep(t *testing.T) {
	for name, dialogue := range map[string][]string{
		"354 to MAIL":     {"220 hello", "250 hello", "354 go on"},
		"250 to DATA":     {"220 hello", "250 hello", "250 ok", "250 ok", "250 ok"},
		"not SMTP":        {"220 hello", "250 hello", "HTTP/1.1 400 Bad Request"},
		"RSET is refused": {"220 hello", "250 hello", "550 no", "502 no"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, _ := listen(t, dialogue...)
			cfg.Username, cfg.Password = "", ""
			c := session(t, cfg, quick)
			_, err := c.Send(t.Context(), delivery())
			if name == "RSET is refused" {
				_, err = c.Send(t.Context(), delivery())
			}
			if !errors.As(err, new(*Lost)) || c.Alive() {
				t.Errorf("got %T %v", err, err)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	s := startSMTP(t, mailtest.SMTPOptions{Security: "starttls", Users: map[string]string{"shop": "secret"}, MaxSize: 1000,
		Script: func(stage mailtest.Stage, session mailtest.Session) *mailtest.Reply {
			if stage == mailtest.StageMail && session.From != "support@harbourbooks.example" {
				return &mailtest.Reply{Code: 553, Status: "5.7.1", Text: "not yours"}
			}
			return nil
		}})
	cfg := settings(t, s, "starttls")
	cfg.Username, cfg.Password = "shop", "secret"
	report, err := Check(t.Context(), cfg, "support@harbourbooks.example")
	if err != nil {
		t.Fatal(err)
	}
	if report.Login != "PLAIN" || !strings.HasPrefix(report.Encryption, "TLS 1.") || !report.Pipelining || report.MaxSize != 1000 || report.Greeting == "" {
		t.Errorf("%+v", report)
	}
	if _, err = Check(t.Context(), cfg, "support@harbourbooks.example", "boss@harbourbooks.example"); err == nil || !strings.Contains(err.Error(), "553 5.7.1 not yours): log in as") {
		t.Errorf("got %v", err)
	}
	cfg.Password = "wrong"
	if _, err = Check(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "app password") {
		t.Errorf("got %v", err)
	}
	if s.Count() != 0 {
		t.Error("a check sent something")
	}
}
