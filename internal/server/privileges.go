package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"posthouse/internal/config"
)

// identity is whom to become.
type identity struct{ uid, gid int }

// findIdentity looks up "name" or "name:group".
func findIdentity(spec string) (identity, error) {
	name, group, hasGroup := strings.Cut(spec, ":")
	u, err := user.Lookup(name)
	if err != nil {
		return identity{}, err
	}
	gid := u.Gid
	if hasGroup {
		g, err := user.LookupGroup(group)
		if err != nil {
			return identity{}, err
		}
		gid = g.Gid
	}
	var who identity
	var errU, errG error
	who.uid, errU = strconv.Atoi(u.Uid)
	who.gid, errG = strconv.Atoi(gid)
	return who, errors.Join(errU, errG)
}

// dropPrivileges becomes the user of the configuration when we are root. The data
// directory is given to that user if it is new, and so are sockets that are bound.
func (s *Server) dropPrivileges() error {
	cfg := s.cfg
	if os.Getuid() != 0 {
		return nil
	}
	if cfg.User == "" {
		return refuseForeign(cfg, 0)
	}
	who, err := findIdentity(cfg.User)
	if err != nil {
		return cfg.Errorf("user", "%s", strings.TrimPrefix(err.Error(), "user: "))
	}
	if err := giveAway(cfg.Data, who); err != nil {
		return cfg.Errorf("data", "%v", err)
	}
	for _, b := range s.binds {
		if a, ok := b.listener.Addr().(*net.UnixAddr); ok {
			if err := os.Chown(a.Name, who.uid, who.gid); err != nil {
				return err
			}
		}
	}
	if err := become(who); err != nil {
		return err
	}
	if err := syscall.Access(cfg.Data, writeAndSearch); err != nil {
		return cfg.Errorf("data", "%s cannot write to %s: %v", cfg.User, cfg.Data, err)
	}
	return nil
}

// refuseForeign refuses a store that belongs to somebody else than uid, who is to
// serve it: the files that root makes there its owner could not open later.
func refuseForeign(cfg *config.Config, uid int) error {
	st, err := ownerOf(filepath.Join(cfg.Data, indexDir))
	if err != nil {
		return cfg.Errorf("data", "%v", err)
	}
	if st == nil || int(st.Uid) == uid {
		return nil
	}
	owner := strconv.Itoa(int(st.Uid))
	if u, err := user.LookupId(owner); err == nil {
		owner = u.Username
	}
	return cfg.Errorf("user", "%s belongs to %s: want user = %q, or start as that user", cfg.Data, owner, owner)
}

// ownerOf tells whose a directory is; nil when it is not there.
func ownerOf(dir string) (*syscall.Stat_t, error) {
	info, err := os.Stat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	st, _ := info.Sys().(*syscall.Stat_t)
	return st, nil
}

// writeAndSearch is what access(2) is asked for.
const writeAndSearch = 2 | 1

// giveAway makes a directory that belongs to who, unless it is there already.
func giveAway(dir string, who identity) error {
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	return os.Chown(dir, who.uid, who.gid)
}

// become gives root up for good.
func become(who identity) error {
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

// ActAsOwner makes root, who gives a command to a house that does not run, the
// owner of its store (or of its data directory, while there is none) for the rest of
// the process: files that root left there would keep the house from starting.
func ActAsOwner(data string) error {
	if os.Getuid() != 0 {
		return nil
	}
	st, err := ownerOf(filepath.Join(data, indexDir))
	if err == nil && st == nil {
		st, err = ownerOf(data)
	}
	if err != nil || st == nil || st.Uid == 0 {
		return err
	}
	return become(identity{int(st.Uid), int(st.Gid)})
}
