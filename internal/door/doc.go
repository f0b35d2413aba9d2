// Package door holds what all doors share: the gate as a door sees it, what a door is
// made with, the ids of requests, what is refused without a plan, what a request says
// on its way out, and the register of open streams.
//
// A door speaks one wire protocol: it parses bytes into a gate.Exchange, asks the
// gate, and answers or forwards. It decides nothing. The doors themselves are the
// packages below this one; upstream is the way out that they share.
package door
