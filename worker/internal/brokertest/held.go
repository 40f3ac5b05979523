package brokertest

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// heldMessages asks each quorum queue of a virtual host itself for what it
// holds: what list_queues says is some seconds old.
const heldMessages = `[
	begin
		{ok, {_, Count}, _} = ra:leader_query(amqqueue:get_pid(Queue), {rabbit_fifo, query_messages_total, []}),
		{element(4, amqqueue:get_name(Queue)), Count}
	end || Queue <- rabbit_amqqueue:list(<<%q>>), amqqueue:get_type(Queue) =:= rabbit_quorum_queue].`

var heldPattern = regexp.MustCompile(`\{<<"([^"]+)">>,\s*(\d+)\}`)

// Held counts the messages of every quorum queue of the virtual host, where
// Node.Held counts those of all of them: the ready ones, and those that a
// consumer has and has not answered for.
func (v VHost) Held(t *testing.T) map[string]int {
	t.Helper()
	text, err := v.Node.Ctl(t.Context(), "eval", fmt.Sprintf(heldMessages, v.Name))
	require.NoError(t, err)
	held := make(map[string]int)
	for _, match := range heldPattern.FindAllStringSubmatch(text, -1) {
		held[match[1]], err = strconv.Atoi(match[2])
		require.NoError(t, err)
	}
	return held
}
