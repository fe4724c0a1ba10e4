package servers

import (
	"net"
	"sync"
	"testing"
)

// Tap relays connections to a server and shows what it sends, as it passes: with it a test knows when the server
// told the daemon of something.
type Tap struct {
	target string
	fresh  func() func(sent []byte)
	l      net.Listener
	relays sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]bool
}

// NewTap relays to the target until the end of the test. fresh is called for each connection and makes the function
// that is shown the server's bytes, before they are passed on.
func NewTap(t testing.TB, target string, fresh func() func(sent []byte)) *Tap {
	t.Helper()
	l, err := net.Listen("tcp", loopback(0))
	if err != nil {
		t.Fatal(err)
	}
	p := &Tap{target: target, fresh: fresh, l: l, open: map[net.Conn]bool{}}
	p.relays.Go(p.accept)
	t.Cleanup(func() {
		p.mu.Lock()
		l.Close()
		for c := range p.open {
			c.Close()
		}
		p.open = nil
		p.mu.Unlock()
		p.relays.Wait()
	})
	return p
}

// Addr is host:port to be used instead of the target's.
func (p *Tap) Addr() string { return p.l.Addr().String() }

func (p *Tap) accept() {
	for {
		client, err := p.l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		if !p.hold(client, server) {
			return
		}
		show := p.fresh()
		p.relays.Go(func() { p.relay(client, server, show) })
		p.relays.Go(func() { p.relay(server, client, func([]byte) {}) })
	}
}

// hold remembers the connections for the end; false when it has come.
func (p *Tap) hold(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.open == nil {
			c.Close()
			continue
		}
		p.open[c] = true
	}
	return p.open != nil
}

func (p *Tap) relay(to, from net.Conn, show func([]byte)) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			show(buffer[:n])
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
