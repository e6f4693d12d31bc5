package config

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Error is one thing wrong with the configuration. Its text is one line.
type Error struct {
	Source string // file, or name of the environment variable
	Line   int    // from 1; 0 when there is no position
	Column int
	Key    string // dotted; "" when the file is not TOML
	Reason string
}

// Error is "posthouse.toml:12:3: limits.message_sise: unknown key".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Source)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	if e.Key != "" {
		b.WriteString(": " + e.Key)
	}
	b.WriteString(": " + e.Reason)
	return strings.NewReplacer("\n", " ", "\r", " ").Replace(b.String())
}

// place is where something was said.
type place struct {
	source       string
	line, column int
	text         string // of a value that is no string, array or table
}

func (p place) errorf(key, format string, args ...any) error {
	return &Error{Source: p.source, Line: p.line, Column: p.column, Key: key, Reason: fmt.Sprintf(format, args...)}
}

// places are the keys of a document and where their values stand. Elements of
// arrays are "listen.smtp[0]".
type places map[string]place

// findPlaces walks over a document that the decoder has found to be right, or
// over the part of it that is.
func findPlaces(source string, doc []byte) places {
	f := finder{source: source, doc: doc, at: places{}, arrays: map[string]int{}}
	f.parser.Reset(doc)
	table := ""
	for f.parser.NextExpression() {
		e := f.parser.Expression()
		switch e.Kind {
		case unstable.Table:
			table, _ = f.key("", e)
		case unstable.ArrayTable:
			name, at := f.key("", e)
			table = fmt.Sprintf("%s[%d]", name, f.arrays[name])
			f.arrays[name]++
			f.at[table] = at
		case unstable.KeyValue:
			f.keyValue(table, e)
		}
	}
	return f.at
}

type finder struct {
	source string
	doc    []byte
	parser unstable.Parser
	at     places
	arrays map[string]int // how many tables an array has so far
}

func (f *finder) keyValue(table string, kv *unstable.Node) {
	key, at := f.key(table, kv)
	f.at[key] = at
	f.value(key, kv.Value())
}

// value notes where a value stands and goes into arrays and inline tables.
func (f *finder) value(key string, v *unstable.Node) {
	if v.Raw.Length > 0 {
		at := f.place(v.Raw.Offset)
		if v.Kind != unstable.String {
			at.text = string(v.Data)
		}
		f.at[key] = at
	}
	children := v.Children()
	switch v.Kind {
	case unstable.Array:
		for i := 0; children.Next(); i++ {
			element := fmt.Sprintf("%s[%d]", key, i)
			f.at[element] = f.at[key]
			f.value(element, children.Node())
		}
	case unstable.InlineTable:
		for children.Next() {
			f.keyValue(key, children.Node())
		}
	}
}

// key is the dotted key of a node below a table, and where it begins.
func (f *finder) key(table string, n *unstable.Node) (string, place) {
	var at place
	it := n.Key()
	for it.Next() {
		part := it.Node()
		if at.line == 0 {
			at = f.place(part.Raw.Offset)
		}
		if table != "" {
			table += "."
		}
		table += string(part.Data)
	}
	return table, at
}

func (f *finder) place(offset uint32) place {
	before := f.doc[:offset]
	return place{
		source: f.source,
		line:   bytes.Count(before, []byte("\n")) + 1,
		column: len(before) - bytes.LastIndexByte(before, '\n'),
	}
}

// has reports whether a document has a table, or keys in it.
func (p places) has(table string) bool {
	for key := range p {
		if strings.HasPrefix(key, table+".") {
			return true
		}
	}
	return false
}

// keyAt finds the longest key whose value begins at a position.
func (p places) keyAt(line, column int) string {
	found := ""
	for key, at := range p {
		if at.line == line && at.column == column && len(key) > len(found) {
			found = key
		}
	}
	return found
}
