package check

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// RuleFile is a file of rules, as far as the checks look at it.
type RuleFile struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []Rule `yaml:"rules"`
	} `yaml:"groups"`
}

// Rule records a series, or alerts.
type Rule struct {
	Record      string            `yaml:"record"`
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// RuleTests is a file of promtool's unit tests.
type RuleTests struct {
	Tests []struct {
		Alerts []struct {
			Name     string `yaml:"alertname"`
			Expected []any  `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
	} `yaml:"tests"`
}

// ParseRules reads a file of rules.
func ParseRules(text []byte) ([]Rule, error) {
	var f RuleFile
	if err := yaml.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("parse rules: %w", err)
	}
	var all []Rule
	for _, g := range f.Groups {
		all = append(all, g.Rules...)
	}
	return all, nil
}

// ParseRuleTests reads a file of promtool's unit tests.
func ParseRuleTests(text []byte) (*RuleTests, error) {
	var t RuleTests
	if err := yaml.Unmarshal(text, &t); err != nil {
		return nil, fmt.Errorf("parse tests of rules: %w", err)
	}
	return &t, nil
}

// LintRules says what alerts lack that somebody who is called by one needs. The runbooks are the headings of a page.
func LintRules(rules []Rule, runbooks []byte) []string {
	var found []string
	anchors := Anchors(runbooks)
	for _, r := range rules {
		if _, err := parse(r.Expr); err != nil {
			found = append(found, fmt.Sprintf("%s%s: %s", r.Alert, r.Record, err))
		}
		if r.Alert == "" {
			continue
		}
		if r.For == "" {
			found = append(found, r.Alert+": it does not say for how long")
		}
		if !slices.Contains([]string{"critical", "warning"}, r.Labels["severity"]) {
			found = append(found, r.Alert+": its severity is neither critical nor warning")
		}
		for _, name := range []string{"summary", "description"} {
			if r.Annotations[name] == "" {
				found = append(found, r.Alert+": it has no "+name)
			}
		}
		_, anchor, ok := strings.Cut(r.Annotations["runbook_url"], "/docs/operations.md#")
		if !ok || !slices.Contains(anchors, anchor) {
			found = append(found, fmt.Sprintf("%s: there is no runbook at %q", r.Alert, r.Annotations["runbook_url"]))
		}
	}
	return found
}

// LintRuleTests says which alerts no test expects to fire, or to keep quiet.
func LintRuleTests(rules []Rule, tests *RuleTests) []string {
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, t := range tests.Tests {
		for _, a := range t.Alerts {
			if len(a.Expected) > 0 {
				fires[a.Name] = true
			} else {
				quiet[a.Name] = true
			}
		}
	}
	var found []string
	for _, r := range rules {
		if r.Alert == "" {
			continue
		}
		if !fires[r.Alert] {
			found = append(found, r.Alert+": no test sees it fire")
		}
		if !quiet[r.Alert] {
			found = append(found, r.Alert+": no test sees it keep quiet")
		}
	}
	return found
}

// Anchors lists the anchors of the headings of a page, as GitHub makes them.
func Anchors(page []byte) []string {
	var all []string
	for _, m := range heading.FindAllSubmatch(page, -1) {
		text := notInAnchors.ReplaceAllString(strings.ToLower(string(m[1])), "")
		all = append(all, strings.ReplaceAll(text, " ", "-"))
	}
	return all
}

var (
	heading      = regexp.MustCompile(`(?m)^#+ +(.+?) *$`)
	notInAnchors = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)
