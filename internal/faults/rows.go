package faults

import "slices"

// Rows lists every row, in the order in which they run.
func Rows() []Row { return slices.Concat(brokerRows(), networkRows(), workerRows(), gatewayRows()) }
