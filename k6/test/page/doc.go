// Package page opens reports of the sweep in a real browser: of runs that never
// were, made by k6/test/pages.js, and of one against the stub gateway. It holds
// what a reader sees against summary.json.
package page
