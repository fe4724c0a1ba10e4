package mailtest

import (
	"fmt"
	"net"
	"sync"
)

// gate is a loopback listener that can be shut and opened again, as a server's network is in an outage, and that knows
// its open connections.
type gate struct {
	net.Listener
	wrap func(net.Conn) net.Conn // what stands between the wire and the library

	mu    sync.Mutex
	down  bool
	conns map[*gateConn]struct{}
	total int
}

func newGate(wrap func(net.Conn) net.Conn) (*gate, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("mailtest: listen on loopback: %w", err)
	}
	return &gate{Listener: l, wrap: wrap, conns: map[*gateConn]struct{}{}}, nil
}

// Accept returns the next connection; while the gate is shut, those that come are closed at once.
func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		gc := &gateConn{Conn: c, gate: g}
		g.mu.Lock()
		down := g.down
		if !down {
			g.conns[gc] = struct{}{}
			g.total++
		}
		g.mu.Unlock()
		if down {
			c.Close()
			continue
		}
		return g.wrap(gc), nil
	}
}

// cut closes every open connection.
func (g *gate) cut() {
	g.mu.Lock()
	open := make([]*gateConn, 0, len(g.conns))
	for c := range g.conns {
		open = append(open, c)
	}
	g.mu.Unlock()
	for _, c := range open {
		c.Close()
	}
}

func (g *gate) setDown(down bool) {
	g.mu.Lock()
	g.down = down
	g.mu.Unlock()
	if down {
		g.cut()
	}
}

// close ends listening and every connection.
func (g *gate) close() error {
	err := g.Listener.Close()
	g.setDown(true)
	return err
}

func (g *gate) count() (open, total int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.conns), g.total
}

type gateConn struct {
	net.Conn
	gate *gate
}

// Close takes the connection off the gate's list.
func (c *gateConn) Close() error {
	c.gate.mu.Lock()
	delete(c.gate.conns, c)
	c.gate.mu.Unlock()
	return c.Conn.Close()
}
