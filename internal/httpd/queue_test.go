package httpd

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"posthouse/internal/admin"
	"posthouse/internal/queue"
)

// asked is an API that notes what is chosen.
type asked struct {
	admin.API
	sels []queue.Selector
}

func (a *asked) Queue(_ context.Context, sel queue.Selector, _ queue.Page) ([]queue.Entry, error) {
	a.sels = append(a.sels, sel)
	return []queue.Entry{}, nil
}

func (a *asked) QueueDo(_ context.Context, _ admin.QueueVerb, sel queue.Selector) (int, error) {
	a.sels = append(a.sels, sel)
	return 1, nil
}

func (a *asked) QueueReroute(_ context.Context, sel queue.Selector, _ string) (int, error) {
	a.sels = append(a.sels, sel)
	return 1, nil
}

// A selector with nothing in it is refused, not passed over: what is left might
// choose everything.
func TestEmptySelectors(t *testing.T) {
	api := new(asked)
	h := adminHandler(api, "test")
	ask := func(method, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, pathQueue+path, nil))
		return w
	}
	for _, name := range []string{"domain", "sender", "recipient", "id", "older_than", "site", "source", "state", "priority", "below"} {
		for _, w := range []*httptest.ResponseRecorder{
			ask(http.MethodGet, "?"+name+"="),
			ask(http.MethodGet, "?limit=3&"+name),
			ask(http.MethodPost, "/drop?"+name+"=%20&id=x"),
			ask(http.MethodPost, "/reroute?to=mx&id=x&"+name+"="),
		} {
			if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), `is empty","location":"query.`+name) {
				t.Errorf("%s: %d %s", name, w.Code, w.Body)
			}
		}
	}
	if w := ask(http.MethodPost, "/drop?below=true"); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("below nothing: %d %s", w.Code, w.Body)
	}
	if len(api.sels) != 0 {
		t.Fatalf("%+v", api.sels)
	}
	for _, path := range []string{"/drop?domain=a.test&below=true", "/reroute?to=mx&domain=a.test&below=true"} {
		if w := ask(http.MethodPost, path); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := ask(http.MethodGet, "?after=&domain=a.test&below=true"); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, sel := range api.sels {
		if sel != (queue.Selector{Domain: "a.test", Below: true}) {
			t.Errorf("%+v", sel)
		}
	}
	if len(api.sels) != 3 {
		t.Errorf("%d operations", len(api.sels))
	}
}
