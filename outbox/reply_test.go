package outbox

import (
	"bufio"
	"bytes"
	"io"
	"net/textproto"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestReadReply(t *testing.T) {
	for _, test := range []struct {
		name, in string
		want     Reply
		fails    bool
	}{
		{"plain", "250 ok\r\n", Reply{250, "", "ok"}, false},
		{"only a code", "354\r\n", Reply{354, "", ""}, false},
		{"status", "550 5.1.1 no such user\r\n", Reply{550, "5.1.1", "no such user"}, false},
		{"several lines", "550-5.7.1 The user\r\n550-5.7.1 is away,\r\n550 5.7.1 for good\r\n", Reply{550, "5.7.1", "The user is away, for good"}, false},
		{"LF alone", "250 ok\n", Reply{250, "", "ok"}, false},
		{"not a status", "450 5.1 minutes\r\n", Reply{450, "", "5.1 minutes"}, false},
		{"control characters and bad UTF-8", "550 a\x00b\x1b[31m\xff\r\n", Reply{550, "", "a b [31m\uFFFD"}, false},
		{"another code in the middle", "550-a\r\n250 b\r\n", Reply{}, true},
		{"HTML", "<html>\r\n", Reply{}, true},
		{"a strange code", "999 x\r\n", Reply{}, true},
		{"no separator", "2500 x\r\n", Reply{}, true},
		{"cut short", "250 ok", Reply{}, true},
		{"an endless line", strings.Repeat("x", 10000), Reply{}, true},
		{"endless lines", strings.Repeat("250-x\r\n", 1000), Reply{}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := readReply(bufio.NewReader(strings.NewReader(test.in)))
			if (err != nil) != test.fails {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReplyWordsAreCapped(t *testing.T) {
	got, err := readReply(bufio.NewReader(strings.NewReader("550-" + strings.Repeat("字", 900) + "\r\n550 end\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Words) > maxReplyWords+10 || !strings.HasSuffix(got.Words, "字 …") {
		t.Errorf("%d bytes: %s", len(got.Words), got.Words)
	}
}

func FuzzReadReply(f *testing.F) {
	f.Add([]byte("250-a\r\n250 2.0.0 b\r\n"))
	f.Add([]byte("5\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		reply, err := readReply(bufio.NewReader(bytes.NewReader(in)))
		if err == nil && (reply.Code < 200 || reply.Code > 599 || strings.ContainsAny(reply.Words, "\r\n\x00")) {
			t.Errorf("%+v", reply)
		}
	})
}

func TestStuffIsWhatAServerReadsBack(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		letter := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"a", ".", "..", "\r\n", "\r\n.", "\n", "\r", "\n.\n", "\r.\r", "x.y", "."})).Draw(r, "letter"), "")
		wire := stuff(nil, []byte(letter))
		if rest := bytes.ReplaceAll(wire, []byte("\r\n"), nil); bytes.ContainsAny(rest, "\r\n") {
			r.Fatalf("a lone CR or LF in %q", wire)
		}
		in := bufio.NewReader(bytes.NewReader(append(wire, "NEXT"...)))
		got, err := io.ReadAll(textproto.NewReader(in).DotReader()) // gives LF line ends
		if err != nil {
			r.Fatal(err)
		}
		rest, _ := io.ReadAll(in)
		if string(rest) != "NEXT" {
			r.Fatalf("the message of %q ended early: %q left", wire, rest)
		}
		want := strings.ReplaceAll(strings.ReplaceAll(letter, "\r\n", "\n"), "\r", "\n")
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if string(got) != want {
			r.Fatalf("read %q, want %q", got, want)
		}
	})
}

func TestPath(t *testing.T) {
	for _, good := range []string{"", "a@b.example", "a+b.c@[192.0.2.1]", `"a b>c\""@d.example`, "用户@例子.example"} {
		if _, err := path(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	if got, _ := path("info@bücher.example"); got != "info@xn--bcher-kva.example" {
		t.Errorf("got %q", got)
	}
	if got, _ := path("li@[ipv6:2001:db8::1]"); got != "li@[IPv6:2001:db8::1]" {
		t.Errorf("got %q", got)
	}
	for _, bad := range []string{"a", "@b", "a@", "a b@c.example", "a@b> SIZE=1", "a@b\r\nRSET", "a\x00@b", `"a@b`, "<a@b>", strings.Repeat("a", 400) + "@b"} {
		if got, err := path(bad); err == nil {
			t.Errorf("%q is taken as %q", bad, got)
		}
	}
}
