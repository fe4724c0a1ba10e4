package message

import "strings"

// reasonOf names the reason for a refusal, from its words or else its status; "other" if neither tells.
func reasonOf(words, status string) string {
	words = strings.Join(strings.Fields(strings.ToLower(capBytes(words, maxReport))), " ")
	for _, r := range reasons {
		if containsAny(words, r.phrases) {
			return r.reason
		}
	}
	_, detail, _ := strings.Cut(status, ".")
	switch subject, _, _ := strings.Cut(detail, "."); { // RFC 3463 §3
	case strings.HasPrefix(status, "2."):
		return "other"
	case detail == "1.1", detail == "1.3", detail == "1.6", detail == "2.1":
		return "user-unknown"
	case detail == "1.2", detail == "1.10", detail == "4.4":
		return "host-unknown"
	case detail == "2.2":
		return "mailbox-full"
	case detail == "2.3", detail == "3.4":
		return "too-large"
	case detail == "4.1", detail == "4.2", detail == "4.7", subject == "4" && status[0] == '4':
		return "expired"
	case subject == "6":
		return "content"
	case detail == "7.20", detail == "7.21", detail == "7.22", detail == "7.23", detail == "7.24", detail == "7.25", detail == "7.26":
		return "auth-failure"
	case subject == "7", detail == "1.7", detail == "1.8":
		return "policy"
	}
	return "other"
}

// dead reports whether an address will never take mail again. The words must say so and nothing speak against it: not a passing trouble, not a
// status of class 4, not a policy's status on the words "user unknown" (a filter that hides itself), not two Japanese carriers that
// say "unknown user" of living people whose own filter refused.
func dead(b *Bounce, words string) bool {
	switch {
	case b.Reason != "user-unknown" && b.Reason != "host-unknown":
		return false
	case b.Action != "failed", strings.HasPrefix(b.Status, "4."), strings.HasPrefix(b.Status, "2."):
		return false
	case strings.Contains(words, "try again later"), strings.Contains(words, "found, try again"), strings.Contains(words, "temporar"):
		return false
	case b.Reason == "user-unknown" && (strings.HasPrefix(b.Status, "5.7.") || strings.Contains(words, " 5.7.1 ")):
		return false
	case strings.Contains(words, "mfsmax."), strings.Contains(words, "550 : user unknown"):
		return false
	}
	return true
}
