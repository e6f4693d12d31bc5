package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"posthouse/internal/classify"
	"posthouse/internal/server"
	"posthouse/internal/smtp"
)

func (a *app) explainCommand() *cobra.Command {
	stage := string(classify.StageRcpt)
	c := a.listFlags(&cobra.Command{Use: `explain "550 5.1.1 …"`, Short: "What a reply of another server means to us, and which rule says so",
		Args: args(cobra.ExactArgs(1)), RunE: func(_ *cobra.Command, args []string) error { return a.explain(classify.Stage(stage), args[0]) }})
	c.Flags().StringVar(&stage, "stage", stage, "`STAGE` of the dialogue: greeting, ehlo, starttls, auth, mail, rcpt, data or end-of-data")
	return c
}

// explain judges a reply by the rules of the configuration. It needs no house.
func (a *app) explain(stage classify.Stage, text string) error {
	if !stage.Valid() {
		return usageError{fmt.Errorf("--stage %q: there is no such stage", stage)}
	}
	reply, err := smtp.ParseReply(pasted(text))
	if err != nil || reply.Code < 400 {
		return usageError{fmt.Errorf("%q is not a reply that refuses: 400 to 599 and a text", text)}
	}
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	rules, err := server.ReplyRules(cfg)
	if err != nil {
		return err
	}
	v := rules.Classify(stage, reply)
	if a.json {
		return a.printJSON(v)
	}
	fmt.Fprintf(a.Out, "class   %s\nscope   %s\naction  %s\n", v.Class, v.Scope, v.Action)
	if v.Pause > 0 {
		fmt.Fprintf(a.Out, "pause   %s\n", v.Pause)
	}
	fmt.Fprintf(a.Out, "rule    %s\nhint    %s\n", v.Rule, v.Hint)
	return nil
}

// pasted makes a reply of what stands in a log: its lines may be joined to one, or
// by "\n", be broken elsewhere, and the last of them may be missing.
func pasted(text string) string {
	text = strings.NewReplacer(`\r\n`, "\n", `\n`, "\n").Replace(strings.TrimSpace(text))
	if len(text) < 4 || !strings.ContainsRune("- \t\r\n", rune(text[3])) {
		return text
	}
	code, more := text[:3], text[3] == '-'
	var lines []string
	for i, word := range strings.Fields(text) {
		rest, begins := strings.CutPrefix(word, code)
		begins = begins && (rest == "" || rest[0] == '-')
		if i == 0 || more && begins {
			lines = append(lines, strings.TrimPrefix(rest, "-"))
			more = more && rest != ""
			continue
		}
		lines[len(lines)-1] += " " + word
	}
	for i := range lines {
		separator := "-"
		if i == len(lines)-1 {
			separator = " "
		}
		lines[i] = code + separator + strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}
