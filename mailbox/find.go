package mailbox

import (
	"context"

	"github.com/emersion/go-imap/v2"
)

// Find says whether the watched folder holds a message with a Message-ID. It reads only.
func Find(ctx context.Context, cfg Config, messageID string) (bool, error) {
	cfg = cfg.withDefaults()
	opts := Options{}.withDefaults()
	c, b, err := enter(ctx, &cfg, &opts)
	if err != nil {
		return false, err
	}
	defer c.close()
	items, err := c.search(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Message-ID", Value: messageID}}}, b.messages)
	return len(items) > 0, err
}
