package smtpd

import (
	"strings"
	"testing"
)

func TestDSNParameters(t *testing.T) {
	h := &house{}
	_, addr := serve(t, Config{}, h)
	p := dial(t, addr)
	p.do("EHLO x", "250")
	for _, bad := range []string{"RET", "RET=", "RET=BODY", "RET=FULL RET=HDRS", "ENVID", "ENVID=a=b", "ENVID=+zz", "ENVID=" + strings.Repeat("x", 101), "ENVID=1 ENVID=2"} {
		p.do("MAIL FROM:<a@b.test> "+bad, "501 5.5.4")
	}
	for _, foreign := range []string{"NOTIFY=NEVER", "ORCPT=rfc822;a@b"} {
		p.do("MAIL FROM:<a@b.test> "+foreign, "555 5.5.4")
	}
	p.do("MAIL FROM:<a@b.test> ret=hdrs ENVID=QQ+3D1", "250 2.1.0")
	for _, bad := range []string{
		"NOTIFY", "NOTIFY=", "NOTIFY=NEVER,SUCCESS", "NOTIFY=SUCCESS,,DELAY", "NOTIFY=LATER", "NOTIFY=NEVER NOTIFY=NEVER",
		"ORCPT", "ORCPT=alice@example.test", "ORCPT=rfc822;a+4", "ORCPT=rfc822;a+0Ab", "ORCPT=rfc822;" + strings.Repeat("x", 500), "ORCPT=rfc822;a@b ORCPT=rfc822;a@b",
	} {
		p.do("RCPT TO:<alice@example.test> "+bad, "501 5.5.4")
	}
	p.do("RCPT TO:<alice@example.test> RET=FULL", "555 5.5.4")
	p.do("RCPT TO:<nobody@example.test> NOTIFY=NEVER", "550 5.1.1")
	p.do("RCPT TO:<alice@example.test> NOTIFY=success,Failure ORCPT=rfc822;Ali+2Bce@Example.test", "250 2.1.5")
	p.do("RCPT TO:<bob@example.test>", "250 2.1.5")
	p.do("DATA", "354")
	p.do("x\r\n.", "250")
	env := only(t, h).env
	if env.Ret != "HDRS" || env.EnvID != "QQ=1" {
		t.Errorf("RET %q, ENVID %q", env.Ret, env.EnvID)
	}
	if r := env.Rcpts[0]; r.Notify != "SUCCESS,FAILURE" || r.ORcpt != "rfc822;Ali+ce@Example.test" {
		t.Errorf("first recipient %+v", r)
	}
	if r := env.Rcpts[1]; r.Notify != "" || r.ORcpt != "" {
		t.Errorf("second recipient %+v", r)
	}
	p.do("HELO x", "250")
	p.do("MAIL FROM:<a@b.test> RET=FULL", "555 5.5.4")
	p.do("MAIL FROM:<a@b.test>", "250")
	p.do("RCPT TO:<bob@example.test> NOTIFY=NEVER", "555 5.5.4")
}
