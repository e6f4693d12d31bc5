package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// listFlags adds --json to a command that prints a list.
func (a *app) listFlags(c *cobra.Command) *cobra.Command {
	c.Flags().BoolVar(&a.json, "json", false, "print JSON")
	return c
}

// print writes list as JSON or, row by row, as a table.
func print[T any](a *app, list []T, head []string, row func(T) []string) error {
	if a.json {
		if list == nil {
			list = []T{}
		}
		return a.printJSON(list)
	}
	return table(a.Out, list, head, row)
}

// table writes rows under their heads; no heads without rows.
func table[T any](out io.Writer, list []T, head []string, row func(T) []string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(list) > 0 && len(head) > 0 {
		fmt.Fprintln(w, strings.Join(head, "\t"))
	}
	for _, item := range list {
		fmt.Fprintln(w, strings.Join(row(item), "\t"))
	}
	return w.Flush()
}

// lister prints a list that comes in parts, as print does: columns are as wide as
// each part needs.
type lister[T any] struct {
	a    *app
	head []string
	row  func(T) []string
	n    int
}

func newLister[T any](a *app, head []string, row func(T) []string) *lister[T] {
	return &lister[T]{a: a, head: head, row: row}
}

func (l *lister[T]) add(list []T) error {
	if !l.a.json {
		head := l.head
		if l.n += len(list); l.n > len(list) {
			head = nil
		}
		return table(l.a.Out, list, head, l.row)
	}
	for _, item := range list {
		before := ",\n  "
		if l.n++; l.n == 1 {
			before = "[\n  "
		}
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		e.SetIndent("  ", "  ")
		e.SetEscapeHTML(false)
		if err := e.Encode(item); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(l.a.Out, "%s%s", before, bytes.TrimSuffix(text.Bytes(), []byte("\n"))); err != nil {
			return err
		}
	}
	return nil
}

func (l *lister[T]) end() error {
	var err error
	switch {
	case l.a.json && l.n == 0:
		_, err = fmt.Fprintln(l.a.Out, "[]")
	case l.a.json:
		_, err = fmt.Fprintln(l.a.Out, "\n]")
	}
	return err
}

func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.Out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// bytesText is a size for people.
func bytesText(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, suffix := float64(n)/unit, 0
	for value >= unit && suffix < 4 {
		value /= unit
		suffix++
	}
	return fmt.Sprintf("%.1f %cB", value, "KMGTP"[suffix])
}

// timeText is a time for people, local, to the second; "-" for none.
func timeText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// readLine reads one line, its end not included, of at most 4 KB. It ends with ctx.
func readLine(ctx context.Context, r io.Reader) (string, error) {
	type result struct {
		line string
		err  error
	}
	done := make(chan result, 1)
	go func() { // a read from a terminal knows no context
		line, err := readBytes(r)
		done <- result{strings.TrimSuffix(string(line), "\r"), err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case got := <-done:
		return got.line, got.err
	}
}

// readBytes reads up to a line feed, byte by byte: what follows is for others.
func readBytes(r io.Reader) ([]byte, error) {
	var line []byte
	one := make([]byte, 1)
	for len(line) < 4<<10 {
		n, err := r.Read(one)
		if n == 1 {
			if one[0] == '\n' {
				break
			}
			line = append(line, one[0])
		}
		if err == io.EOF && len(line) > 0 {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("no line on standard input: %w", err)
		}
	}
	return line, nil
}
