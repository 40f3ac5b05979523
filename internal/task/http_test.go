package task_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twinlane/twinlane/internal/task"
)

func TestEveryProblemHasATitleAndAType(t *testing.T) {
	t.Parallel()
	titles := make(map[string]task.ProblemCode)
	for _, code := range []task.ProblemCode{
		task.ProblemMalformedJSON, task.ProblemUnreadableBody, task.ProblemSlowBody, task.ProblemBodyTooLarge,
		task.ProblemUnsupportedMediaType, task.ProblemInvalidField, task.ProblemNotFound, task.ProblemMethodNotAllowed,
		task.ProblemWorkerBusy, task.ProblemTaskFailed, task.ProblemTaskTimeout, task.ProblemInternal,
	} {
		require.NotEmpty(t, code.Title(), code)
		require.Empty(t, titles[code.Title()], "a title of its own")
		titles[code.Title()] = code
		require.Equal(t, "urn:twinlane:problem:"+string(code), code.Type())
		require.True(t, task.Problem{Type: code.Type()}.Is(code))
		require.False(t, task.Problem{Type: string(code)}.Is(code))
	}
	require.Empty(t, task.ProblemCode("else").Title())
}
