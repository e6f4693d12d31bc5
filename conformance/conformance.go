// Package conformance holds SMTP and LMTP servers to the standards. The cases
// are dialogues in files (directory cases): what a client sends, and what the
// server has to answer. They can be run against any server; what another server
// does otherwise, and why we do not, is noted in the case.
//
// docs/conformance.md describes the format.
package conformance

import (
	"embed"
	"io/fs"
	"slices"
	"strings"
)

//go:embed cases/*.txt
var files embed.FS

// Listeners are the kinds of door that a case may be for.
var Listeners = []string{"mx", "submission", "submissions", "lmtp"}

// Case is one dialogue.
type Case struct {
	File string // of the subject, without ".txt"
	Name string
	Line int      // where it begins in File
	RFC  []string // "5321 4.1.1.1"
	On   []string // the listeners it is for; it runs on each
	// Requires are EHLO keywords, "!" in front of those that must be missing, and
	// "AUTH=PLAIN" for one among the values of a keyword.
	Requires []string
	// Notes say, by the name of a server, what it does otherwise, and the argument
	// for what is wanted here.
	Notes map[string]string

	steps []step
}

// step is one line of a dialogue.
type step struct {
	line int
	verb string
	arg  string
}

// Cases are all cases, by file and line.
func Cases() ([]*Case, error) {
	names, err := fs.Glob(files, "cases/*.txt")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var all []*Case
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		subject := strings.TrimSuffix(strings.TrimPrefix(name, "cases/"), ".txt")
		list, err := Parse(subject, string(text))
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}
