package listen

import (
	"net"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
)

// maxHeaders bounds the connections whose header is being read.
const maxHeaders = 1024

// proxied is a listener some of whose peers are proxies. Their headers are read
// beside the accept loop, so that one slow proxy holds up nobody.
type proxied struct {
	net.Listener
	proxies Networks
	timeout time.Duration

	ready   chan net.Conn
	failed  chan error // holds the error that ended the accept loop
	closing chan struct{}
	close   sync.Once
	slots   chan struct{}
	running sync.WaitGroup
}

// behindProxies requires a PROXY protocol header (version 1 or 2) from the peers
// in proxies; connections of theirs without one are dropped. Nobody else is asked
// for one, and one that comes nevertheless is input like any other: who is not
// listed cannot pretend to be somebody.
func behindProxies(l net.Listener, proxies Networks, timeout time.Duration) net.Listener {
	p := &proxied{
		Listener: l, proxies: proxies, timeout: timeout,
		ready: make(chan net.Conn), failed: make(chan error, 1), closing: make(chan struct{}),
		slots: make(chan struct{}, maxHeaders),
	}
	p.running.Go(p.loop)
	return p
}

func (p *proxied) loop() {
	for {
		c, err := p.Listener.Accept()
		if err != nil {
			p.failed <- err
			if !temporary(err) {
				return
			}
			continue
		}
		if !p.isProxy(c.RemoteAddr()) {
			p.hand(c)
			continue
		}
		select {
		case p.slots <- struct{}{}:
		case <-p.closing:
			c.Close()
			continue
		}
		p.running.Go(func() {
			defer func() { <-p.slots }()
			p.header(c)
		})
	}
}

// temporary reports whether Accept may work again, as when there are no file
// descriptors for a moment.
func temporary(err error) bool {
	t, ok := err.(interface{ Temporary() bool })
	return ok && t.Temporary()
}

// header reads a proxy's header and hands the connection over, when it is that of a
// client whose address it tells, or the proxy's own.
func (p *proxied) header(c net.Conn) {
	pc := proxyproto.NewConn(c, proxyproto.WithPolicy(proxyproto.REQUIRE), proxyproto.SetReadHeaderTimeout(p.timeout))
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() { // Close does not wait for the timeout
		defer close(done)
		select {
		case <-p.closing:
			c.Close()
		case <-stop:
		}
	}()
	header := pc.ProxyHeader()
	close(stop)
	<-done
	if header == nil || !header.Command.IsLocal() && !tellsAddress(header) {
		c.Close()
		return
	}
	p.hand(pc)
}

// tellsAddress reports whether a header has a client's address. A datagram's or a
// Unix socket's is none: it would make a stranger a process of this machine. The
// UNKNOWN of version 1 leaves the proxy's own address.
func tellsAddress(h *proxyproto.Header) bool {
	return h.TransportProtocol == proxyproto.TCPv4 || h.TransportProtocol == proxyproto.TCPv6 || h.Version == 1
}

func (p *proxied) hand(c net.Conn) {
	select {
	case p.ready <- c:
	case <-p.closing:
		c.Close()
	}
}

func (p *proxied) isProxy(remote net.Addr) bool { return p.proxies.Have(Remote(remote)) }

// Accept is net.Listener's.
func (p *proxied) Accept() (net.Conn, error) {
	select {
	case c := <-p.ready:
		return c, nil
	case err := <-p.failed:
		if !temporary(err) {
			p.failed <- err // for whoever asks again
		}
		return nil, err
	}
}

// Close stops listening and waits for what runs.
func (p *proxied) Close() error {
	p.close.Do(func() { close(p.closing) })
	err := p.Listener.Close()
	p.running.Wait()
	return err
}
