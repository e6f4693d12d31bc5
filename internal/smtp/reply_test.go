package smtp

import (
	"errors"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"

	"posthouse/internal/status"
	"posthouse/internal/wire"
)

// read gives ReadReply what a server says.
func read(t *testing.T, text string) (Reply, error) {
	t.Helper()
	client, server := net.Pipe()
	defer client.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.WriteString(server, text)
		server.Close()
	}()
	r, err := ReadReply(wire.New(client, 0, 0))
	client.Close()
	<-done
	return r, err
}

func TestReadReply(t *testing.T) {
	for text, want := range map[string]Reply{
		"250 OK\r\n":              {250, status.Enhanced{}, []string{"OK"}},
		"250\r\n":                 {250, status.Enhanced{}, []string{""}},
		"250 2.1.0 Sender ok\r\n": {250, status.Enhanced{Class: 2, Subject: 1}, []string{"Sender ok"}},
		"550-5.1.1 No such\r\n550 5.1.1 user\r\n":         {550, status.Enhanced{Class: 5, Subject: 1, Detail: 1}, []string{"No such", "user"}},
		"550 4.1.1 class differs\n":                       {550, status.Enhanced{}, []string{"4.1.1 class differs"}},
		"250-mx.test\r\n250-SIZE 5\r\n250 AUTH=LOGIN\r\n": {250, status.Enhanced{}, []string{"mx.test", "SIZE 5", "AUTH=LOGIN"}},
		"421 a\x07b\xff\r\n":                              {421, status.Enhanced{}, []string{"a b?"}},
	} {
		got, err := read(t, text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"hello\r\n", "25 OK\r\n", "250OK\r\n", "999 x\r\n", "\r\n", "250-a\r\n251 b\r\n", strings.Repeat("y", 70_000) + "\r\n",
	} {
		if got, err := read(t, text); !errors.Is(err, ErrReply) || errors.Is(err, ErrReplyTooLong) {
			t.Errorf("%.30q: %+v, %v; want ErrReply", text, got, err)
		}
	}
	for _, text := range []string{
		strings.Repeat("250-2.0.0 x\r\n", 300), strings.Repeat("250-2.0.0 "+strings.Repeat("y", 4000)+"\r\n", 20),
		"250 2.0.0 " + strings.Repeat("y", 70_000) + "\r\n", "250-2.0.0 x\r\n250 " + strings.Repeat("y", wire.MaxDrain+10_000),
	} {
		if got, err := read(t, text); !errors.Is(err, ErrReplyTooLong) || got.Code != 250 || got.Enhanced.Class != 2 || len(got.Text()) > maxReplySize {
			t.Errorf("%.30q: %+v, %v; want ErrReplyTooLong", text, got, err)
		}
	}
	if _, err := read(t, "250-a\r\n"); !errors.Is(err, io.EOF) {
		t.Errorf("cut off: %v", err)
	}
}

func TestReplyAppend(t *testing.T) {
	r := Reply{Code: 550, Enhanced: status.Enhanced{Class: 5, Subject: 1, Detail: 1}, Lines: []string{"No", "such\r\n250 user"}}
	if got, want := string(r.Append(nil)), "550-5.1.1 No\r\n550 5.1.1 such  250 user\r\n"; got != want {
		t.Errorf("Append = %q, want %q", got, want)
	}
	if got, want := r.String(), "550 5.1.1 No such  250 user"; got != want {
		t.Errorf("String = %q, want %q", got, want)
	}
}

func TestParseEHLO(t *testing.T) {
	r, err := read(t, "250-mx.test hello\r\n250-SIZE 1000\r\n250-auth plain LOGIN\r\n250-AUTH=LOGIN CRAM-MD5\r\n250-starttls\r\n250-???\r\n250 PIPELINING\r\n")
	if err != nil {
		t.Fatal(err)
	}
	e := ParseEHLO(r)
	if e.Size() != 1000 || !e.Has("STARTTLS") || !e.Has("PIPELINING") || e.Has("MX.TEST") || len(e) != 4 {
		t.Errorf("extensions %v", e)
	}
	if got, want := e.Auth(), []string{"PLAIN", "LOGIN", "LOGIN", "CRAM-MD5"}; !reflect.DeepEqual(got, want) {
		t.Errorf("mechanisms %v", got)
	}
	if e := ParseEHLO(NewReply(502, status.Enhanced{}, "no")); len(e) != 0 {
		t.Errorf("extensions of a refusal: %v", e)
	}
}

func FuzzReadReply(f *testing.F) {
	for _, s := range []string{"250 OK\r\n", "250-a\r\n250 2.0.0 b\r\n", "550-5.1.1 x\n550 5.1.1\n", "220"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := read(t, s)
		if err != nil {
			return
		}
		if r.Code < 200 || r.Code > 599 || len(r.Lines) == 0 {
			t.Fatalf("%+v", r)
		}
		again, err := read(t, string(r.Append(nil)))
		if err != nil || again.Code != r.Code || again.Enhanced != r.Enhanced {
			t.Fatalf("%+v reads back as %+v, %v", r, again, err)
		}
		ParseEHLO(r)
	})
}
