package main

import (
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/twinlane/twinlane/gateway/internal/httpapi"
	"github.com/twinlane/twinlane/internal/service"
)

// links parses LINKS.
func (c *config) links() ([]httpapi.Link, error) {
	if c.Links == "" {
		return nil, nil
	}
	var links []httpapi.Link
	for part := range strings.SplitSeq(c.Links, ",") {
		name, address, _ := strings.Cut(strings.TrimSpace(part), "=")
		if strings.HasPrefix(address, ":") {
			address = "http://" + address // without a host, which is then that of the page
		}
		u, err := url.Parse(address)
		if name == "" || err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return nil, service.NotAllowed("LINKS", strconv.Quote(part), "NAME=http://host:port/path or NAME=:port/path each, separated by commas")
		}
		links = append(links, httpapi.Link{Name: name, URL: u})
	}
	return links, nil
}

// reports refuses a REPORTS_DIR that is no folder.
func (c *config) reports() error {
	if c.ReportsDir == "" {
		return nil
	}
	if about, err := os.Stat(c.ReportsDir); err != nil || !about.IsDir() {
		return service.NotAllowed("REPORTS_DIR", strconv.Quote(c.ReportsDir), "a folder that is there")
	}
	return nil
}
