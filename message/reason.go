package message

import "strings"

// reasons tell from a mail system's words why it refused. The first line that has a phrase wins, so the order matters: what speaks of us
// (relaying, authentication, our address) goes before what speaks of the recipient, the clear before the general.
var reasons = []struct {
	reason  string
	phrases []string
}{
	{"relaying", []string{"relay access denied", "relaying denied", "relay denied", "relaying not allowed", "not permitted to relay", "not allowed to relay", "configured to relay",
		"unable to relay", "do not relay", "mail relay", "no relaying", "relaying is prohibited", "relay not permitted", "不允许中继", "拒绝转发"}},
	{"auth-failure", []string{"dmarc", "spf check", "spf fail", "spf record", "sender policy framework", "dkim", "unauthenticated", "authentication information", "pass authentication",
		"authentication required", "authentication fail", "auth required", "not authenticated", "spf验证", "未通过验证"}},
	{"policy", []string{"after mail from", "in reply to mail from", "sender rejected", "sender address rejected", "may not exist, or", "可能不存在", "multiple addresses in from",
		"doesn't accept mail from", "not accepting mail from"}},
	{"mailbox-full", []string{"mailbox full", "mailbox is full", "mailbox for user is full", "quota exceeded", "over quota", "overquota", "over its quota", "exceeded storage", "exceeds quota", "exceeded quota",
		"exceeded his", "exceed quota", "disk quota", "storage limit", "storage space", "storage quota", "mailbox size limit", "out of storage", "folder is full", "inbox is full", "mailbox quota", "mailbox has exceeded",
		"quota full", "quota violation", "insufficient system storage", "邮箱已满", "空间已满", "空间不足", "超出配额", "容量已满", "容量不足", "信箱已满", "信箱已滿", "郵箱已滿"}},
	{"too-large", []string{"message too big", "message too large", "too large", "size exceeds", "size limit", "exceeds size", "message size", "maximum size", "exceeds the maximum", "larger than",
		"message exceeds", "邮件过大", "邮件太大", "大小超过", "大小超出", "超过大小", "超过限制大小", "郵件過大"}},
	{"content", []string{"blacklisted url", "because its content", "message content rejected", "virus detected"}},
	{"host-unknown", []string{"host unknown", "unknown host", "host not found", "domain not found", "domain does not exist", "domain doesn't exist", "no such domain", "domain name not found", "domain unknown",
		"unknown domain", "nxdomain", "invalid domain", "any host named", "find a mail exchanger", "name or service not known", "no mx", "null mx", "does not accept mail", "doesn't receive email",
		"doesn't accept mail", "unrouteable", "unroutable", "name service error", "domain couldn't be found", "domain could not be found", "not accepting network messages",
		"域名不存在", "域名无法解析", "域名解析失败", "找不到域名", "找不到收件人域名", "没有mx记录", "無法找到網域"}},
	{"user-unknown", []string{"user unknown", "unknown user", "no such user", "no such recipient", "no such mailbox", "no such address", "no such account", "no such person", "unknown recipient",
		"recipient unknown", "unknown address", "unknown mailbox", "mailbox unknown", "unknown local", "addressee unknown", "user is unknown", "not known here", "not a valid", "not a known",
		"not exist", "n't exist", "no mailbox", "invalid recipient", "invalid mailbox", "invalid user", "unable to find recipient", "bad destination mailbox", "recipient not found", "user not found", "mailbox not found",
		"account not found", "address not found", "recipnotfound", "couldn't be found", "could not be found", "wasn't found", "was not found", "not listed in", "recipient name is not recognized",
		"n't have a", "does not have a", "no longer", "inactive", "disabled", "discontinued", "deactivated", "closed", "recipient address rejected: access denied", "recipient address rejected.", "rejected recipient",
		"不存在", "无此用户", "没有这个用户", "查无此", "找不到收件人", "未找到收件人", "无效的收件人", "已停用", "已被停用", "被禁用", "已禁用", "已注销", "已被注销", "已失效", "無此", "沒有此"}},
	{"blocked", []string{"spamhaus", "blacklist", "black list", "blocklist", "block list", "blocked", "bloquee", "banned", "dnsbl", "rbl", "reputation", "client host", "ip address", "invalid ip", "adresse ip",
		"ptr", "reverse dns", "ip name lookup", "rate limit", "frequency limit", "too many", "greylist", "graylist", "service refuse", "service not available", "not accepting connections", "refused to talk",
		"access denied", "daily relay quota", "throttl", "suspicious", "temporarily deferred", "黑名单", "频率", "频繁", "发信ip", "ip被", "限制发信", "頻率"}},
	{"content", []string{"spam", "virus", "malware", "ube,", "content rejected", "phishing", "bulk mail", "unsolicited", "attachment", "message filtered", "junk", "垃圾", "病毒", "内容", "反垃圾"}},
	{"expired", []string{"timed out", "timeout", "time out", "too long", "expired", "not responding", "unable to connect", "our requests to connect", "connection refused", "connection reset", "network is unreachable",
		"no route", "gave up", "unable to deliver in", "failing for a long time", "could not connect", "not reachable", "unreachable", "was not delivered within", "socket error", "retry time", "超时", "无法连接", "連線", "连接失败"}},
	{"policy", []string{"policy", "policies", "not authorized", "not allowed", "prohibited", "permission", "not permitted", "rejected", "denied", "refused", "header error", "does not support tls", "starttls",
		"not compliant", "拒绝", "拒收", "策略", "拒絕"}},
}

// reasonOf names the reason for a refusal, from its words or else its status; "other" if neither tells.
func reasonOf(words, status string) string {
	words = strings.Join(strings.Fields(strings.ToLower(capBytes(words, 16<<10))), " ")
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
