// Package serinus is a Traefik plugin: it puts each unit on its version by the same hash as the Serinus
// SDK, repeats on stable what a candidate failed, and takes a failing candidate out.
//
// It names the side in a request header; child routers lead from there to the version's service. Its
// configuration comes with every change of the split, so nothing restarts.
package serinus

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// revision must be the one that the driver expects: a running Traefik keeps the code it started with.
const revision = 3

// sideHeader leads to the side's router; whatever a client sends in it is overwritten.
const sideHeader = "X-Serinus-Side"

// mostRepeated is how long a request's body may be, in bytes, to be sent a second time.
const mostRepeated = 1 << 20

// Side is a candidate: units are on it whose bucket is below UpTo, and not below that of an earlier one;
// those below From are stable's.
type Side struct {
	Name    string
	Version string
	From    int
	UpTo    int
}

// Match pins requests by a header's or a cookie's exact value.
type Match struct {
	Name   string
	Value  string
	Cookie bool
}

// Config is the plugin's configuration, as the driver renders it.
type Config struct {
	State     bool
	Service   string
	Salt      string
	Headers   []string
	Cookie    string
	Sides     []Side
	Users     []string
	Workflows []string
	Matches   []Match
	Methods   []string
	Failures  int
	Seconds   float64
	Log       string
}

// CreateConfig returns an empty configuration.
func CreateConfig() *Config { return &Config{} }

// New returns the handler of one configuration.
func New(_ context.Context, next http.Handler, config *Config, _ string) (http.Handler, error) {
	if config.State {
		return http.HandlerFunc(answerState), nil
	}
	made := &router{
		next:      next,
		hasher:    newHasher(config.Salt),
		cookie:    config.Cookie,
		users:     set(config.Users),
		workflows: set(config.Workflows),
		matches:   config.Matches,
		methods:   set(config.Methods),
		failures:  config.Failures,
		out:       time.Duration(config.Seconds * float64(time.Second)),
		log:       openLog(config.Log),
		stable:    []string{"stable"},
		fallback:  []string{"fallback"},
	}
	made.pins = len(config.Users)+len(config.Workflows)+len(config.Matches) > 0
	for _, name := range config.Headers {
		made.headers = append(made.headers, http.CanonicalHeaderKey(name))
	}
	for _, side := range config.Sides {
		made.sides = append(made.sides, &candidate{
			version: side.Version,
			from:    side.From,
			upTo:    side.UpTo,
			again:   []string{side.Name},
			once:    []string{side.Name + "_once"},
			breaker: breakerOf(config.Service, side.Version, config.Salt),
		})
		if side.UpTo > made.upTo {
			made.upTo = side.UpTo
		}
	}
	// A function, since Traefik would reach a method of ours by one more layer of its interpreter.
	return http.HandlerFunc(func(client http.ResponseWriter, request *http.Request) {
		serve(made, client, request)
	}), nil
}

type candidate struct {
	version string
	from    int
	upTo    int
	again   []string
	once    []string
	breaker *breaker
}

type router struct {
	next      http.Handler
	hasher    *hasher
	headers   []string
	cookie    string
	sides     []*candidate
	upTo      int
	pins      bool
	users     map[string]bool
	workflows map[string]bool
	matches   []Match
	methods   map[string]bool
	failures  int
	out       time.Duration
	log       *os.File
	stable    []string
	fallback  []string
}

// serve puts the request on its side.
//
// Every request comes here, and a call of ours costs a microsecond when it is interpreted: so this is one
// plain function, and the rest is for those who need it.
func serve(r *router, client http.ResponseWriter, request *http.Request) {
	if r.pins && isPinned(r, request) {
		try(r, r.sides[0], client, request)
		return
	}
	if r.upTo > 0 {
		key := ""
		for _, name := range r.headers {
			if values := request.Header[name]; len(values) > 0 && values[0] != "" {
				key = values[0]
				break
			}
		}
		if key == "" {
			key = remembered(r, client, request)
		}
		if bucket := bucketOf(r.hasher, key); bucket < r.upTo {
			for _, side := range r.sides {
				if bucket < side.from {
					break
				}
				if bucket < side.upTo {
					try(r, side, client, request)
					return
				}
			}
		}
	}
	request.Header[sideHeader] = r.stable
	r.next.ServeHTTP(client, request)
}

func isPinned(r *router, request *http.Request) bool {
	if len(r.workflows) > 0 && r.workflows[request.Header.Get(r.headers[0])] {
		return true
	}
	if len(r.users) > 0 && r.users[request.Header.Get(r.headers[2])] {
		return true
	}
	for _, match := range r.matches {
		if !match.Cookie && contains(request.Header.Values(match.Name), match.Value) {
			return true
		}
		if match.Cookie {
			for _, cookie := range request.Cookies() {
				if cookie.Name == match.Name && cookie.Value == match.Value {
					return true
				}
			}
		}
	}
	return false
}

// remembered returns the unit of a client without a key: the cookie's, or a new one that the cookie will
// carry. The cookie names the unit, never the side, so it stays right while the share moves.
func remembered(r *router, client http.ResponseWriter, request *http.Request) string {
	if cookie, err := request.Cookie(r.cookie); err == nil && cookie.Value != "" {
		return cookie.Value
	}
	random := make([]byte, 16)
	_, _ = rand.Read(random)
	unit := hex.EncodeToString(random)
	client.Header().Add("Set-Cookie", r.cookie+"="+unit+"; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax")
	return unit
}

// try asks the candidate, and stable where it is out, or fails and the request may be repeated.
func try(r *router, side *candidate, client http.ResponseWriter, request *http.Request) {
	if isOut(side.breaker) {
		request.Header[sideHeader] = r.stable
		r.next.ServeHTTP(client, request)
		return
	}
	if len(request.Header["Upgrade"]) > 0 {
		request.Header[sideHeader] = side.once
		r.next.ServeHTTP(client, request)
		return
	}
	body, again := repeatable(r, request)
	if again {
		request.Header[sideHeader] = side.again
	} else {
		request.Header[sideHeader] = side.once
	}
	given := &answer{client: client, header: client.Header(), held: again, bodyless: request.Method == "HEAD"}
	ours := given.header["Set-Cookie"]
	start := time.Now()
	aborted := ask(r, given, request)
	good := given.committed && given.status < 500 && !aborted
	if r.log != nil {
		note(r.log, start, request, side.version, given.status, good, !good && !given.committed)
	}
	if good {
		succeeded(side.breaker)
		return
	}
	if request.Context().Err() == nil { // else the client has gone, which tells nothing about the candidate
		failed(side.breaker, r.failures, r.out, aborted || !given.committed && given.status < 500)
		if !given.committed {
			given.forget(ours)
			request.Header[sideHeader] = r.fallback
			if body != nil {
				request.Body = io.NopCloser(bytes.NewReader(body))
			}
			r.next.ServeHTTP(client, request)
			return
		}
	}
	if aborted {
		panic(http.ErrAbortHandler)
	}
}

// ask tells whether the answer was broken off.
func ask(r *router, given *answer, request *http.Request) (aborted bool) {
	defer func() { aborted = recover() != nil }()
	r.next.ServeHTTP(given, request)
	return false
}

// repeatable tells whether the request may be sent twice, and returns its body, which it has read.
func repeatable(r *router, request *http.Request) ([]byte, bool) {
	if !r.methods[request.Method] || request.ContentLength < 0 || request.ContentLength > mostRepeated {
		return nil, false
	}
	if request.ContentLength == 0 {
		return nil, true
	}
	body, err := io.ReadAll(request.Body)
	request.Body = io.NopCloser(bytes.NewReader(body))
	return body, err == nil
}

// answerState answers what we know: to Prometheus in its own format, to the driver as JSON.
func answerState(client http.ResponseWriter, request *http.Request) {
	if strings.HasSuffix(request.URL.Path, "/metrics") {
		client.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = io.WriteString(client, exposition())
		return
	}
	client.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(client).Encode(map[string]interface{}{"revision": revision, "services": states()})
}

func set(names []string) map[string]bool {
	made := map[string]bool{}
	for _, name := range names {
		made[name] = true
	}
	return made
}

func contains(values []string, wanted string) bool {
	for _, value := range values {
		if value == wanted {
			return true
		}
	}
	return false
}
