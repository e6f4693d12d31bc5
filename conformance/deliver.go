package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// poll is how often a mailbox is looked at.
const poll = 40 * time.Millisecond

// delivery is what deliver asks for.
type delivery struct {
	address     string
	least, most int
	anywhere    bool // the token may stand anywhere in a message, as in reports
}

var deliveryForm = regexp.MustCompile(`^(\S+) ([0-9]+)(?:-([0-9]+))?( anywhere)?$`)

// parseDelivery reads "ADDRESS COUNT[-COUNT] [anywhere]".
func (sc *scope) parseDelivery(arg string) (*delivery, error) {
	m := deliveryForm.FindStringSubmatch(arg)
	if m == nil {
		return nil, fmt.Errorf("%q is not: address count[-count] [anywhere]", arg)
	}
	address, err := sc.text(m[1])
	if m[3] == "" {
		m[3] = m[2]
	}
	least, _ := strconv.Atoi(m[2]) // digits; what is too large fails as a count
	most, _ := strconv.Atoi(m[3])
	return &delivery{address: address, least: least, most: most, anywhere: m[4] != ""}, err
}

// deliver wants so many messages with the case's token in the INBOX of an
// account. Servers may deliver late, so it waits for them; and it waits for the time
// to settle before it believes that no more will come.
func (d *dialogue) deliver(arg string) error {
	what, err := d.scope.parseDelivery(arg)
	if err != nil {
		return err
	}
	if d.target.IMAP == "" {
		d.unchecked = true
		return nil
	}
	m, err := d.target.openMailbox(d.ctx, what.address)
	if err == nil {
		defer m.close()
		err = d.await(m, what)
	}
	if err != nil {
		return fmt.Errorf("INBOX of %s: %w", what.address, err)
	}
	return nil
}

func (d *dialogue) await(m *mailbox, what *delivery) error {
	criteria := "HEADER X-Token "
	if what.anywhere {
		criteria = "TEXT "
	}
	criteria += d.scope.vars["token"]
	deadline := time.Now().Add(d.target.timeout())
	var settled time.Time // when it is believed that there are enough; zero while there are not
	for {
		var err error
		if d.messages, err = m.search(criteria); err != nil {
			return err
		}
		n, now := len(d.messages), time.Now()
		if n >= what.least && settled.IsZero() {
			settled = now.Add(d.target.Settle)
		}
		switch {
		case n > what.most, settled.IsZero() && now.After(deadline):
			return fmt.Errorf("%d messages, wanted %d to %d", n, what.least, what.most)
		case !settled.IsZero() && !now.Before(settled):
			return nil
		}
		select {
		case <-time.After(poll):
		case <-d.ctx.Done():
			return d.ctx.Err()
		}
	}
}

// delivered is the one message of the last deliver; ok is false when nobody looked.
func (d *dialogue) delivered() (head, body []byte, ok bool, err error) {
	switch {
	case d.unchecked:
		return nil, nil, false, nil
	case len(d.messages) != 1:
		return nil, nil, false, errors.New("there is not one message to look at")
	}
	head, body, _ = bytes.Cut(d.messages[0], []byte("\r\n\r\n"))
	return head, body, true, nil
}

// body wants the octets after the first empty line to be these.
func (d *dialogue) body(arg string) error {
	want, err := d.scope.text(arg)
	if err != nil {
		return err
	}
	_, got, ok, err := d.delivered()
	if ok && string(got) != want {
		err = fmt.Errorf("the body is %s, wanted %s", short(got), short([]byte(want)))
	}
	return err
}

func short(b []byte) string {
	const most = 2000
	if len(b) > most {
		return fmt.Sprintf("%q … (%d octets)", b[:most], len(b))
	}
	return fmt.Sprintf("%q", b)
}

var fold = regexp.MustCompile(`\r\n[ \t]+`)

// fields are the unfolded header fields.
func (d *dialogue) fields() (fields []string, ok bool, err error) {
	head, _, ok, err := d.delivered()
	unfolded := fold.ReplaceAllString(string(head), " ")
	return strings.Split(unfolded, "\r\n"), ok, err
}

// header wants a header field, unfolded, that matches.
func (d *dialogue) header(arg string) error { return d.lookAtHeader(arg, true) }

// noHeader wants no header field to match.
func (d *dialogue) noHeader(arg string) error { return d.lookAtHeader(arg, false) }

func (d *dialogue) lookAtHeader(arg string, want bool) error {
	pattern, err := d.scope.pattern(arg)
	if err != nil {
		return err
	}
	fields, ok, err := d.fields()
	if !ok || err != nil {
		return err
	}
	switch i := slices.IndexFunc(fields, pattern.MatchString); {
	case want && i < 0:
		return fmt.Errorf("no header field matches %s: %q", pattern, fields)
	case !want && i >= 0:
		return fmt.Errorf("a header field matches %s: %q", pattern, fields[i])
	}
	return nil
}

// contains wants the message to match somewhere.
func (d *dialogue) contains(arg string) error { return d.look(arg, true) }

// lacks wants the message not to match anywhere.
func (d *dialogue) lacks(arg string) error { return d.look(arg, false) }

func (d *dialogue) look(arg string, want bool) error {
	pattern, err := d.scope.pattern(arg)
	if err != nil {
		return err
	}
	if _, _, ok, err := d.delivered(); !ok || err != nil {
		return err
	}
	if got := pattern.Match(d.messages[0]); got != want {
		return fmt.Errorf("the message matches %s: %v, wanted %v: %s", pattern, got, want, short(d.messages[0]))
	}
	return nil
}
