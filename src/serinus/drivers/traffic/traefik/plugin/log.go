package serinus

import (
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"
)

var (
	logsMutex sync.Mutex
	// logs by path, opened once: a change of the configuration goes on in the same file.
	logs = map[string]*os.File{}
)

// openLog returns the log of candidates' requests, or nil for none. One that cannot be opened is told in
// Traefik's own log, and no reason to refuse requests.
func openLog(path string) *os.File {
	if path == "" {
		return nil
	}
	logsMutex.Lock()
	defer logsMutex.Unlock()
	if logs[path] == nil {
		file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
		if err != nil {
			_, _ = fmt.Fprintf(os.Stderr, "serinus: cannot open %s: %v\n", path, err)
			return nil
		}
		logs[path] = file
	}
	return logs[path]
}

// note writes one line of JSON. It has no query and no header: they may hold secrets.
func note(log *os.File, start time.Time, request *http.Request, version string, status int, good, repeated bool) {
	_, _ = fmt.Fprintf(log, "{\"time\":%q,\"method\":%q,\"path\":%q,\"version\":%q,\"status\":%d,\"ms\":%.2f,\"good\":%t,\"repeated\":%t}\n",
		start.UTC().Format(time.RFC3339Nano), request.Method, request.URL.EscapedPath(), version, status,
		float64(time.Since(start).Microseconds())/1000, good, repeated)
}
