package mailbox

import (
	"context"
	"crypto/tls"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// Report is what Check found.
type Report struct {
	Encryption   string   // "TLS 1.3"; "none"
	Capabilities []string // of the server, sorted
	Idle         bool     // new messages are told at once; else they are found by polling
	Messages     uint32   // in the folder
	Folders      []string // of the mailbox, sorted; at most 1,000
	Sent         string   // the folder with the owner's replies; "" if none was found
}

// Check tries a mailbox: connection, certificate, login, folder. Its error is a sentence that says what to do. A folder of
// sent mail that is named in cfg and not there is an error; one that cannot be found by itself is not.
func Check(ctx context.Context, cfg Config) (Report, error) {
	cfg = cfg.withDefaults()
	opts := Options{}.withDefaults()
	r, err := check(ctx, &cfg, &opts)
	if err != nil && ctx.Err() != nil {
		err = troublef(err, "%s port %d took too long: %v", cfg.Host, cfg.Port, ctx.Err())
	}
	return r, err
}

func check(ctx context.Context, cfg *Config, opts *Options) (r Report, err error) {
	c, b, err := enter(ctx, cfg, opts)
	if err != nil {
		return r, err
	}
	defer c.close()
	r.Messages, r.Idle, r.Encryption = b.messages, !c.noIdle, c.encryption()
	for name := range c.caps {
		r.Capabilities = append(r.Capabilities, plain(string(name)))
	}
	slices.Sort(r.Capabilities)
	folders, err := c.folders()
	for _, f := range folders {
		r.Folders = append(r.Folders, f.Mailbox)
	}
	slices.Sort(r.Folders)
	if cfg.Sent == "" || cfg.Sent == "auto" {
		r.Sent = sent(folders)
		return r, nil // what is asked of the server only for this may fail
	}
	if err != nil {
		return r, err
	}
	if !slices.Contains(r.Folders, cfg.Sent) {
		return r, troublef(nil, "there is no folder %q at %s: set imap.sent to one of %s", cfg.Sent, cfg.Host, plain(strings.Join(r.Folders, ", ")))
	}
	r.Sent = cfg.Sent
	return r, nil
}

// enter logs in and opens the folder. The caller closes the connection.
func enter(ctx context.Context, cfg *Config, opts *Options) (*connection, box, error) {
	c, err := connect(ctx, cfg, opts)
	if err != nil {
		return nil, box{}, err
	}
	var b box
	if err = c.login(); err == nil {
		err = c.identify()
	}
	if err == nil {
		b, err = c.open(cfg.Folder)
	}
	if err != nil {
		c.close()
		return nil, b, err
	}
	return c, b, nil
}

// encryption names the TLS version.
func (c *connection) encryption() string {
	if conn, ok := c.line.Conn.(*tls.Conn); ok {
		return tls.VersionName(conn.ConnectionState().Version)
	}
	return "none"
}

const maxFolders = 1000

func (c *connection) folders() (folders []*imap.ListData, err error) {
	options := &imap.ListOptions{
		// RFC 6154 §2: servers may tell \Sent only when asked, and may be asked only if they know how.
		ReturnSpecialUse: c.caps.Has(imap.CapSpecialUse) && c.caps.Has(imap.CapListExtended),
	}
	err = c.command("list its folders", 4*small, func() error {
		cmd := c.client.List("", "*", options)
		for f := cmd.Next(); f != nil; f = cmd.Next() {
			if len(folders) < maxFolders {
				folders = append(folders, f)
			}
		}
		return cmd.Close()
	})
	return folders, err
}

// sentNames are what the folder of sent mail is called where servers do not mark it.
var sentNames = []string{"sent", "sent messages", "sent items", "sent mail", "已发送", "已发送邮件", "已发邮件", "寄件備份", "gesendet", "gesendete elemente", "envoyés", "enviados"}

// sent finds the folder marked \Sent (RFC 6154 §2), else one that is called so.
func sent(folders []*imap.ListData) string {
	for _, f := range folders {
		if slices.ContainsFunc(f.Attrs, func(a imap.MailboxAttr) bool { return strings.EqualFold(string(a), string(imap.MailboxAttrSent)) }) {
			return f.Mailbox
		}
	}
	for _, name := range sentNames {
		for _, f := range folders {
			leaf := f.Mailbox
			if f.Delim != 0 {
				leaf = leaf[strings.LastIndex(leaf, string(f.Delim))+1:]
			}
			if strings.EqualFold(leaf, name) {
				return f.Mailbox
			}
		}
	}
	return ""
}
