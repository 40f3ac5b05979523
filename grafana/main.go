// Command grafana writes the dashboards of internal/boards into files, from which Grafana loads them.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/twinlane/twinlane/grafana/internal/boards"
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) } //nolint:forbidigo // Here and nowhere else.

// run writes the dashboards into the folder that it is given, and removes those that are none of them any more.
func run(args []string, stderr io.Writer) int {
	if len(args) != 1 {
		_, _ = fmt.Fprintln(stderr, "usage: grafana FOLDER")
		return 2
	}
	if err := write(args[0]); err != nil {
		_, _ = fmt.Fprintf(stderr, "grafana: %s\n", err)
		return 1
	}
	return 0
}

func write(folder string) error {
	files, err := boards.Files()
	if err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return fmt.Errorf("dashboards: %w", err)
	}
	for _, name := range old {
		if _, ok := files[filepath.Base(name)]; !ok {
			if err := os.Remove(name); err != nil { //nolint:gosec // In the folder that is the caller's choice.
				return fmt.Errorf("remove a dashboard: %w", err)
			}
		}
	}
	for name, text := range files {
		//nolint:gosec // Grafana reads them as another user.
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o644); err != nil {
			return fmt.Errorf("write a dashboard: %w", err)
		}
	}
	return nil
}
