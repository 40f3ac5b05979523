package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twinlane/twinlane/internal/service"
	"github.com/twinlane/twinlane/worker/internal/lab"
)

// labCommand is the published experiments on how to run work.
type labCommand struct {
	Run  labRunCommand  `cmd:"" default:"withargs" help:"Run experiments, all of them without a name, and print what was published, predicted and measured."`
	Ls   labLsCommand   `cmd:"" aliases:"list" help:"List the experiments with the question that each answers."`
	Docs labDocsCommand `cmd:"" help:"Write kept results into docs/experiments.md, between its markers."`
}

type labRunCommand struct {
	brokerFlags
	Names   []string `arg:"" optional:"" name:"name" help:"Experiments to run, in the order of worker lab ls; all without."`
	Quick   bool     `help:"Take shorter times and fewer cases: about two minutes for all, instead of ten."`
	JSON    bool     `name:"json" xor:"form" help:"Print JSON instead of tables."`
	CSV     bool     `name:"csv" xor:"form" help:"Print CSV instead of tables, a line a figure."`
	HTML    string   `name:"html" type:"path" placeholder:"FILE" help:"Write a page with plots as well. It needs no other file."`
	Results string   `type:"path" placeholder:"FILE" help:"Keep the results in this JSON file; an experiment that runs again replaces its earlier result."`
	Metrics string   `placeholder:"ADDR" help:"Serve /metrics here while experiments run, such as 127.0.0.1:8092, where the Prometheus of the local stack looks."`
}

// Validate reports every value that is not allowed. The parser calls it.
func (c *labRunCommand) Validate() error {
	var metrics error
	if c.Metrics != "" {
		metrics = service.Address("--metrics", c.Metrics)
	}
	_, names := c.experiments()
	return errors.Join(c.validate(), names, metrics)
}

// experiments are those that are asked for, in the order of the list.
func (c *labRunCommand) experiments() ([]lab.Experiment, error) {
	all := lab.Experiments()
	for _, name := range c.Names {
		if !slices.ContainsFunc(all, func(e lab.Experiment) bool { return e.Name == name }) {
			return nil, fmt.Errorf("there is no experiment %q; there are %s", name, strings.Join(lab.Names(), ", "))
		}
	}
	if len(c.Names) == 0 {
		return all, nil
	}
	return slices.DeleteFunc(all, func(e lab.Experiment) bool { return !slices.Contains(c.Names, e.Name) }), nil
}

type labLsCommand struct{}

type labDocsCommand struct {
	Results string `type:"path" default:".run/lab/results.json" placeholder:"FILE" help:"What --results has kept. Default .run/lab/results.json."`
	Sweep   string `type:"path" placeholder:"FILE" help:"The summary.json of a sweep, for the table of A; without it, that table stays as it is."`
	Page    string `type:"path" default:"docs/experiments.md" placeholder:"FILE" help:"The page. Default docs/experiments.md."`
}
