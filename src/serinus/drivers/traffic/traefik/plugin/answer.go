package serinus

import (
	"net/http"
	"strconv"
	"strings"
)

// mostHeld is how long an answer may be, in bytes, to be held back until it is whole.
const mostHeld = 65536

// answer is what a candidate answers.
//
// When the request may be repeated, nothing reaches the client before it is known to be good: a failed
// status is dropped, and a short body is held back until it is whole. Traefik does not see through us to
// the client's connection, so what streams is flushed here.
type answer struct {
	client    http.ResponseWriter
	header    http.Header
	held      bool
	bodyless  bool
	status    int
	expected  int
	body      []byte
	committed bool
	streams   bool
}

// Header returns the headers to be sent; after that, the trailers.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader decides from the status and the length whether to hold the answer back.
func (a *answer) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		a.client.WriteHeader(status)
		return
	}
	if a.status != 0 {
		return
	}
	a.status = status
	length := a.header.Get("Content-Length")
	if length == "" || strings.HasPrefix(a.header.Get("Content-Type"), "text/event-stream") {
		a.streams = true
	} else if !a.bodyless && status != 204 && status != 304 {
		a.expected, _ = strconv.Atoi(length)
	}
	if !a.held || status < 500 && (a.expected == 0 || a.expected > mostHeld) {
		a.commit()
	}
}

// Write keeps a held body, and passes any other on.
func (a *answer) Write(part []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if a.committed {
		written, err := a.client.Write(part)
		if a.streams && err == nil {
			_ = http.NewResponseController(a.client).Flush()
		}
		return written, err
	}
	if a.status < 500 {
		if a.body == nil && len(part) >= a.expected {
			a.commit()
			return a.client.Write(part)
		}
		a.body = append(a.body, part...)
		if len(a.body) >= a.expected {
			a.commit()
		}
	}
	return len(part), nil
}

// commit lets the answer out.
func (a *answer) commit() {
	a.committed = true
	a.client.WriteHeader(a.status)
	if len(a.body) > 0 {
		_, _ = a.client.Write(a.body)
	}
}

// forget drops the headers of a failed answer, but for the cookies that we have set.
func (a *answer) forget(cookies []string) {
	for name := range a.header {
		delete(a.header, name)
	}
	if len(cookies) > 0 {
		a.header["Set-Cookie"] = cookies
	}
}
