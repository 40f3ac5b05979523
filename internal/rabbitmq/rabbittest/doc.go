// Package rabbittest starts private RabbitMQ nodes and breaks them on purpose: for the tests of everything that
// talks to a broker, and for the local stack that runs without containers.
//
// A node is a child process on loopback addresses with its own name, ports, cookie, epmd and data directory, so any
// number of them run side by side and beside a broker of the system. On Linux none outlives the process that started
// it, however that ends.
//
// A package whose tests need a broker has a TestMain that calls Main. Its tests share one node, whose address is URL,
// and name their queues with Prefix; a test that pauses, blocks, kills or restarts its broker takes a node of its own
// with Start, and one that breaks the network in between puts a Proxy in front.
//
// The package leaves clusters and TLS out: Twinlane's promises rest on one broker that pauses, dies and comes back,
// not on several that agree.
package rabbittest
