package mailbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// wait returns when there may be something new: when the server says so, or when it is time to look anyway. In IDLE
// (RFC 2177) the server speaks by itself, but a connection may die and an IDLE may be dropped without a word; go-imap
// notices neither, and renews an IDLE only each 28 minutes. So it is ended here at each poll, and a NOOP shows that the
// server lives and makes it look.
//
// Nothing is lost between: what comes while no IDLE runs is told in the answers to other commands or at the next IDLE's
// beginning, and stays in news until it is looked for.
func (c *connection) wait(ctx context.Context) error {
	timer := time.NewTimer(min(c.cfg.Poll, renewal()))
	defer timer.Stop()
	var idle *imapclient.IdleCommand
	if !c.noIdle {
		var refused *imap.Error
		err := c.ping("begin IDLE", func() (err error) {
			idle, err = c.client.Idle()
			return err
		})
		if c.noIdle = errors.As(err, &refused); err != nil && !c.noIdle {
			return err
		}
	}
	quiet := false
	select {
	case <-c.news:
	case <-timer.C:
		quiet = true
	case <-c.client.Closed():
		return troublef(nil, "%s closed the connection", c.cfg.Host)
	case <-ctx.Done():
		return ctx.Err()
	}
	if idle != nil {
		err := c.ping("end IDLE", func() error {
			if err := idle.Close(); err != nil {
				return err
			}
			return idle.Wait()
		})
		if err != nil {
			return err
		}
	}
	if !quiet {
		return nil
	}
	return c.ping("answer NOOP", func() error { return c.client.Noop().Wait() })
}

// renewal is how long one IDLE lasts at most, five to nine minutes: some servers and many routers forget a quiet
// connection after ten.
func renewal() time.Duration {
	return 5*time.Minute + rand.N(4*time.Minute)
}
