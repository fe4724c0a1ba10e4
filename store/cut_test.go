package store

import (
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/returnpost/returnpost/e2e/servers"
	"github.com/returnpost/returnpost/outbox"
)

// wire passes on connections to PostgreSQL until it is told to spoil them.
type wire struct {
	to    string
	armed atomic.Bool // the client's next message reaches the server; its answer is lost, and the connection with it

	lock    sync.Mutex
	clients []net.Conn
}

// overWire is a database that is reached through a wire.
func overWire(t *testing.T) (*ledger, *wire) {
	address, err := url.Parse(servers.PostgreSQL(t))
	if err != nil {
		t.Fatal(err)
	}
	gate, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { gate.Close() })
	w := &wire{to: address.Host}
	go func() {
		for {
			client, err := gate.Accept()
			if err != nil {
				return
			}
			w.pass(t, client)
		}
	}()
	address.Host = gate.Addr().String()
	return open(t, address.String()), w
}

func (w *wire) pass(t *testing.T, client net.Conn) {
	server, err := net.Dial("tcp", w.to)
	if err != nil {
		client.Close()
		return
	}
	t.Cleanup(func() { server.Close() })
	w.lock.Lock()
	w.clients = append(w.clients, client)
	w.lock.Unlock()
	var cutting atomic.Bool
	copying := func(to, from net.Conn, each func() (goOn bool)) {
		buffer := make([]byte, 1<<16)
		for {
			n, err := from.Read(buffer)
			if err != nil || !each() {
				client.Close() // the server's end stays open: it has not noticed
				return
			}
			to.Write(buffer[:n])
		}
	}
	go copying(server, client, func() bool {
		if w.armed.CompareAndSwap(true, false) {
			cutting.Store(true)
		}
		return true
	})
	go copying(client, server, func() bool { return !cutting.Load() })
}

// cut breaks all connections so that only the client notices.
func (w *wire) cut() {
	w.lock.Lock()
	defer w.lock.Unlock()
	for _, client := range w.clients {
		client.Close()
	}
	w.clients = nil
}

// TestClaimsOfALostAnswerAreTakenBack: the commit of several jobs is kept, but its answer is lost. Each job runs again, and
// what a Settle among them claimed at first is not forgotten.
func TestClaimsOfALostAnswerAreTakenBack(t *testing.T) {
	l, w := overWire(t)
	l.box("support")
	for uid := range uint32(3) {
		l.one(uid + 1)
	}
	// Two jobs in one transaction: a Settle, and a write behind it after which the connection is spoiled.
	l.w.close()
	jobs := make(chan *job)
	l.w.jobs, l.w.closing = jobs, make(chan struct{})
	var claimed []outbox.Delivery
	var err error
	var wg sync.WaitGroup
	wg.Go(func() { claimed, _, err = l.Settle(t.Context(), nil, 2) })
	settle := <-jobs
	var once sync.Once
	other := &job{done: make(chan error, 1), run: func(tx *tx) error {
		_, err := tx.exec(`INSERT INTO settings (name, value) VALUES ('x', $1) ON CONFLICT (name) DO NOTHING`, []byte("x"))
		once.Do(func() { w.armed.Store(true) })
		return err
	}}
	l.w.serve([]*job{settle, other})
	wg.Wait()
	if err := <-other.done; err != nil {
		t.Error(err)
	}
	if w.armed.Load() || err != nil || len(claimed) != 2 {
		t.Fatalf("claimed %v, %v", claimed, err)
	}
	l.w.disconnect()
	l.w = newWriter(l.DB)
	sent := map[int64]int{}
	for range 5 {
		var finished []outbox.Outcome
		for _, d := range claimed {
			sent[d.Recipient]++
			finished = append(finished, l.outcome(d, outbox.Sent))
		}
		l.clock.turn(time.Hour)
		claimed, _ = l.settle(10, finished...)
	}
	if len(sent) != 3 {
		t.Errorf("sent: %v", sent)
	}
	for _, d := range all(t, l.Deliveries(t.Context(), DeliveryFilter{})) {
		if d.State != outbox.Sent || d.Attempts != 1 || sent[d.Recipient] != 1 {
			t.Errorf("%+v", d)
		}
	}
	if n := l.count("SELECT count(*) FROM settings WHERE name = 'x'"); n != 1 {
		t.Error(n)
	}
}
