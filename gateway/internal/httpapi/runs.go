package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/twinlane/twinlane/internal/task"
)

// run answers with the books of a run. A run that nobody has heard of has empty
// ones: its first outcome may be on its way.
func (a *api) run(c *gin.Context) error {
	name := c.Param("run")
	if !task.ValidName(name) {
		return &task.FieldError{Field: "run", Value: shorten(name), Allowed: "1 to 64 of A-Z a-z 0-9 . _ -"}
	}
	if a.caughtUp() != nil {
		return errResultsBehind
	}
	return writeJSON(c, http.StatusOK, task.ContentType, a.outcomes.Run(name))
}
