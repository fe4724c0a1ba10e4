package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/returnpost/returnpost/e2e/servers"
	"github.com/returnpost/returnpost/internal/mailtest"
)

// connections is what the kill test's daemon has to the SMTP server, and so the most that one kill can leave in doubt.
const connections = 4

// customer writes letters, each from another person at another place.
func customer(run string) func(i int) []byte {
	date := time.Now().Format(time.RFC1123Z)
	return func(i int) []byte {
		return fmt.Appendf(nil, "From: Customer %d <c%d@%s-%d.example>\r\nTo: %s\r\nSubject: Question %d\r\nDate: %s\r\nMessage-ID: <%d.%s@customer.example>\r\n\r\n"+
			"Good morning,\r\nI have a question about order number %d, which I placed last week.\r\nWhen will it arrive?\r\n\r\nKind regards,\r\nCustomer %d\r\n",
			i, i, run, i, support, i, date, i, run, i, i)
	}
}

func TestKilledAtAnyInstant(t *testing.T) { killTest(t, 200, 4) }

// killTest lets n letters wait while the daemon is killed again and again, at random instants, and started again.
// At the end every letter has its acknowledgement; those who got it twice are at most as many as the connections that
// were open at the kills, each is recorded as resent from doubt, and got the same letter both times.
func killTest(t testing.TB, n, kills int) (twice int) {
	dovecot := servers.Dovecot(t, servers.DovecotOptions{})
	dovecot.AddUser(t, support, secret)
	sink, err := mailtest.StartSMTP(mailtest.SMTPOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	s := newShop(t, fmt.Sprintf("%s, connections: %d", plain(sink.Addr()), connections),
		box{Name: "support", Address: support, IMAP: login(plain(dovecot.IMAPAddr()), support, secret)})
	serve(t, s).terminate() // the first start, on an empty mailbox

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	letters := customer("kill")
	given := 0
	more := func(upTo int) {
		from := given
		given = max(given, upTo)
		dovecot.Fill(t, support, "INBOX", given-from, func(i int) []byte { return letters(from + i) })
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var at []int
	for kill := range kills {
		part := n * (kill + 1) / (kills + 1)
		if kill%2 == 0 {
			more(part) // they wait at the start
		}
		d := launch(t, s)
		switch {
		case kill%3 == 2: // anywhere in the start
			<-time.After(time.Duration(random.IntN(300)) * time.Millisecond)
		default: // somewhere in the burst
			if kill%2 == 1 {
				d.healthy()
				more(part)
			}
			had := sink.Count()
			if left := given - had; left > 0 {
				sink.Wait(ctx, had+random.IntN(left+1))
			}
			<-time.After(time.Duration(random.IntN(3000)) * time.Microsecond)
		}
		d.kill()
		at = append(at, sink.Count())
	}
	more(n)
	d := serve(t, s)
	got := map[string][]mailtest.Received{}
	await(t, fmt.Sprintf("%d acknowledgements", n), 3*time.Minute, func() error {
		clear(got)
		for _, m := range sink.Messages() {
			got[m.To] = append(got[m.To], m)
		}
		if len(got) < n {
			return fmt.Errorf("%d of %d", len(got), n)
		}
		return nil
	})
	if code, _ := d.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	clear(got)
	for _, m := range sink.Messages() {
		got[m.To] = append(got[m.To], m)
	}
	doubts := checkLedger(t, s, n, got)
	for to, all := range got {
		if len(all) == 1 {
			continue
		}
		twice += len(all) - 1
		for _, m := range all[1:] {
			if string(m.Data) != string(all[0].Data) {
				t.Errorf("%s got two different acknowledgements:\n%s\n%s", to, all[0].Data, m.Data)
			}
		}
	}
	if twice > kills*connections {
		t.Errorf("%d letters were acknowledged again, more than %d connections at %d kills", twice, connections, kills)
	}
	t.Logf("%d letters, %d kills (after %v acknowledgements): %d were in doubt and sent again, %d were acknowledged twice, none lost", n, kills, at, doubts, twice)
	return twice
}

// checkLedger compares what the ledger says with what the SMTP server has taken, and counts what was in doubt.
func checkLedger(t testing.TB, s *shop, n int, got map[string][]mailtest.Received) (doubts int) {
	t.Helper()
	ledger := report[delivery](t, s, "deliveries", "list")
	if len(ledger) != n {
		t.Errorf("%d deliveries of %d letters are in the ledger", len(ledger), n)
	}
	for _, x := range ledger {
		doubted := strings.Contains(x.Reason, "resent from doubt")
		if doubted {
			doubts++
		}
		switch taken := len(got[x.To]); {
		case x.State != "sent":
			t.Errorf("%s: %s, taken %d times", x.To, x.State, taken)
		case taken == 0:
			t.Errorf("%s: sent, says the ledger, and the server knows nothing of it", x.To)
		case taken > 1 && !doubted:
			t.Errorf("%s: taken %d times, and the ledger knows of no doubt: %+v", x.To, taken, x)
		}
	}
	return doubts
}
