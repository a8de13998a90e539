module github.com/sessfs/sessions/internal/integration

go 1.26.0

require (
	github.com/anishathalye/porcupine v1.3.1
	github.com/coder/websocket v1.8.15
	github.com/sessfs/sessions v0.0.0
	golang.org/x/sys v0.49.0
)

require github.com/google/uuid v1.6.0 // indirect

replace github.com/sessfs/sessions => ../..
