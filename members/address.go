package members

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lengths in octets. RFC 5321 §4.5.3.1.1 and §4.5.3.1.2, and the path of §4.5.3.1.3 less its brackets.
const (
	maxLocal   = 64
	maxDomain  = 253
	maxAddress = 254
)

// NormalAddress checks a bare address and returns it with the domain in lower case. The local part stays as written:
// it is the receiving server's to interpret (RFC 5321 §2.4). International domains are kept as given.
// The error is a sentence.
func NormalAddress(s string) (string, error) {
	address := strings.TrimFunc(s, blank)
	if err := addressShape(address); err != nil {
		return "", err
	}
	at := strings.LastIndexByte(address, '@')
	local, domain := address[:at], strings.ToLower(address[at+1:])
	if err := checkLocal(local); err != nil {
		return "", fmt.Errorf("%q is not an address: %w", clip(address), err)
	}
	if err := checkDomain(domain); err != nil {
		return "", fmt.Errorf("%q is not an address: %w", clip(address), err)
	}
	if len(local)+1+len(domain) > maxAddress {
		return "", fmt.Errorf("%q is not an address: it is longer than %d characters", clip(address), maxAddress)
	}
	return local + "@" + domain, nil
}

// addressShape finds the mistakes of the whole: nothing there, a display name, a wide ＠, no @ at all.
func addressShape(address string) error {
	switch {
	case address == "":
		return errors.New("the address is empty")
	case !utf8.ValidString(address):
		return errors.New("the address is not valid UTF-8")
	case strings.ContainsAny(address, "<>") && !strings.HasPrefix(address, `"`):
		return fmt.Errorf("%q has a name or brackets around it: write the bare address, like li@example.com", clip(address))
	case strings.ContainsRune(address, '＠'):
		return fmt.Errorf("%q has a wide ＠: write a plain @", clip(address))
	case !strings.Contains(address, "@"):
		return fmt.Errorf("%q is not an address: it has no @", clip(address))
	}
	return nil
}

func checkLocal(local string) error {
	switch {
	case local == "":
		return errors.New("nothing stands before the @")
	case len(local) > maxLocal:
		return fmt.Errorf("the part before the @ is longer than %d characters", maxLocal)
	case local[0] == '"':
		return checkQuotedLocal(local)
	case local[0] == '.' || local[len(local)-1] == '.' || strings.Contains(local, ".."):
		return errors.New("a dot stands at the edge of the part before the @, or two in a row")
	}
	for _, r := range local {
		if !atext(r) && r != '.' {
			return fmt.Errorf("%q may not stand before the @", r)
		}
	}
	return nil
}

// atext is RFC 5322 §3.2.3, with the UTF8-non-ascii of RFC 6532 §3.2.
func atext(r rune) bool {
	if r >= utf8.RuneSelf {
		return unicode.IsGraphic(r) && !unicode.IsSpace(r)
	}
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
}

// checkQuotedLocal is the Quoted-string of RFC 5321 §4.1.2.
func checkQuotedLocal(local string) error {
	if len(local) < 3 || local[len(local)-1] != '"' {
		return errors.New("a quote before the @ is not closed")
	}
	inner := local[1 : len(local)-1]
	for i := 0; i < len(inner); i++ {
		switch c := inner[i]; {
		case c < ' ' || c == 0x7f:
			return errors.New("a control character stands in it")
		case c == '\\':
			if i++; i == len(inner) {
				return errors.New("a quote before the @ is not closed")
			}
		case c == '"':
			return errors.New("a quote stands inside the quotes before the @")
		}
	}
	return nil
}

func checkDomain(domain string) error {
	switch {
	case domain == "":
		return errors.New("nothing stands after the @")
	case domain[0] == '[':
		return errors.New("a number in brackets is no domain to write to")
	case strings.ContainsAny(domain, "。．"):
		return errors.New("the domain has a wide dot: write a plain one")
	case len(domain) > maxDomain:
		return fmt.Errorf("the domain is longer than %d characters", maxDomain)
	}
	labels := strings.Split(domain, ".")
	// A name without a dot is almost always a typo, except on the machine itself.
	if len(labels) == 1 && domain != "localhost" {
		return fmt.Errorf("the domain %q has no dot", domain)
	}
	for _, label := range labels {
		if err := checkLabel(label); err != nil {
			return err
		}
	}
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return fmt.Errorf("the domain ends in the number %q", last)
	}
	return nil
}

// checkLabel is RFC 1035 §2.3.1 as RFC 1123 §2.1 relaxed it; letters and marks of any script stand for an A-label.
func checkLabel(label string) error {
	switch {
	case label == "":
		return errors.New("the domain has a dot at its edge, or two in a row")
	case len(label) > 63:
		return errors.New("a part of the domain is longer than 63 characters")
	case label[0] == '-' || label[len(label)-1] == '-':
		return errors.New("a part of the domain begins or ends with a hyphen")
	}
	for _, r := range label {
		if r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) {
			return fmt.Errorf("%q may not stand in a domain", r)
		}
	}
	return nil
}

// blank is what clings to a value copied from a page or a spreadsheet.
func blank(r rune) bool {
	return unicode.IsSpace(r) || r == '\u200b' || r == '\u200c' || r == '\u200d' || r == '\u2060' || r == '\ufeff'
}

// clip keeps a hostile value from filling the report: one line's worth, on a character boundary.
func clip(s string) string {
	const most = 60
	n := 0
	for i := range s {
		if n == most {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
