package notebook

import (
	"net"
	"net/http"
	"regexp"
	"strings"
)

// A product is the name of a program or system, and the text by which a
// User-Agent tells it.
type product struct{ text, name string }

// The order counts: Edge calls itself Chrome and Safari as well, Chrome Safari,
// and Android Linux.
var (
	browsers = []product{
		{"Edg", "Edge"}, // Edg/, EdgA/ and EdgiOS/
		{"OPR/", "Opera"},
		{"SamsungBrowser/", "Samsung Internet"},
		{"Firefox/", "Firefox"},
		{"FxiOS/", "Firefox"},
		{"CriOS/", "Chrome"},
		{"Chrome/", "Chrome"},
		{"Safari/", "Safari"},
	}
	systems = []product{
		{"Android", "Android"},
		{"iPhone", "iPhone"},
		{"iPad", "iPad"},
		{"Windows", "Windows"},
		{"CrOS", "ChromeOS"},
		{"Macintosh", "macOS"},
		{"Linux", "Linux"},
	}
	// firstProduct is that of a program which is no browser, as "curl/8.5.0".
	firstProduct = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]{0,29}(/[0-9][0-9.]{0,9})?`)
)

// device describes the sender of a request for the list of sessions: the browser
// and system by the names that the User-Agent has, which anyone can forge, and
// the address. Behind a proxy that is the proxy's: take it from a header that
// the proxy sets, and overwrites.
func device(r *http.Request) string {
	agent := r.UserAgent()
	name, system := find(browsers, agent), find(systems, agent)
	if name == "" && !strings.HasPrefix(agent, "Mozilla/") { // as all browsers begin
		name = firstProduct.FindString(agent)
	}
	if name == "" {
		name = "Unknown browser"
	}
	if system != "" {
		name += " on " + system
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		name += ", " + host
	}
	return name
}

func find(products []product, agent string) string {
	for _, p := range products {
		if strings.Contains(agent, p.text) {
			return p.name
		}
	}
	return ""
}
