package rabbittest

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/twinlane/twinlane/internal/tcpproxy"
)

// Direction is a way through a Proxy.
type Direction = tcpproxy.Direction

// The directions of a connection. A method of Proxy that is given none means both.
const (
	ToServer = tcpproxy.ToServer
	ToClient = tcpproxy.ToClient
)

// Proxy is a TCP proxy in front of a broker that fails on demand. Its methods may be called by several goroutines.
type Proxy struct {
	*tcpproxy.Proxy
	url string
}

// StartProxy starts a proxy in front of the broker at brokerURL. The end of the test closes it.
func StartProxy(tb testing.TB, brokerURL string) *Proxy {
	tb.Helper()
	p, err := NewProxy(brokerURL)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

// NewProxy starts a proxy in front of the broker at brokerURL, which names a host and a port.
func NewProxy(brokerURL string) (*Proxy, error) {
	u, err := url.Parse(brokerURL)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	// A port outside the range of outgoing connections is still free when connections are accepted again.
	listener, err := listenBlock()
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	p := &Proxy{Proxy: tcpproxy.New(listener, u.Host)}
	u.Host = p.Addr()
	p.url = u.String()
	return p, nil
}

// URL is the broker's URL with the proxy's address in it.
func (p *Proxy) URL() string { return p.url }
