package service

import "runtime/debug"

// Commit is the version that this process was built from, as far as the build
// knew it: the first digits of the commit, and whether it was changed.
func Commit() string {
	commit := "unknown"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return commit
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			commit += " with changes"
		}
	}
	return commit
}
