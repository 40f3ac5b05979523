package rabbittest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// Ports are the loopback TCP ports of a node.
type Ports struct {
	AMQP         int
	Management   int // 0 without the management plugin
	Prometheus   int // 0 without the management plugin
	Distribution int // Erlang distribution, used by rabbitmqctl
	EPMD         int // the node's own port mapper
}

// Ports are chosen in blocks, below the range from which the system takes the local ports of connections: no
// connection can take the port of a node that is down for a moment.
const (
	firstPort = 20000
	lastPort  = 32000
	blockSize = 8
)

// used lists the ports that a node listens on.
func (p *Ports) used(management bool) []*int {
	ports := []*int{&p.AMQP, &p.Distribution, &p.EPMD}
	if management {
		ports = append(ports, &p.Management, &p.Prometheus)
	}
	return ports
}

// choose sets the ports that are 0. They come from a block whose first port is held by the returned listener for as
// long as the node may be started: processes that choose at the same time cannot choose the same block.
func (p *Ports) choose(management bool) (guard net.Listener, err error) {
	var open []*int
	for _, port := range p.used(management) {
		if *port == 0 {
			open = append(open, port)
		}
	}
	for range 100 {
		if guard, err = listenBlock(); err != nil {
			return nil, err
		}
		for i, port := range open {
			*port = portOf(guard) + 1 + i
		}
		if err = checkFree(open); err == nil {
			return guard, nil
		}
		_ = guard.Close()
	}
	return nil, fmt.Errorf("find free ports: %w", err)
}

// listenBlock takes a free block by listening on its first port.
func listenBlock() (l net.Listener, err error) {
	for range 100 {
		first := firstPort + blockSize*rand.IntN((lastPort-firstPort)/blockSize) //nolint:gosec // Nothing to guess.
		if l, err = net.Listen("tcp", loopback(first)); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("find a free port from %d to %d: %w", firstPort, lastPort, err)
}

func portOf(l net.Listener) int {
	return int(netip.MustParseAddrPort(l.Addr().String()).Port())
}

// checkFree tells which ports something else listens on.
func checkFree(ports []*int) error {
	var errs []error
	for _, port := range ports {
		l, err := net.Listen("tcp", loopback(*port))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		_ = l.Close()
	}
	return errors.Join(errs...)
}

// portPatience is how long a port may still be in use that was just found free.
const portPatience = time.Second

// awaitFree waits until nothing listens on the ports. A socket that this
// process has closed lives on for a moment in a child that is being forked.
func awaitFree(ctx context.Context, ports []*int) error {
	ctx, cancel := context.WithTimeout(ctx, portPatience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := checkFree(ports)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

func loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
