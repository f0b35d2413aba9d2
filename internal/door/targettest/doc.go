// Package targettest is what the tests of the doors and of the way out stand in
// front of: a backend that remembers what it saw, and targets that are raw sockets
// and behave as badly as a test wants.
//
// It knows no door and nothing of the gateway, and is imported by tests alone.
package targettest
