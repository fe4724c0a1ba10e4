package message

import (
	"slices"
	"strings"
)

// The words of machines, and of people among them, in many languages: everything in lower case, as it is compared. Where a list grows, the
// corpus gets a file on both sides of it.

// phrases splits a list at its bars.
func phrases(list string) []string {
	parts := strings.Split(list, "|")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// containsAny and startsAny look for phrases anywhere in s, and at its start as whole words.
func containsAny(s string, list []string) bool {
	return slices.ContainsFunc(list, func(p string) bool { return strings.Contains(s, p) })
}

func startsAny(s string, list []string) bool {
	return slices.ContainsFunc(list, func(p string) bool {
		rest, ok := strings.CutPrefix(s, p)
		return ok && (rest == "" || !isLetter(rest[0]) || !isLetter(p[len(p)-1]))
	})
}

func wordSet(words string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(words) {
		set[w] = true
	}
	return set
}

// What mail programs put before the subject of a reply or a forward.
var replyPrefixes = wordSet(`re fw fwd aw wg sv vs vb antw doorst rv rif ri i r tr res enc odp pd ynt ilt atb bls 回复 回覆 答复 答覆 转发 轉發 转寄 轉寄
	返信 転送 회신 답장 전달 отв ответ пересл απ σχετ πρθ השב הועבר رد`)

// Beginnings of subjects that vacation responders write. Only the beginning counts: "Re: Automatic reply" is a person's answer to one.
var officePrefixes = phrases(`automatic reply | automated reply | automatic response | automated response | auto reply | auto-reply |
	autoreply | auto response | auto-response | autoresponse | autoresponder | out of office | out of the office | out-of-office |
	vacation reply | vacation message | away from my mail | 自动回复 | 自动答复 | 自動回覆 | 自動回復 | 休假 | 外出自动回复 |
	不在办公室 | automatische antwort | abwesenheitsnotiz | abwesenheitsmeldung | abwesenheitsnachricht | abwesenheit |
	réponse automatique | reponse automatique | absence du bureau | absent du bureau | absente du bureau | message d'absence |
	respuesta automática | respuesta automatica | fuera de la oficina | fuera de oficina | ausencia temporal |
	risposta automatica | fuori sede | fuori ufficio | resposta automática | resposta automatica | fora do escritório |
	ausência temporária | automatisch antwoord | automatische reactie | afwezigheidsbericht | niet op kantoor | 自動応答 |
	自動返信 | 不在通知 | 不在: | 不在： | автоматический ответ | автоответ | odpowiedź automatyczna | automatiskt svar |
	automatisk svar | autosvar | automaattinen vastaus | 자동 회신 | 자동회신 | 부재중 | otomatik yanıt | automatická odpověď`)

// What may follow such a beginning, besides the end and a separator; "Out of office supplies?" is a person's.
var officeFollows = phrases(`re | aw | from | until | till | through | reply | response | message | notification | notice |
	autoreply | auto-reply | auto reply | bis | vom | ab | for | 中 | 通知 | 消息 | jusqu | du | hasta | fino`)

// Whole local parts of senders that are no person.
var systemLocals = wordSet(`mailer-daemon mailerdaemon mail-daemon postmaster post_master listserv majordomo root daemon bounces`)

// Spellings of "no reply", without their dots and dashes.
var noReplies = wordSet(`noreply noreplies donotreply donotrespond dontreply noresponse notreply noresponder nocontestar naoresponda naoresponder
	nepasrepondre nepasrépondre nonrispondere nichtantworten keineantwort nietbeantwoorden`)

// Requests to leave that may stand alone in a body under any subject, without blanks and courtesies.
var clearRequests = wordSet(`unsubscribe unsubscribeme pleaseunsubscribe unsubscribed optout removeme removemefromyourlist removemefromthislist
	takemeoffyourlist takemeoffthislist unsubscribefromthislist unsubscribefromyourlist unsubscribemefromyourlist
	unsubscribemefromthislist unsubscribemenow 退订 退訂 我要退订 申请退订 取消订阅 取消訂閱 我要取消订阅 退订邮件 邮件退订
	我想退订 不要再发邮件给我 请不要再给我发邮件 不要再发了 别再发了 abbestellen abmelden newsletterabbestellen
	newsletterabmelden désabonner desabonner désinscription desinscription désabonnezmoi dardebaja darsedebaja
	cancelarsuscripción cancelarsuscripcion disiscrivimi disiscrizione cancellami descadastrar cancelarinscrição afmelden
	uitschrijven отписаться отписка отпишитеменя 配信停止 購読解除 수신거부`)

// Requests that may mean something else ("stop" an order) unless the subject says nothing else.
var vagueRequests = wordSet(`stop remove quit td 停止 baja`)

// What people put around a request.
var courtesies = phrases(`please | pls | thank you | thanks | hello | hi | dear sirs | bitte | danke | merci | por favor | gracias | 您好 | 你好 |
	请帮我 | 请 | 谢谢 | 拜托 | 麻烦`)

// What programs put under a letter.
var deviceLines = phrases(`sent from my | sent from outlook | sent from yahoo | sent from mail for | sent via | get outlook for | 发自我的 | 來自我的 |
	来自我的 | 发自 | 从我的 | 從我的 | 由我的 | 傳送自 | 发送自 | 从 windows | 从qq邮箱 | 获取outlook | 获取 outlook |
	获取适用于 | von meinem | gesendet von | envoyé de mon | envoyé depuis | enviado desde mi | enviado do meu | inviato da |
	verstuurd vanaf | отправлено с | iphoneから送信 | 签名由 | 由网易邮箱大师`)

// How the line over a quote begins ("On …, … wrote:"), and how it ends; a name may follow the last of its verbs.
var attributionStarts = phrases(`on | 在 | 於 | 于 | am | le | el | il | em | op | den | dne | w dniu`)

var wroteLast = phrases(`wrote | writes | 写道 | 寫道 | schrieb | a écrit | escribió | ha scritto | escreveu | написал | написал(а) | пишет |
	のメール | napisał | napisał(a)`)

var wroteThen = phrases(`schrieb | schreef | skrev | kirjoitti`)

// What stands between dashes over an enclosed message.
var originalMarkers = phrases(`original message | original mail | original appointment | forwarded message | forwarded by | 原始邮件 | 原始郵件 | 原邮件 |
	邮件原件 | 原始信息 | 转发的邮件 | 转发邮件 | 轉寄郵件 | 回复的原邮件 | 转发的原邮件 | 回复的邮件 | ursprüngliche nachricht |
	originalnachricht | weitergeleitete nachricht | message d'origine | message original | message transféré | mensaje original |
	mensaje reenviado | messaggio originale | messaggio inoltrato | mensagem original | mensagem encaminhada |
	oorspronkelijk bericht | doorgestuurd bericht | 元のメッセージ | исходное сообщение | пересылаемое`)

// Lines over a forwarded message, without blanks.
var forwardLines = wordSet(`beginforwardedmessage: 开始转发的邮件： 开始转发的邮件: 以下是转发的邮件： anfangderweitergeleitetennachricht:
	débutdumessageréexpédié: iniziomessaggioinoltrato:`)

// Labels of a header that mail programs enclose in a reply.
var (
	fromLabels = wordSet(`from 发件人 寄件者 寄件人 von de da van från fra od от 差出人 보낸`)
	sentLabels = wordSet(`sent 发送时间 发送日期 已发送 日期 寄件日期 傳送時間 時間 时间 date gesendet datum envoyé enviado fecha inviato data verzonden
		skickat дата отправлено 送信日時`)
	restLabels = wordSet(`to 收件人 收件者 cc 抄送 副本 subject 主题 主題 主旨 an à para a aan betreff objet asunto oggetto assunto onderwerp till
		кому тема 宛先 件名`)
)

// Words so common that a few of them tell a language in a line too short for statistics.
var commonWords = map[string]map[string]bool{
	"en": wordSet(`the and is are you your my i we it this that have has not for with when what where please hello hi dear thanks can could
		would order`),
	"de": wordSet(`der die das und ist sind ich wir sie mein meine nicht ein eine mit für wann wo wie bitte hallo danke kann können habe
		bestellung`),
	"fr": wordSet(`le la les et est je nous vous mon ma mes pas un une avec pour quand où bonjour merci commande est-ce avez c'est votre`),
	"es": wordSet(`el la los y es yo mi mis no un una con para cuándo dónde hola gracias pedido está por favor que mi quiero`),
	"it": wordSet(`il lo la e è sono mio mia non un una con per quando dove ciao grazie ordine buongiorno che vorrei`),
	"pt": wordSet(`o os as e é eu meu minha não um uma com para quando onde olá obrigado obrigada pedido que gostaria`),
	"nl": wordSet(`de het en is ik wij mijn niet een met voor wanneer waar hallo bedankt kan bestelling graag`),
	"ru": wordSet(`и не на я мы вы мой моя где когда это что уже с здравствуйте добрый день спасибо заказ`),
	"uk": wordSet(`і та не на я ми ви мій моє моя де коли це що вже з доброго дня дякую замовлення`),
}

// What subjects of bounces say.
var bounceSubjects = phrases(`undeliver | mail delivery failed | mail delivery failure | mail delivery system | mail delivery status | mail delivery error |
	mail delivery problem | delivery status notification | delivery notification | delivery failure | delivery failed |
	delivery report | delivery problem | delivery delay | delivery error | delivery has | failure notice | failed to deliver |
	failure delivery | returned mail | returned message | returned email | returning message | returned to sender | mail failure |
	mail system error | nondeliver | non-deliver | non deliver | not delivered | could not be delivered | could not send |
	could not deliver | can't be delivered | cannot be delivered | postmaster notify | delayed mail | error sending your mail |
	rejected mail | bounce | unzustellbar | nicht zugestellt | nicht zustellbar | zustellung | échec de la remise | non remis |
	non distribu | no se puede entregar | no entregado | devuelto | mancata consegna | não entregue | devolvid | niet bezorg |
	onbestelbaar | не доставлен | недоставлен | 配信不能 | 配信エラー | 送信できません | 不達 | 退信 | 退件 | 投递失败 |
	发送失败 | 無法傳送 | 投递状态 | 无法投递 | 无法送达 | 无法传递 | 未送达 | 未传递 | 未送達 | 未能送达 | 被退回 | 無法傳遞 |
	無法投遞 | 傳送失敗 | 傳遞失敗 | 寄送失敗 | 传递失败 | 投递延迟 | 延迟投递 | 传递已延迟`)

// What bounces say in their text.
var bounceWordings = phrases(`could not be delivered to | unable to deliver | wasn't able to deliver | was not delivered to | wasn't delivered to |
	did not reach the following recipient | could not deliver | couldn't be delivered | delivery to the following recipient |
	delivery has failed | error while attempting to deliver | undeliverable to | the following recipient(s) could not be reached |
	following addresses had | trouble delivering | could not be delivered | failed recipient | delivery failed |
	invalid user address | failed permanently | error message below | not relayed to | your message cannot be delivered |
	邮件被退回 | 退信原因 | 无法送达 | 无法投递 | 投递失败 | 发送失败 | 未能送达 | 无法发送到 | 無法傳遞 | 無法送達`)

// What a report says whose mail system will try again.
var delayedWordings = phrases(`(delay) | (delayed) | warning message only | will be retried | will retry | delivery is delayed | has been delayed |
	not yet been delivered | could not yet be delivered | still being attempted | will keep trying | continue to try |
	wird verzögert | 延迟投递 | 投递延迟 | 已延迟 | 将继续尝试 | 继续重试 | 继续投递 | 稍后重试`)

// Names under which mail systems write.
var mailSystems = phrases(`mail delivery s | mail system | delivery system | delivery subsystem | mailer-daemon | mailer daemon | postmaster |
	system administrator | mail administrator | mail gateway | mail router | 退信 | 邮件系统 | 系统管理员`)

// What goes before a report's list of recipients.
var announcements = phrases(`following recipient | following address | not delivered to: | could not be delivered to`)

// What goes before addresses that are not the recipients.
var notRecipients = phrases(`mail from | from: | from < | sent by | sender | contact | support | please | help | message-id | reply-to | return-path |
	http | generated from`)

// What goes before the returned message.
var originalStarts = phrases(`copy of the message | copy of your message | original message | the header of the original | unsent message follows |
	message headers follow | returned message | copy of the message header | message header follows | 邮件原文 | 原始邮件 |
	原邮件 | 原信`)

// reasons tell from a mail system's words why it refused. The first line that has a phrase wins, so the order matters: what speaks of us
// (relaying, authentication, our address) goes before what speaks of the recipient, the clear before the general.
var reasons = []struct {
	reason  string
	phrases []string
}{
	{"relaying", phrases(`relay access denied | relaying denied | relay denied | relaying not allowed | not permitted to relay | not allowed to relay |
		configured to relay | unable to relay | do not relay | mail relay | no relaying | relaying is prohibited |
		relay not permitted | 不允许中继 | 拒绝转发`)},
	{"auth-failure", phrases(`dmarc | spf check | spf fail | spf record | sender policy framework | dkim | unauthenticated | authentication information |
		pass authentication | authentication required | authentication fail | auth required | not authenticated | spf验证 |
		未通过验证`)},
	{"policy", phrases(`after mail from | in reply to mail from | sender rejected | sender address rejected | may not exist, or | 可能不存在 |
		multiple addresses in from | doesn't accept mail from | not accepting mail from | of sender | sender domain | sender verif |
		sender's domain | 发件人域名 | 发件人地址`)},
	{"blocked", phrases(`reverse dns | ptr record | no ptr | hostname for your ip`)},
	{"mailbox-full", phrases(`mailbox full | mailbox is full | mailbox for user is full | quota exceeded | over quota | overquota | over its quota |
		exceeded storage | exceeds quota | exceeded quota | exceeded his | exceed quota | disk quota | storage limit | storage space |
		storage quota | mailbox size limit | out of storage | folder is full | inbox is full | mailbox quota | mailbox has exceeded |
		quota full | quota violation | insufficient system storage | 邮箱已满 | 空间已满 | 空间不足 | 超出配额 | 容量已满 | 容量不足 |
		信箱已满 | 信箱已滿 | 郵箱已滿`)},
	{"too-large", phrases(`message too big | message too large | too large | size exceeds | size limit | exceeds size | message size | maximum size |
		exceeds the maximum | larger than | message exceeds | 邮件过大 | 邮件太大 | 大小超过 | 大小超出 | 超过大小 | 超过限制大小 |
		郵件過大`)},
	{"content", phrases(`blacklisted url | because its content | message content rejected | virus detected`)},
	{"host-unknown", phrases(`host unknown | unknown host | host not found | domain not found | domain does not exist | domain doesn't exist |
		no such domain | domain name not found | domain unknown | unknown domain | nxdomain | invalid domain | any host named |
		find a mail exchanger | name or service not known | no mx | null mx | does not accept mail | doesn't receive email |
		doesn't accept mail | unrouteable | unroutable | name service error | domain couldn't be found | domain could not be found |
		not accepting network messages | 域名不存在 | 域名无法解析 | 域名解析失败 | 找不到域名 | 找不到收件人域名 | 没有mx记录 |
		無法找到網域`)},
	{"user-unknown", phrases(`user unknown | unknown user | no such user | no such recipient | no such mailbox | no such address | no such account |
		no such person | unknown recipient | recipient unknown | unknown address | unknown mailbox | mailbox unknown | unknown local |
		addressee unknown | user is unknown | not known here | not a valid recipient | not a valid mailbox | not a valid user |
		not a valid email | not a valid address | not a known user | not exist | n't exist | no mailbox | invalid recipient |
		invalid mailbox | invalid user | unable to find recipient | bad destination mailbox | recipient not found | user not found |
		mailbox not found | account not found | address not found | recipnotfound | couldn't be found | could not be found |
		wasn't found | was not found | not listed in domino | not listed in public | not listed in name |
		recipient name is not recognized | user doesn't have | user does not have | no longer | inactive | is disabled |
		been disabled | account disabled | mailbox disabled | user disabled | disabled recipient | disabled user | discontinued |
		deactivated | account closed | been closed | is closed | recipient address rejected: access denied |
		recipient address rejected. | 不存在 | 无此用户 | 没有这个用户 | 查无此 | 找不到收件人 | 未找到收件人 | 无效的收件人 |
		已停用 | 已被停用 | 被禁用 | 已禁用 | 已注销 | 已被注销 | 已失效 | 無此 | 沒有此`)},
	{"blocked", phrases(`spamhaus | blacklist | black list | blocklist | block list | blocked | bloquee | banned | dnsbl | rbl | reputation |
		client host | ip address | invalid ip | adresse ip | ptr | reverse dns | ip name lookup | rate limit | frequency limit |
		too many | greylist | graylist | service refuse | service not available | not accepting connections | refused to talk |
		access denied | daily relay quota | throttl | suspicious | temporarily deferred | 黑名单 | 频率 | 频繁 | 发信ip | ip被 |
		限制发信 | 頻率`)},
	{"content", phrases(`spam | virus | malware | ube, | content rejected | phishing | bulk mail | unsolicited | attachment | message filtered | junk |
		垃圾 | 病毒 | 内容 | 反垃圾`)},
	{"expired", phrases(`timed out | timeout | time out | too long | expired | not responding | unable to connect | our requests to connect |
		connection refused | connection reset | network is unreachable | no route | gave up | unable to deliver in |
		failing for a long time | could not connect | not reachable | unreachable | was not delivered within | socket error |
		retry time | 超时 | 无法连接 | 連線 | 连接失败`)},
	{"policy", phrases(`policy | policies | not authorized | not allowed | prohibited | permission | not permitted | rejected | denied | refused |
		header error | does not support tls | starttls | not compliant | 拒绝 | 拒收 | 策略 | 拒絕`)},
}
