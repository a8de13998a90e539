module github.com/sessfs/sessions/internal/integration

go 1.26.0

require (
	github.com/anishathalye/porcupine v1.3.1
	github.com/coder/websocket v1.8.15
	github.com/sessfs/sessions v0.0.0
	golang.org/x/sys v0.49.0
)

require (
	github.com/gofrs/flock v0.13.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
	go.yaml.in/yaml/v3 v3.0.6 // indirect
)

replace github.com/sessfs/sessions => ../..
