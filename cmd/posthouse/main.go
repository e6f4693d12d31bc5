// Command posthouse is the whole mail house. See "posthouse help".
package main

import (
	"os"

	"posthouse/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], cli.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
