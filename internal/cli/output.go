package cli

import (
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
	w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	if len(list) > 0 {
		fmt.Fprintln(w, strings.Join(head, "\t"))
	}
	for _, item := range list {
		fmt.Fprintln(w, strings.Join(row(item), "\t"))
	}
	return w.Flush()
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

// readLine reads one line, its end not included, of at most 4 KB.
func readLine(r io.Reader) (string, error) {
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
			return "", fmt.Errorf("no line on standard input: %w", err)
		}
	}
	return strings.TrimSuffix(string(line), "\r"), nil
}
