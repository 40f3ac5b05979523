package httpapi

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/twinlane/twinlane/internal/task"
)

// The reports of sweeps are in a folder, one below it for each run. They are the
// lab's and no part of the API: a gateway serves them only where it is told of
// the folder, and then nothing in there but whole files of a few kinds.
const (
	reportFile = "report.html"
	// maxReports is how many the page names, of those among the first maxRuns.
	maxReports = 5
	maxRuns    = 10_000
)

// reportPolicy lets a report be what it is, a page whose parts are all in it, and
// keeps it from the API that it is served beside.
const reportPolicy = "sandbox allow-scripts allow-popups allow-downloads; default-src 'none'; script-src 'unsafe-inline'; " +
	"style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; form-action 'none'"

// report is a report as the page names it.
type report struct {
	Run string
	at  time.Time
}

// At is when the report was written, for people.
func (r report) At() string { return r.at.UTC().Format("2 Jan 2006, 15:04 UTC") }

// Machine is the same for programs.
func (r report) Machine() string { return r.at.UTC().Format(time.RFC3339) }

// mediaType is that of a file of a report, and empty for what is none.
func mediaType(file string) string {
	switch path.Ext(file) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".json":
		return "application/json"
	case ".csv":
		return "text/csv; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		return ""
	}
}

// visible reports whether a name is that of a run or of one of its files, and
// certainly no way out of their folder.
func visible(name string) bool { return task.ValidName(name) && !strings.HasPrefix(name, ".") }

// reportPart answers with a file of a report.
func (a *api) reportPart(c *gin.Context) error {
	run, file := c.Param("run"), c.Param("file")
	if a.reports == "" || !visible(run) || !visible(file) || mediaType(file) == "" {
		return notFound(c)
	}
	// Nothing that is opened in a root leads out of it, links included.
	root, err := os.OpenRoot(a.reports)
	if err != nil {
		return notFound(c)
	}
	defer func() { _ = root.Close() }()
	f, err := root.Open(path.Join(run, file))
	if err != nil {
		return notFound(c)
	}
	defer func() { _ = f.Close() }()
	about, err := f.Stat()
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if !about.Mode().IsRegular() {
		return notFound(c)
	}
	secure(c, reportPolicy)
	c.DataFromReader(http.StatusOK, about.Size(), mediaType(file), f, nil)
	return nil
}

// lastReports are the newest reports, the newest first. What cannot be read is
// not named.
func (a *api) lastReports() []report {
	if a.reports == "" {
		return nil
	}
	root, err := os.OpenRoot(a.reports)
	if err != nil {
		return nil
	}
	defer func() { _ = root.Close() }()
	all, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil
	}
	var found []report
	for _, run := range all[:min(len(all), maxRuns)] {
		if !visible(run.Name()) {
			continue
		}
		if about, err := root.Stat(path.Join(run.Name(), reportFile)); err == nil && about.Mode().IsRegular() {
			found = append(found, report{Run: run.Name(), at: about.ModTime()})
		}
	}
	slices.SortFunc(found, func(a, b report) int { return b.at.Compare(a.at) })
	return found[:min(len(found), maxReports)]
}
