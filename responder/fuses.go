package responder

import (
	"hash/fnv"
	"strconv"
	"strings"
	"unicode"

	"github.com/returnpost/returnpost/message"
	"github.com/returnpost/returnpost/store"
)

// publicProviders give mailboxes to anybody, so their domain says nothing about
// the people who write from it: there the domain's fuse counts only letters
// that are nearly the same, and one sender never mutes the others.
var publicProviders = map[string]bool{
	"qq.com": true, "foxmail.com": true, "163.com": true, "126.com": true, "yeah.net": true, "sina.com": true,
	"sina.cn": true, "sohu.com": true, "aliyun.com": true, "139.com": true, "189.cn": true, "tom.com": true, "21cn.com": true,
	"gmail.com": true, "googlemail.com": true, "outlook.com": true, "hotmail.com": true, "live.com": true, "msn.com": true,
	"yahoo.com": true, "yahoo.co.uk": true, "yahoo.co.jp": true, "ymail.com": true, "icloud.com": true, "me.com": true,
	"mac.com": true, "aol.com": true, "proton.me": true, "protonmail.com": true, "pm.me": true, "gmx.com": true, "gmx.de": true,
	"gmx.net": true, "web.de": true, "t-online.de": true, "orange.fr": true, "free.fr": true, "laposte.net": true, "libero.it": true,
	"mail.ru": true, "yandex.ru": true, "yandex.com": true, "naver.com": true, "daum.net": true, "hanmail.net": true,
	"zoho.com": true, "fastmail.com": true, "mail.com": true, "comcast.net": true, "verizon.net": true, "att.net": true,
	"docomo.ne.jp": true, "ezweb.ne.jp": true, "softbank.ne.jp": true,
}

func public(domain string) bool { return publicProviders[strings.ToLower(domain)] }

// fuses are what an acknowledgement to an address has to claim before it may
// go out: by its recipient, over all mailboxes; by the recipient's organisation
// and in all, for each mailbox.
func (p *Policy) fuses(to message.Address, m *message.Message) []store.Fuse {
	domain := organisation(to.Domain())
	if public(to.Domain()) {
		domain = to.Domain() + " " + gist(m)
	}
	all := [...]store.Fuse{
		{Key: "sender " + to.Key(), N: p.PerSender.N, Per: p.PerSender.Per, Reason: string(LimitSender)},
		{Key: p.Mailbox + " domain " + domain, N: p.PerDomain.N, Per: p.PerDomain.Per, Reason: string(LimitDomain)},
		{Key: p.Mailbox + " total", N: p.Total.N, Per: p.Total.Per, Reason: string(LimitTotal)},
	}
	set := make([]store.Fuse, 0, len(all))
	for _, f := range all {
		if f.N > 0 {
			set = append(set, f)
		}
	}
	return set
}

// gist is the same for letters that differ only in numbers, spaces and case,
// as a robot's letters do.
func gist(m *message.Message) string {
	text := m.NewText
	if text == "" {
		text = m.Subject
	}
	h, n := fnv.New64a(), 0
	var b [4]byte
	for _, r := range text {
		if !unicode.IsLetter(r) {
			continue
		}
		r = unicode.ToLower(r)
		b[0], b[1], b[2], b[3] = byte(r), byte(r>>8), byte(r>>16), 0
		h.Write(b[:])
		if n++; n == 400 {
			break
		}
	}
	return strconv.FormatUint(h.Sum64(), 36)
}
