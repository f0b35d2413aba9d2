// Command bench measures the built gateway beside nginx and HAProxy: the same work
// in one run, in interleaved rounds, one core for the proxy and another for the
// load and the backend. make bench calls it; docs/performance.md says what each
// row means and how to repeat it.
//
// It owns the boot files, peers' configurations, load and tables of the
// measurement. It does not own what is measured: the gateway is bin/sallyport, a
// process of its own, and only the verbs serve (a gateway that can be profiled)
// and prepare (a store full of users) use the gateway's packages. Nothing calls it
// but a person.
package main
