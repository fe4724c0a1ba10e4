package mailbox

import (
	"context"

	"github.com/emersion/go-imap/v2"
)

// Find says whether the watched folder holds a message with a Message-ID. It reads only.
func Find(ctx context.Context, cfg Config, messageID string) (bool, error) {
	cfg = cfg.withDefaults()
	opts := Options{}.withDefaults()
	c, err := connect(ctx, &cfg, &opts)
	if err != nil {
		return false, err
	}
	defer c.close()
	if err := c.login(); err != nil {
		return false, err
	}
	if err := c.identify(); err != nil {
		return false, err
	}
	if _, err := c.open(cfg.Folder); err != nil {
		return false, err
	}
	found := false
	err = c.command("search for a message", small, func() error {
		criteria := &imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Message-ID", Value: messageID}}}
		data, err := c.client.UIDSearch(criteria, nil).Wait()
		found = err == nil && len(data.AllUIDs()) > 0
		return err
	})
	return found, err
}
