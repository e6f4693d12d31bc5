package cli

import (
	"os"
	"os/exec"
	"strings"
)

// typed is a posthouse command line as it can be typed into a shell here, also
// where posthouse is on no path.
func typed(words ...string) string {
	self := "posthouse"
	if _, err := exec.LookPath(self); err != nil {
		if path, err := os.Executable(); err == nil {
			self = path
		}
	}
	words = append([]string{self}, words...)
	for i, w := range words {
		words[i] = shellQuoted(w)
	}
	return strings.Join(words, " ")
}

// shellQuoted is a word that a POSIX shell reads as it is.
func shellQuoted(word string) string {
	special := func(r rune) bool {
		alphanumeric := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !alphanumeric && !strings.ContainsRune("@%+=:,./_-", r)
	}
	if word != "" && !strings.ContainsFunc(word, special) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// sameHouse are the flags that lead another command to the house of this one.
func (a *app) sameHouse() (flags []string) {
	if a.configFile != "" {
		flags = append(flags, "--config", a.configFile)
	}
	if a.dataDir != "" {
		flags = append(flags, "--data", a.dataDir)
	}
	return flags
}
