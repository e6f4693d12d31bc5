package tlsrpt

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"reflect"
	"strings"
	"testing"
	"time"

	"posthouse/internal/smtp"
)

func TestParseRecord(t *testing.T) {
	a := smtp.Address{Local: "reports", Domain: "example.com"}
	url := "https://reporting.example.com/v1/tlsrpt"
	for name, c := range map[string]struct {
		texts []string
		want  *Record
		err   error
	}{
		"mail":                       {[]string{"v=TLSRPTv1;rua=mailto:reports@example.com"}, &Record{Mail: []smtp.Address{a}}, nil},
		"https":                      {[]string{"v=TLSRPTv1; rua=" + url}, &Record{HTTPS: []string{url}}, nil},
		"both":                       {[]string{"v=TLSRPTv1; rua=mailto:reports@example.com , " + url + ";"}, &Record{[]smtp.Address{a}, []string{url}}, nil},
		"escaped":                    {[]string{"v=TLSRPTv1;rua=mailto:reports%40example.com"}, &Record{Mail: []smtp.Address{a}}, nil},
		"unknown fields":             {[]string{"v=TLSRPTv1;x=y;rua=mailto:reports@example.com;z=1"}, &Record{Mail: []smtp.Address{a}}, nil},
		"unknown kinds beside":       {[]string{"v=TLSRPTv1;rua=http://a.example/,mailto:reports@example.com"}, &Record{Mail: []smtp.Address{a}}, nil},
		"other records beside":       {[]string{"v=spf1", "v=TLSRPTv1; rua=" + url, "v=TLSRPTv12;rua=" + url}, &Record{HTTPS: []string{url}}, nil},
		"none":                       {nil, nil, ErrNone},
		"two are none":               {[]string{"v=TLSRPTv1; rua=" + url, "v=TLSRPTv1; rua=" + url}, nil, ErrNone},
		"no rua":                     {[]string{"v=TLSRPTv1; ruf=" + url}, nil, ErrInvalid},
		"only unknown kinds":         {[]string{"v=TLSRPTv1; rua=http://a.example/"}, nil, ErrInvalid},
		"no password in the clear":   {[]string{"v=TLSRPTv1; rua=https://u:p@a.example/"}, nil, ErrInvalid},
		"not an address":             {[]string{"v=TLSRPTv1; rua=mailto:reports"}, nil, ErrInvalid},
		"a line end is no address's": {[]string{"v=TLSRPTv1; rua=mailto:a%0d%0aBcc:x@example.com"}, nil, ErrInvalid},
	} {
		if got, err := ParseRecord(c.texts); !reflect.DeepEqual(got, c.want) || !errors.Is(err, c.err) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// sample has what RFC 8460 appendix B has.
func sample() *Report {
	day := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	return &Report{
		Organization: "Company-X", Contact: "sts-reporting@company-x.example", ID: "20260401.example@mx.example.test",
		Range: DateRange{Time{day}, Time{day.Add(24*time.Hour - time.Second)}},
		Policies: []Policy{{
			Policy: Terms{Type: STS, Domain: "company-y.example", MXHost: Strings{"*.mail.company-y.example"},
				String: Strings{"version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"}},
			Summary: Summary{5326, 303},
			Failures: []Failure{
				{Type: "certificate-expired", SendingIP: "2001:db8:abcd:12::1", ReceivingHost: "mx1.mail.company-y.example", Count: 100},
				{Type: "starttls-not-supported", SendingIP: "2001:db8:abcd:13::1", ReceivingHost: "mx2.mail.company-y.example", ReceivingIP: "203.0.113.56",
					Count: 200, Additional: "https://reports.company-x.example/report_info?id=5065427c-23d3#StarttlsNotSupported"},
				{Type: "validation-failure", SendingIP: "198.51.100.62", ReceivingIP: "203.0.113.58", ReceivingHost: "mx-backup.mail.company-y.example",
					Count: 3, Reason: "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED"},
			},
		}},
	}
}

func sampleMessage() *Message {
	return &Message{
		From: smtp.Address{Local: "tlsrpt", Domain: "example.test"}, To: smtp.Address{Local: "reports", Domain: "company-y.example"},
		Submitter: "mx.example.test", Domain: "company-y.example", Date: time.Date(2026, 4, 2, 1, 0, 0, 0, time.UTC), Report: sample(),
	}
}

// TestMessage reads the message with the standard library, and the report in it
// with our own parser.
func TestMessage(t *testing.T) {
	var b bytes.Buffer
	if n, err := sampleMessage().WriteTo(&b); err != nil || n != int64(b.Len()) {
		t.Fatalf("%d bytes, %v", n, err)
	}
	for line := range bytes.Lines(b.Bytes()) {
		if !bytes.HasSuffix(line, []byte("\r\n")) || len(line) > 200 {
			t.Errorf("line %q", line)
		}
	}
	m, err := mail.ReadMessage(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Subject":              "Report Domain: company-y.example Submitter: mx.example.test Report-ID: <20260401.example@mx.example.test>",
		"TLS-Report-Domain":    "company-y.example",
		"TLS-Report-Submitter": "mx.example.test",
		"TLS-Required":         "No",
		"Message-ID":           "<20260401.example@mx.example.test>",
	} {
		if got := m.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if !IsReport(m.Header.Get("Content-Type")) {
		t.Errorf("Content-Type %q", m.Header.Get("Content-Type"))
	}
	if !strings.Contains(b.String(), sample().FileName("mx.example.test", "company-y.example")) || !strings.Contains(b.String(), "5326 good, 303 failed") {
		t.Errorf("%s", b.String())
	}
	got, err := Read(&b)
	if err != nil || !reflect.DeepEqual(got, sample()) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestOddReports reads what other senders make.
func TestOddReports(t *testing.T) {
	const body = `{"organization-name":"G","date-range":{"start-datetime":"2026-04-01T00:00:00Z","end-datetime":"2026-04-01T23:59:59"},` +
		`"contact-info":"c","report-id":"i","policies":[{"policy":{"policy-type":"sts","policy-string":"version: STSv1","policy-domain":"d.example",` +
		`"mx-host":"*.d.example"},"summary":{"total-successful-session-count":1,"total-failure-session-count":0}}],"new-field":[1,2]}`
	packed, err := sample().Gzip()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"a file":                body,
		"a compressed file":     string(packed),
		"a message of one part": "From: a@b\r\nContent-Type: application/tlsrpt+json\r\n\r\n" + body,
		"quoted-printable":      "Content-Type: application/tlsrpt+json\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.ReplaceAll(body, "=", "=3D"),
		"of another type": "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\n" +
			"Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=\"x!y!1!2.json\"\r\n\r\n" + body + "\r\n--b--\r\n",
		"nested": "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/report; report-type=tlsrpt; boundary=b\r\n\r\n--b\r\n" +
			"Content-Type: application/tlsrpt+json\r\n\r\n" + body + "\r\n--b--\r\n--a--\r\n",
	} {
		r, err := Read(strings.NewReader(text))
		if err != nil || len(r.Policies) != 1 || r.Totals().Success == 0 || r.Policies[0].Policy.MXHost[0][:2] != "*." || r.Range.End.Hour() != 23 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	for name, text := range map[string]string{
		"nothing": "", "no policies": `{"policies":[]}`, "not JSON": "{", "no report": "Subject: x\r\n\r\nhello",
		"broken gzip": string(packed[:20]), "a page": "<html>", "odd time": strings.Replace(body, "2026-04-01T00:00:00Z", "yesterday", 1),
	} {
		if r, err := Read(strings.NewReader(text)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func TestFileName(t *testing.T) {
	r := sample()
	want := fmt.Sprintf("mx.example.test!company-y.example!%d!%d.json.gz", r.Range.Start.Unix(), r.Range.End.Unix())
	if got := r.FileName("mx.example.test", "company-y.example"); got != want {
		t.Errorf("%q", got)
	}
	if got := r.FileName("a\"\r\n!b", "c/d"); strings.ContainsAny(got, "\"\r\n/") || strings.Count(got, "!") != 3 {
		t.Errorf("%q", got)
	}
}

// A small file must not become gigabytes in memory: it is given up where there are
// too many objects, before they are made.
func TestReportOfTooMuch(t *testing.T) {
	for name, text := range map[string]string{
		"policies": `{"policies":[` + strings.Repeat(`{},`, 1<<20) + `{}]}`,
		"failures": `{"policies":[{"failure-details":[` + strings.Repeat(`{},`, 1<<20) + `{}]}]}`,
		"strings":  `{"policies":[{"policy":{"policy-string":[` + strings.Repeat(`"",`, maxValues+1) + `""]}}]}`,
	} {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		if _, err := z.Write([]byte(text)); err != nil || z.Close() != nil {
			t.Fatal(err)
		}
		in := &sparing{r: strings.NewReader(text)}
		if n, err := io.Copy(io.Discard, in); !errors.Is(err, errTooMuch) || n > maxUnpacked {
			t.Errorf("%s: %v after %d bytes", name, err, n)
		}
		if _, err := Parse(&packed); !errors.Is(err, ErrInvalid) || !errors.Is(err, errTooMuch) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzRead gives anything to what reads reports of strangers.
func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	if _, err := sampleMessage().WriteTo(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	packed, err := sample().Gzip()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Add([]byte(`{"policies":[{"policy":{"mx-host":["a"],"policy-string":"b"}}]}`))
	f.Add([]byte("v=TLSRPTv1; rua=mailto:a@b.example,https://c.example/"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if rec, err := ParseRecord([]string{string(text)}); err == nil && len(rec.Mail)+len(rec.HTTPS) == 0 {
			t.Error("a record without places")
		}
		r, err := Read(bytes.NewReader(text))
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("error %v", err)
			}
			return
		}
		packed, err := r.Gzip()
		if err != nil {
			t.Skip() // a year that JSON cannot say
		}
		if again, err := Parse(bytes.NewReader(packed)); err != nil || again.Totals() != r.Totals() {
			t.Errorf("%+v became %+v, %v", r, again, err)
		}
	})
}
