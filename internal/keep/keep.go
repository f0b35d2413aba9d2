// Package keep holds module requirements while their users are being written.
package keep

import (
	_ "cel.dev/cel-go/cel"
	_ "cel.dev/cel-go/ext"
	_ "github.com/alecthomas/kong"
	_ "github.com/coder/websocket"
	_ "github.com/go-jose/go-jose/v4"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/mccutchen/go-httpbin/v2/httpbin"
	_ "github.com/prometheus/client_golang/prometheus/promhttp"
	_ "github.com/rogpeppe/go-internal/testscript"
	_ "github.com/tg123/go-htpasswd"
	_ "go.uber.org/goleak"
	_ "go.yaml.in/yaml/v3"
	_ "golang.org/x/crypto/argon2"
	_ "golang.org/x/crypto/bcrypt"
	_ "golang.org/x/net/http2"
	_ "golang.org/x/net/http2/hpack"
	_ "golang.org/x/sync/singleflight"
	_ "golang.org/x/sync/semaphore"
	_ "google.golang.org/grpc"
	_ "google.golang.org/grpc/health"
	_ "modernc.org/sqlite"
	_ "pgregory.net/rapid"
)
