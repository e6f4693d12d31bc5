package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is the version of this source tree.
const release = "0.1.0"

// version is the release with the revision it was built from, where known.
func version() string {
	v := release
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			v += "+" + s.Value[:12]
		}
	}
	return v
}

// versionLine is what "version" and --version print.
func versionLine() string {
	return fmt.Sprintf("posthouse %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func (a *app) printVersion() error {
	_, err := fmt.Fprint(a.Out, versionLine())
	return err
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: args(cobra.NoArgs), RunE: func(*cobra.Command, []string) error {
		return a.printVersion()
	}}
}

// addVersionFlag gives the root its --version. Cobra's own needs a template for a
// text of our own, and with package text/template in the program the linker
// keeps every exported method: six megabytes.
func (a *app) addVersionFlag(root *cobra.Command) {
	wanted := root.Flags().BoolP("version", "v", false, "version for posthouse")
	root.RunE = func(c *cobra.Command, _ []string) error {
		if *wanted {
			return a.printVersion()
		}
		return c.Help()
	}
}
