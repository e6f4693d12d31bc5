package config

import (
	"bytes"
	"encoding"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// maxFile bounds the file, in bytes.
const maxFile = 1 << 20

// Load reads the file at path ("" is no file) over the defaults, then the
// variables of env ("POSTHOUSE_LISTEN_SMTP=127.0.0.1:2525", as os.Environ gives
// them; others than POSTHOUSE_ are passed over; see Passed), and checks everything. Lists in
// the environment are comma-separated, routes are match=via. Relative paths in the
// file are seen from its directory, others from the working directory. Wrong
// content is an *Error.
func Load(path string, env []string) (*Config, error) { return LoadOver(nil, path, env) }

// LoadOver is Load over a document that changes the defaults. [listen] counts as a
// whole: a file that has one offers what stands there and nothing else.
func LoadOver(defaults []byte, path string, env []string) (*Config, error) {
	var doc []byte
	if path != "" {
		var err error
		if doc, err = readFile(path); err != nil {
			return nil, err
		}
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	c := Default()
	if err := decode("defaults", defaults, c); err != nil {
		return nil, err
	}
	if findPlaces(path, doc).has("listen") {
		c.Listen = Listen{}
	}
	return parse(c, path, dir, doc, env)
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, &Error{Source: path, Reason: "larger than 1 MB: not a configuration file"}
	}
	doc, err := os.ReadFile(path)
	return bytes.TrimPrefix(doc, []byte("\ufeff")), err // as some editors begin a file
}

// Parse is Load for a document in memory; source is its name in errors.
func Parse(source string, doc []byte, env []string) (*Config, error) {
	return parse(Default(), source, "", doc, env)
}

// parse reads a document, whose relative paths are seen from dir, over c.
func parse(c *Config, source, dir string, doc []byte, env []string) (*Config, error) {
	if err := decode(source, doc, c); err != nil {
		return nil, err
	}
	c.resolve(dir)
	at := findPlaces(source, doc)
	if err := override(c, env, at); err != nil {
		return nil, err
	}
	if here, err := os.Getwd(); err == nil {
		c.resolve(here) // what the environment said
	}
	if c.Hostname == "" {
		c.Hostname = machineName()
	}
	c.at = at
	v := validator{c: c, source: source}
	if err := v.all(); err != nil {
		return nil, err
	}
	return c, nil
}

// Errorf is an *Error about a key that only shows later to be wrong, such as
// "listen.smtp[0]" when its port is taken; it tells where the key was given.
func (c *Config) Errorf(key, format string, args ...any) error {
	for near := key; near != ""; near = near[:max(0, strings.LastIndexAny(near, ".["))] {
		if at, ok := c.at[near]; ok {
			return at.errorf(key, format, args...)
		}
	}
	return place{source: "configuration"}.errorf(key, format, args...)
}

// machineName is the system's host name, or "localhost" when it is none that
// mail could use.
func machineName() string {
	name, err := os.Hostname()
	if err != nil || !validHost(name) {
		return "localhost"
	}
	return name
}

func decode(source string, doc []byte, c *Config) error {
	d := toml.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	err := d.Decode(c)
	if err == nil {
		return nil
	}
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
		return convert(source, doc, &unknown.Errors[0], "unknown key")
	}
	var wrong *toml.DecodeError
	if errors.As(err, &wrong) {
		return convert(source, doc, wrong, "")
	}
	return notText(source, doc, err)
}

// notText finds the value behind an error that came without a position: the
// decoder tells none for numbers and dates where a text is wanted.
func notText(source string, doc []byte, err error) error {
	for key, at := range findPlaces(source, doc) {
		t, ok := typeOf(key)
		if !ok || at.text == "" {
			continue
		}
		u, ok := reflect.New(t).Interface().(encoding.TextUnmarshaler)
		if ok && u.UnmarshalText([]byte(at.text)) != nil {
			return at.errorf(key, "%s", want(t))
		}
	}
	return &Error{Source: source, Reason: err.Error()}
}

// convert makes an Error of the decoder's, with the key it concerns.
func convert(source string, doc []byte, e *toml.DecodeError, reason string) error {
	line, column := e.Position()
	out := &Error{Source: source, Line: line, Column: column, Key: strings.Join(e.Key(), "."), Reason: reason}
	if at := findPlaces(source, doc).keyAt(line, column); reason == "" && at != "" {
		out.Key = at
	}
	if out.Reason != "" {
		return out
	}
	out.Reason = strings.TrimPrefix(e.Error(), "toml: ")
	if strings.HasPrefix(out.Reason, "cannot decode TOML") {
		if t, ok := typeOf(out.Key); ok {
			out.Reason = want(t)
		}
	}
	return out
}

// Passed are the variables that look like ours and are not: nothing of the
// configuration has such a name.
func (c *Config) Passed() []string { return c.passed }

// ofOthers reports whether a variable that is no key of ours is somebody else's: of
// a script, or of Kubernetes, which tells where a service called "posthouse" is. In
// one of our sections it is more likely a slip.
func ofOthers(name, text string) bool {
	section, _, inOne := strings.Cut(strings.ToLower(strings.TrimPrefix(name, "POSTHOUSE_")), "_")
	if t, ok := typeOf(section); !inOne || !ok || t.Kind() != reflect.Struct {
		return true
	}
	return strings.Contains(name, "_SERVICE_HOST") || strings.Contains(name, "_SERVICE_PORT") ||
		strings.Contains(name, "_TCP_") || strings.HasPrefix(text, "tcp://")
}

// override applies the environment and notes where values came from.
func override(c *Config, env []string, at places) error {
	byName := make(map[string]field)
	for _, f := range fields(c) {
		byName[f.env()] = f
	}
	for _, v := range env {
		name, text, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, "POSTHOUSE_") {
			continue
		}
		f, ok := byName[name]
		if !ok && ofOthers(name, text) {
			c.passed = append(c.passed, name)
			continue
		}
		if !ok {
			return &Error{Source: "environment", Key: name, Reason: "no key of the configuration has this name"}
		}
		here := place{source: name}
		if err := set(f.value, text); err != nil {
			return here.errorf(f.key, "%v", err)
		}
		for key := range at { // what the file said is not what stands now
			if strings.HasPrefix(key, f.key+"[") {
				delete(at, key)
			}
		}
		at[f.key] = here
	}
	return nil
}
