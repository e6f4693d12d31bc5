package server

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// identity is whom to become.
type identity struct{ uid, gid int }

// findIdentity looks up "name" or "name:group".
func findIdentity(spec string) (identity, error) {
	name, group, hasGroup := strings.Cut(spec, ":")
	u, err := user.Lookup(name)
	if err != nil {
		return identity{}, fmt.Errorf("user = %q: %w", spec, err)
	}
	gid := u.Gid
	if hasGroup {
		g, err := user.LookupGroup(group)
		if err != nil {
			return identity{}, fmt.Errorf("user = %q: %w", spec, err)
		}
		gid = g.Gid
	}
	var who identity
	var errU, errG error
	who.uid, errU = strconv.Atoi(u.Uid)
	who.gid, errG = strconv.Atoi(gid)
	return who, errors.Join(errU, errG)
}

// dropPrivileges becomes the user of the configuration when we are root. The
// data directory is given to that user if it is new.
func dropPrivileges(spec, data string) error {
	if spec == "" || os.Getuid() != 0 {
		return nil
	}
	who, err := findIdentity(spec)
	if err != nil {
		return err
	}
	if _, err := os.Stat(data); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(data, dirMode); err != nil {
			return err
		}
		if err := os.Chown(data, who.uid, who.gid); err != nil {
			return err
		}
	}
	if err := syscall.Setgroups([]int{who.gid}); err != nil {
		return fmt.Errorf("setgroups: %w", err)
	}
	if err := syscall.Setgid(who.gid); err != nil {
		return fmt.Errorf("setgid: %w", err)
	}
	if err := syscall.Setuid(who.uid); err != nil {
		return fmt.Errorf("setuid: %w", err)
	}
	return nil
}
