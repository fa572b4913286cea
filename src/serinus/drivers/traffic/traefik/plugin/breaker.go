package serinus

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// breaker takes a version out after failures in a row. It outlives changes of the configuration. Its
// numbers are atomic: a mutex costs five times as much here.
type breaker struct {
	row    int64
	until  int64
	broken int64
	salt   string
}

var (
	breakersMutex sync.Mutex
	// breakers by service and version.
	breakers = map[string]map[string]*breaker{}
)

// breakerOf returns the version's breaker; a new deployment (another salt) starts with it closed.
func breakerOf(service, version, salt string) *breaker {
	breakersMutex.Lock()
	defer breakersMutex.Unlock()
	if breakers[service] == nil {
		breakers[service] = map[string]*breaker{}
	}
	found := breakers[service][version]
	if found == nil {
		found = &breaker{salt: salt}
		breakers[service][version] = found
	}
	if found.salt != salt {
		found.salt = salt
		atomic.StoreInt64(&found.row, 0)
		atomic.StoreInt64(&found.until, 0)
	}
	return found
}

// isOut tells whether the version gets no requests now.
func isOut(b *breaker) bool {
	until := atomic.LoadInt64(&b.until)
	return until != 0 && time.Now().UnixNano() < until
}

func succeeded(b *breaker) {
	if atomic.LoadInt64(&b.row) != 0 {
		atomic.StoreInt64(&b.row, 0)
	}
}

// failed counts; broken says that the answer broke off after its head, which Traefik does not count.
func failed(b *breaker, most int, out time.Duration, broken bool) {
	if broken {
		atomic.AddInt64(&b.broken, 1)
	}
	if atomic.AddInt64(&b.row, 1) >= int64(most) {
		atomic.StoreInt64(&b.row, 0)
		atomic.StoreInt64(&b.until, time.Now().Add(out).UnixNano())
	}
}

// states returns what the driver asks for, by service and version.
func states() map[string]map[string]map[string]interface{} {
	breakersMutex.Lock()
	defer breakersMutex.Unlock()
	made := map[string]map[string]map[string]interface{}{}
	for service, versions := range breakers {
		made[service] = map[string]map[string]interface{}{}
		for version, b := range versions {
			made[service][version] = map[string]interface{}{"out": isOut(b), "broken": atomic.LoadInt64(&b.broken)}
		}
	}
	return made
}

// exposition returns the answers that broke off after their head, as Prometheus reads them.
func exposition() string {
	breakersMutex.Lock()
	defer breakersMutex.Unlock()
	text := "# HELP serinus_broken_off_total Answers of a candidate that broke off.\n# TYPE serinus_broken_off_total counter\n"
	escaped := strings.NewReplacer("\\", "\\\\", "\"", "\\\"", "\n", "\\n")
	for service, versions := range breakers {
		for version, b := range versions {
			text += fmt.Sprintf("serinus_broken_off_total{service=\"%s\",version=\"%s\"} %d\n",
				escaped.Replace(service), escaped.Replace(version), atomic.LoadInt64(&b.broken))
		}
	}
	return text
}
