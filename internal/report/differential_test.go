package report

import (
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	gomessage "github.com/emersion/go-message"

	"posthouse/internal/smtp"
)

// reading is a report as a reader understands it: the type and the text of each
// part, and the groups of fields.
type reading struct {
	Types  []string            `json:"types"`
	Text   string              `json:"text"`
	Groups []map[string]string `json:"groups"`
}

// python reads reports with Python's email package. A message/delivery-status is
// taken apart by it; the global one is text to it.
const python = `
import email, email.policy, json, sys
m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
parts = list(m.iter_parts())
s = parts[1]
blocks = s.get_payload()
groups = [{k.lower(): " ".join(str(v).split()) for k, v in b.items()} for b in blocks]
groups = [g for g in groups if g]
if any(p.defects for p in m.walk()):
    sys.exit("defects: %r" % [p.defects for p in m.walk()])
json.dump({"types": [m.get_content_type()] + [p.get_content_type() for p in parts],
           "text": parts[0].get_content(), "groups": groups}, sys.stdout)
`

func readPython(t *testing.T, raw []byte) reading {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	cmd := exec.Command(path, "-c", python)
	cmd.Stdin = bytes.NewReader(raw)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s\n%s", err, errs.String(), raw)
	}
	var r reading
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func readGoMessage(t *testing.T, raw []byte) reading {
	t.Helper()
	e, err := gomessage.Read(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	kind, _, err := e.Header.ContentType()
	if err != nil {
		t.Fatal(err)
	}
	r := reading{Types: []string{kind}}
	mr := e.MultipartReader()
	for i := 0; ; i++ {
		p, err := mr.NextPart()
		if err == io.EOF {
			return r
		}
		if err != nil {
			t.Fatal(err)
		}
		kind, _, err := p.Header.ContentType()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(p.Body)
		if err != nil {
			t.Fatal(err)
		}
		r.Types = append(r.Types, kind)
		switch i {
		case 0:
			r.Text = strings.ReplaceAll(string(body), "\r\n", "\n")
		case 1:
			for _, g := range fields(t, string(body)) {
				group := map[string]string{}
				for k, v := range g {
					group[strings.ToLower(k)] = strings.Join(strings.Fields(v[0]), " ")
				}
				r.Groups = append(r.Groups, group)
			}
		}
	}
}

// Two readers that are not ours find the same in every kind of report.
func TestOthersReadReports(t *testing.T) {
	utf8 := sample()
	utf8.Original.UTF8, utf8.Rcpts[0].To = true, smtp.Address{Local: "böb", Domain: "example.net"}
	utf8.Rcpts[0].Text = "kein Müll, " + strings.Repeat("lange Worte ", 40)
	full := sample()
	full.Original.Ret = "FULL"
	delayed := sample()
	delayed.Rcpts[0].Action, delayed.Rcpts[0].RetryUntil = Delayed, noon.Add(time.Hour)
	many := sample()
	for range 30 {
		many.Rcpts = append(many.Rcpts, many.Rcpts[0])
	}
	broken := sample()
	broken.Message = []byte("Subject: \xff\x00\nFrom: x\r\r\n\r\nbody")
	postmaster := sample()
	postmaster.To = Postmaster
	for name, d := range map[string]*DSN{
		"failed": sample(), "delayed": delayed, "delivered": success(Delivered), "relayed": success(Relayed),
		"expanded": success(Expanded), "full": full, "utf-8": utf8, "many": many, "broken": broken, "postmaster": postmaster,
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if _, err := d.WriteTo(&out); err != nil {
				t.Fatal(err)
			}
			ours := readGoMessage(t, out.Bytes())
			if len(ours.Groups) != 1+len(d.Rcpts) {
				t.Errorf("%d groups for %d recipients", len(ours.Groups), len(d.Rcpts))
			}
			if ours.Text != d.text() {
				t.Errorf("text %q, want %q", ours.Text, d.text())
			}
			for _, g := range ours.Groups[1:] {
				if g["action"] != string(d.Action()) || g["final-recipient"] == "" || g["status"] == "" {
					t.Errorf("%v", g)
				}
			}
			theirs := readPython(t, out.Bytes())
			if strings.HasPrefix(theirs.Types[2], "message/global") {
				// To Python's parser this is a message with one group as its header.
				theirs.Groups = ours.Groups
			}
			theirs.Text = strings.ReplaceAll(theirs.Text, "\r\n", "\n")
			if strings.TrimRight(theirs.Text, "\n") != strings.TrimRight(ours.Text, "\n") {
				t.Errorf("Python reads %q", theirs.Text)
			}
			theirs.Text = ours.Text
			if !reflect.DeepEqual(theirs, ours) {
				t.Errorf("Python reads %+v\ngo-message reads %+v", theirs, ours)
			}
		})
	}
}
