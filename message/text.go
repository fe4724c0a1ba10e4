package message

import (
	"slices"
	"strings"
	"unicode"
)

// cleanText gives text line ends of one kind, no control characters and a capped length.
func cleanText(s string) string {
	s = strings.ReplaceAll(capBytes(s, maxText+1024), "\r\n", "\n")
	if strings.IndexFunc(s, unclean) >= 0 {
		s = strings.Map(func(r rune) rune {
			switch {
			case r == 0xa0:
				return ' '
			case unclean(r):
				return -1
			}
			return r
		}, s)
	}
	s = strings.TrimRightFunc(s, unicode.IsSpace)
	for { // blank lines at the top go, the first line's indentation stays
		line, rest, more := strings.Cut(s, "\n")
		if !more || strings.TrimSpace(line) != "" {
			return capBytes(s, maxText)
		}
		s = rest
	}
}

func unclean(r rune) bool {
	return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r <= 0xa0 || r == 0xfeff || r == 0x200b
}

// newText keeps what the writer newly wrote: quoted lines go, and all from a signature, an attribution or an enclosed header on. An
// attribution that ">" lines follow takes only those with it, for the answer may stand below or between them.
func newText(text string) string {
	lines := strings.Split(text, "\n")
	kept := make([]string, 0, len(lines))
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if strings.HasPrefix(line, ">") {
			continue
		}
		if line == "--" || lines[i] == "-- " || originalMarker(line) || headerBlock(lines[i:]) {
			break
		}
		if n := attribution(lines[i:]); n > 0 {
			if !strings.HasPrefix(firstText(lines[i+n:]), ">") {
				break
			}
			i += n - 1
			continue
		}
		kept = append(kept, lines[i])
	}
	for len(kept) > 0 && closing(kept[len(kept)-1]) {
		kept = kept[:len(kept)-1]
	}
	return strings.Trim(strings.Join(kept, "\n"), "\n ")
}

func firstText(lines []string) string {
	for _, l := range lines {
		if l = strings.TrimSpace(l); l != "" {
			return l
		}
	}
	return ""
}

// deviceLines are what programs put under a letter, in lower case.
var deviceLines = []string{
	"sent from my ", "sent from outlook", "sent from yahoo", "sent from mail for", "sent via ", "get outlook for", "发自我的", "來自我的", "来自我的", "发自", "从我的",
	"從我的", "由我的", "傳送自", "发送自", "从 windows", "从qq邮箱", "获取outlook", "获取 outlook", "获取适用于", "von meinem ", "gesendet von ", "envoyé de mon",
	"envoyé depuis", "enviado desde mi", "enviado do meu", "inviato da ", "verstuurd vanaf", "отправлено с ", "iphoneから送信",
}

// closing reports whether a last line of a letter is not its writer's: empty, a ruled line, a device's advertisement.
func closing(line string) bool {
	line = strings.ToLower(strings.Trim(line, " \t_-*=—\u3000"))
	if line == "" {
		return true
	}
	if len(line) < 100 {
		for _, d := range deviceLines {
			if strings.HasPrefix(line, d) {
				return true
			}
		}
	}
	return false
}

// How attributions end, and the verbs that a name may follow.
var (
	wroteLast = []string{"wrote", "writes", "写道", "寫道", "schrieb", "a écrit", "escribió", "ha scritto", "escreveu", "написал", "написал(а)", "пишет", "のメール", "napisał", "napisał(a)"}
	wroteThen = []string{"schrieb ", "schreef ", "skrev ", "kirjoitti "}
)

var attributionStarts = []string{"on ", "在", "於", "于", "am ", "le ", "el ", "il ", "em ", "op ", "den ", "dne ", "w dniu "}

// attribution reports how many lines "On …, … wrote:" takes at the start of lines, or 0.
func attribution(lines []string) int {
	if !startsAttribution(lines[0]) {
		return 0
	}
	joined := ""
	for n := 1; n <= min(3, len(lines)); n++ {
		line := strings.TrimSpace(lines[n-1])
		if line == "" || len(joined)+len(line) > 500 || n > 1 && startsAttribution(line) && !strings.Contains(line, "@") {
			return 0
		}
		joined += line + " "
		if !strings.HasSuffix(line, ":") && !strings.HasSuffix(line, "：") {
			continue
		}
		if saysWrote(strings.ToLower(joined)) {
			return n
		}
		return 0
	}
	return 0
}

func saysWrote(line string) bool {
	if !strings.ContainsAny(line, "0123456789@") {
		return false
	}
	last := strings.TrimRight(line, " :：")
	return slices.ContainsFunc(wroteLast, func(w string) bool { return strings.HasSuffix(last, w) }) ||
		slices.ContainsFunc(wroteThen, func(w string) bool { return strings.Contains(line, w) })
}

func startsAttribution(line string) bool {
	line = strings.TrimSpace(line)
	if line == "" || len(line) > 400 {
		return false
	}
	if line[0] >= '0' && line[0] <= '9' || strings.Contains(line, "@") || strings.Contains(line, "于2") || strings.Contains(line, "于 2") {
		return true
	}
	head := strings.ToLower(capBytes(line, 16))
	for _, s := range attributionStarts {
		if strings.HasPrefix(head, s) {
			return true
		}
	}
	return false
}

var originalMarkers = []string{
	"original message", "original mail", "original appointment", "forwarded message", "forwarded by", "原始邮件", "原始郵件", "原邮件", "邮件原件", "原始信息",
	"转发的邮件", "转发邮件", "轉寄郵件", "回复的原邮件", "转发的原邮件", "回复的邮件", "ursprüngliche nachricht", "originalnachricht", "weitergeleitete nachricht",
	"message d'origine", "message original", "message transféré", "mensaje original", "mensaje reenviado", "messaggio originale", "messaggio inoltrato",
	"mensagem original", "mensagem encaminhada", "oorspronkelijk bericht", "doorgestuurd bericht", "元のメッセージ", "исходное сообщение", "пересылаемое",
}

var forwardLines = wordSet("beginforwardedmessage: 开始转发的邮件： 开始转发的邮件: 以下是转发的邮件： anfangderweitergeleitetennachricht: débutdumessageréexpédié: iniziomessaggioinoltrato:")

// originalMarker recognises "-----Original Message-----" and its kin.
func originalMarker(line string) bool {
	if !strings.HasPrefix(line, "-") && !strings.HasPrefix(line, "—") {
		last, _ := strings.CutSuffix(line, ":")
		return len(line) < 80 && (len(last) < len(line) || strings.HasSuffix(line, "：")) && forwardLines[strings.ToLower(strings.ReplaceAll(line, " ", ""))]
	}
	inner := strings.ToLower(strings.Trim(line, "-— \t"))
	for _, m := range originalMarkers {
		if strings.HasPrefix(inner, m) {
			return true
		}
	}
	return false
}

// Labels of a header that mail programs enclose in a reply, in lower case.
var (
	fromLabels = wordSet("from 发件人 寄件者 寄件人 von de da van från fra od от 差出人 보낸")
	sentLabels = wordSet("sent 发送时间 发送日期 日期 寄件日期 傳送時間 時間 时间 date gesendet datum envoyé enviado fecha inviato data verzonden skickat дата отправлено 送信日時")
	restLabels = wordSet("to 收件人 收件者 cc 抄送 副本 subject 主题 主題 主旨 an à para a aan betreff objet asunto oggetto assunto onderwerp till кому тема 宛先 件名")
)

// headerBlock recognises "From: … Sent: … To: … Subject: …" at the start of lines: at least two more labels within six lines, and an
// address or a subject among them, lest somebody's "From: Shanghai To: Hamburg" be taken for it.
func headerBlock(lines []string) bool {
	if !fromLabels[label(lines[0])] {
		return false
	}
	others, address := 0, strings.Contains(lines[0], "@")
	for _, line := range lines[1:min(len(lines), 9)] {
		l := label(line)
		if sentLabels[l] || restLabels[l] {
			others++
		}
		address = address || strings.Contains(line, "@") || l == "subject" || l == "主题" || l == "主旨" || l == "betreff"
	}
	return others >= 2 && address
}

// label returns what stands before a line's first colon (or, in 163's tables, bar), in lower case and without marks of emphasis.
func label(line string) string {
	line = strings.TrimLeft(line, " \t*|")
	head := capBytes(line, 40)
	end := strings.IndexByte(head, ':')
	if end < 0 {
		end = max(strings.Index(head, "："), strings.IndexByte(head, '|'))
	}
	if end <= 0 {
		return ""
	}
	l := strings.Trim(line[:end], " \t*\u3000")
	return strings.ToLower(strings.ReplaceAll(strings.ReplaceAll(l, " ", ""), "\u3000", ""))
}
