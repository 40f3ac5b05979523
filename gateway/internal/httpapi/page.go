package httpapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"
)

// Link is a place that the page points to. Where the URL has no host it is on
// the page's own: the gateway need not know by which name it is reached.
type Link struct {
	Name string
	URL  *url.URL
}

// traces is the Link that each task's own trace is looked at with: its URL has
// TRACE_ID in the place of the id.
const traces = "Traces"

//go:embed page.html
var pageHTML string

// page is the page for people: what this is, and a task to try each lane with.
type page struct {
	template *template.Template
	// policy lets run and show what the page itself brings along, and nothing else.
	policy string
	links  []Link
	faults bool
}

// pageData is what the template shows.
type pageData struct {
	FaultInjection bool
	Trace          string
	Links          []shownLink
	Reports        []report
}

type shownLink struct{ Name, URL string }

func newPage(links []Link, faults bool) (*page, error) {
	t, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return nil, fmt.Errorf("parse the page: %w", err)
	}
	p := &page{template: t, links: links, faults: faults}
	text, err := p.render("localhost", nil)
	if err != nil {
		return nil, err
	}
	p.policy = "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" +
		"; script-src " + hashOf(text, "script") + "; style-src " + hashOf(text, "style")
	return p, nil
}

// hashOf names the only element of that kind to a browser by its content, which
// is the same whatever the page shows.
func hashOf(page []byte, element string) string {
	_, rest, _ := strings.Cut(string(page), "<"+element+">")
	content, _, _ := strings.Cut(rest, "</"+element+">")
	sum := sha256.Sum256([]byte(content))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// render makes the page for somebody who reached it at host.
func (p *page) render(host string, reports []report) ([]byte, error) {
	data := pageData{FaultInjection: p.faults, Reports: reports}
	for _, link := range p.links {
		shown := shownLink{link.Name, on(host, link.URL)}
		if link.Name == traces && strings.Contains(shown.URL, "TRACE_ID") {
			data.Trace = shown.URL
			continue
		}
		data.Links = append(data.Links, shown)
	}
	var buf bytes.Buffer
	if err := p.template.Execute(&buf, data); err != nil {
		return nil, fmt.Errorf("make the page: %w", err)
	}
	return buf.Bytes(), nil
}

// on is a link's URL, on host where it has none of its own.
func on(host string, u *url.URL) string {
	if u.Hostname() != "" {
		return u.String()
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	own := *u
	own.Host = net.JoinHostPort(name, u.Port())
	return own.String()
}

// landing answers with the page.
func (a *api) landing(c *gin.Context) error {
	text, err := a.page.render(c.Request.Host, a.lastReports())
	if err != nil {
		return err
	}
	secure(c, a.page.policy)
	c.Data(http.StatusOK, "text/html; charset=utf-8", text)
	return nil
}

// secure has a browser take what it gets for what it is, keep to policy, and
// tell nobody where it was.
func secure(c *gin.Context, policy string) {
	c.Header("Content-Security-Policy", policy)
	c.Header("X-Content-Type-Options", "nosniff")
	c.Header("Referrer-Policy", "no-referrer")
	c.Header("Cache-Control", "no-cache")
}
