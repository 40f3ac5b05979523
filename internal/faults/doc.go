// Package faults breaks Twinlane on purpose and looks for what got lost.
//
// A Row is one fault: broker, network, workers, gateways or clients misbehave while tasks are handed in at a rate that
// does not wait for answers. Each row has a Lab of its own, with a private RabbitMQ and real processes of the gateway
// and the worker. The id of every task is in a ledger before its request is sent. Once everything is quiet, the ledger
// is held against the results stream, the dead-letter queue, the answers of GET /v1/tasks and GET /v1/runs, and the
// notes of the server that the tasks called: what was accepted and is nowhere is lost, what is somewhere and was never
// attempted is unexpected, and either makes the row red. So does a fault that had no effect.
//
// The row power-cut needs root, for a file system of its own, and is left out where there is none. The package leaves out
// what one machine cannot do: several machines, a network that loses packets, a disk that confirms a flush and has not
// flushed.
package faults
