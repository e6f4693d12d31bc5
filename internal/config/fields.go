package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"posthouse/internal/shaping"
)

// field is one key that has a value.
type field struct {
	key   string // "limits.message_size"
	value reflect.Value
}

// env is the name of the variable that overrides the key.
func (f field) env() string {
	return "POSTHOUSE_" + strings.ToUpper(strings.ReplaceAll(f.key, ".", "_"))
}

// fields are the keys of c in the order of the struct.
func fields(c *Config) []field { return appendFields(nil, "", reflect.ValueOf(c).Elem()) }

func appendFields(list []field, prefix string, v reflect.Value) []field {
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag.Get("toml")
		if tag == "" {
			continue
		}
		key := prefix + tag
		f := v.Field(i)
		if _, text := f.Addr().Interface().(encoding.TextUnmarshaler); !text && f.Kind() == reflect.Struct {
			list = appendFields(list, key+".", f)
			continue
		}
		list = append(list, field{key, f})
	}
	return list
}

// Changed are the keys in which two configurations differ. A list without items is
// one that is not there.
func Changed(a, b *Config) []string {
	var keys []string
	other := fields(b)
	for i, f := range fields(a) {
		is := other[i].value
		if f.value.Kind() == reflect.Slice && f.value.Len() == 0 && is.Len() == 0 {
			continue
		}
		if !reflect.DeepEqual(f.value.Interface(), is.Interface()) {
			keys = append(keys, f.key)
		}
	}
	return keys
}

// want says in words what a key takes.
func want(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Size]():
		return "want a size such as \"25M\""
	case reflect.TypeFor[Duration]():
		return "want a length of time such as \"5m\" or \"5d\""
	case reflect.TypeFor[Relay]():
		return "want a URL such as \"smtp://host:25\""
	case reflect.TypeFor[Network]():
		return "want a network such as \"10.0.0.0/8\""
	case reflect.TypeFor[[]Route]():
		return "want tables with match and via"
	case reflect.TypeFor[shaping.Rate]():
		return "want a rate such as \"100/m\" (s, m, h, d)"
	case reflect.TypeFor[[]Source]():
		return "want tables with name and address"
	case reflect.TypeFor[[]Limit]():
		return "want tables with match and what is limited"
	case reflect.TypeFor[[]TLSRule]():
		return "want tables with match and policy"
	}
	switch t.Kind() {
	case reflect.Slice:
		return "want a list of strings"
	case reflect.Bool:
		return "want true or false"
	case reflect.Int:
		return "want a number"
	case reflect.Struct:
		return "want a table"
	}
	return "want a string"
}

// typeOf finds the type of a key, of an element, or of a table.
func typeOf(key string) (reflect.Type, bool) {
	t := reflect.TypeFor[Config]()
	for part := range strings.SplitSeq(key, ".") {
		name, index, element := strings.Cut(part, "[")
		f, ok := fieldByKey(t, name)
		if !ok {
			return nil, false
		}
		t = f.Type
		if element && index != "" && t.Kind() == reflect.Slice {
			t = t.Elem()
		}
	}
	return t, true
}

func fieldByKey(t reflect.Type, name string) (reflect.StructField, bool) {
	if t.Kind() != reflect.Struct {
		return reflect.StructField{}, false
	}
	for i := range t.NumField() {
		if f := t.Field(i); f.Tag.Get("toml") == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// set gives a value its text from the environment; lists are comma-separated.
func set(v reflect.Value, text string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return errors.New(want(v.Type()))
		}
		v.SetBool(b)
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return errors.New(want(v.Type()))
		}
		v.SetInt(int64(n))
	case reflect.Slice:
		return setList(v, text)
	default:
		return fmt.Errorf("cannot be set from the environment")
	}
	return nil
}

func setList(v reflect.Value, text string) error {
	list := reflect.MakeSlice(v.Type(), 0, 4)
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		e := reflect.New(v.Type().Elem()).Elem()
		if r, ok := e.Addr().Interface().(interface{ set(string) error }); ok {
			if err := r.set(item); err != nil {
				return err
			}
		} else if err := set(e, item); err != nil {
			return err
		}
		list = reflect.Append(list, e)
	}
	v.Set(list)
	return nil
}

// set reads "match=via", the form of a route in the environment.
func (r *Route) set(text string) error {
	match, via, ok := strings.Cut(text, "=")
	if !ok {
		return errors.New("want routes as match=via")
	}
	r.Match = strings.TrimSpace(match)
	return r.Via.UnmarshalText([]byte(strings.TrimSpace(via)))
}

// set reads "match=policy", the form of a rule in the environment.
func (r *TLSRule) set(text string) error {
	match, policy, ok := strings.Cut(text, "=")
	if !ok {
		return errors.New("want rules as match=policy")
	}
	r.Match, r.Policy = strings.TrimSpace(match), strings.TrimSpace(policy)
	return nil
}
