package audit

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/model"
)

// How much of a text an event keeps, in bytes. A caller chooses most of these
// texts, and must not be able to fill the disk with one request.
const (
	maxText      = 1024
	maxPath      = 2048
	maxUserAgent = 256
	maxChanges   = 4 << 20
)

// appendBody appends what follows the head of the event's line: every field but
// id, time, node and seq, and the closing brace and line feed.
func appendBody(b []byte, e *model.Event) []byte {
	switch {
	case e.Type == model.EventAccess && e.Outcome == "allowed" && e.Part == PartDecision:
		b = append(b, `,"type":"access","part":"decision","outcome":"allowed"`...)
	case e.Type == model.EventAccess && e.Outcome == "allowed" && e.Part == PartCompletion:
		b = append(b, `,"type":"access","part":"completion","outcome":"allowed"`...)
	default:
		b = append(b, `,"type":`...)
		b = appendText(b, string(e.Type), maxText)
		b = optional(b, `,"part":`, e.Part, maxText)
		b = append(b, `,"outcome":`...)
		b = appendText(b, e.Outcome, maxText)
	}
	b = optional(b, `,"step":`, e.Step, maxText)
	if e.Code == model.Allowed {
		b = append(b, `,"code":"allowed"`...)
	} else {
		b = optional(b, `,"code":`, string(e.Code), maxText)
	}
	b = optional(b, `,"reason":`, e.Reason, maxText)
	b = optional(b, `,"requestId":`, e.RequestID, maxText)
	b = optional(b, `,"actor":`, e.Actor, maxText)
	b = optional(b, `,"user":`, e.User, maxText)
	b = optional(b, `,"credential":`, e.Credential, maxText)
	b = optional(b, `,"provider":`, e.Provider, maxText)
	b = optional(b, `,"service":`, e.Service, maxText)
	b = optional(b, `,"route":`, e.Route, maxText)
	b = optional(b, `,"rule":`, e.Rule, maxText)
	b = optional(b, `,"method":`, e.Method, maxText)
	b = optional(b, `,"host":`, e.Host, maxText)
	path, _, _ := strings.Cut(e.Path, "?") // a query may hold secrets
	b = optional(b, `,"path":`, path, maxPath)
	b = number(b, `,"status":`, int64(e.Status))
	b = number(b, `,"bytesIn":`, e.BytesIn)
	b = number(b, `,"bytesOut":`, e.BytesOut)
	b = optional(b, `,"clientIP":`, e.ClientIP, maxText)
	b = optional(b, `,"userAgent":`, e.UserAgent, maxUserAgent)
	b = duration(b, e.DurationMs)
	b = number(b, `,"revision":`, e.Revision)
	b = number(b, `,"count":`, e.Count)
	if len(e.Changes) > 0 {
		b = append(b, `,"changes":`...)
		b = appendChanges(b, e.Changes)
	}
	return append(b, '}', '\n')
}

// duration writes milliseconds to three decimals.
func duration(b []byte, ms float64) []byte {
	const most = 1 << 40 // far more than any request takes
	switch {
	case ms == 0 || math.IsNaN(ms) || math.IsInf(ms, 0):
		return b
	case ms < 0 || ms > most:
		return strconv.AppendFloat(append(b, `,"durationMs":`...), ms, 'f', 3, 64)
	}
	us := uint64(ms*1000 + .5)
	b = strconv.AppendUint(append(b, `,"durationMs":`...), us/1000, 10)
	return append(b, '.', byte('0'+us/100%10), byte('0'+us/10%10), byte('0'+us%10))
}

func optional(b []byte, name, v string, max int) []byte {
	if v == "" {
		return b
	}
	return appendText(append(b, name...), v, max)
}

func number(b []byte, name string, v int64) []byte {
	if v == 0 {
		return b
	}
	return strconv.AppendInt(append(b, name...), v, 10)
}

// appendChanges is off the request path, hence may use reflection. A diff that
// is too large to keep, or that cannot be encoded, is kept as its list of names.
func appendChanges(b []byte, changes []model.Change) []byte {
	out, err := json.Marshal(changes)
	if err == nil && len(out) <= maxChanges {
		return append(b, out...)
	}
	b = append(b, '[')
	for i, c := range changes {
		if len(b) > maxChanges {
			break
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"kind":`...)
		b = appendText(b, c.Kind, maxText)
		b = append(b, `,"name":`...)
		b = appendText(b, c.Name, maxText)
		b = append(b, `,"action":`...)
		b = appendText(b, c.Action, maxText)
		b = append(b, '}')
	}
	return append(b, ']')
}

// head writes the beginning of each line: id, time, node and seq. It keeps what
// is the same from one event to the next.
type head struct {
	node   []byte // ,"node":"…","seq":
	random uint32 // tells apart processes that share a clock and a sequence
	second int64  // that stamp holds
	stamp  [20]byte

	buf   []byte // of the last event that was given no id
	fixed int    // where its seq begins
	ms    int64
	high  uint64 // its seq without the last 16 bits
}

// Where in buf stand what changes within a millisecond: the last 16 bits of seq in
// the id, and the microseconds.
const (
	lowAt   = len(`{"id":"01234567-0123-0123-0123-`)
	microAt = lowAt + len(`012301234567","time":"2006-01-02T15:04:05.000`)
)

func newHead(node string, random uint32) *head {
	h := &head{random: random, second: math.MinInt64, ms: math.MinInt64}
	h.node = append(h.node, `,"node":`...)
	h.node = appendText(h.node, node, maxText)
	h.node = append(h.node, `,"seq":`...)
	return h
}

// bytes is the head of event seq at t; it is good until the next call.
func (h *head) bytes(id string, t time.Time, seq uint64) []byte {
	if id != "" {
		b := appendText(append([]byte(nil), `{"id":`...), id, maxText)
		return strconv.AppendUint(h.when(append(b, `,"time":"`...), t), seq, 10)
	}
	if ms := t.UnixMilli(); ms != h.ms || seq>>16 != h.high {
		b := appendID(append(h.buf[:0], `{"id":"`...), t, seq, h.random)
		h.buf = h.when(append(b, `","time":"`...), t)
		h.fixed, h.ms, h.high = len(h.buf), ms, seq>>16
	} else {
		us := t.Nanosecond() / 1000 % 1000
		low, micro := h.buf[lowAt:lowAt+4], h.buf[microAt:microAt+3]
		low[0], low[1], low[2], low[3] = hexDigits[seq>>12&15], hexDigits[seq>>8&15], hexDigits[seq>>4&15], hexDigits[seq&15]
		micro[0], micro[1], micro[2] = byte('0'+us/100), byte('0'+us/10%10), byte('0'+us%10)
	}
	h.buf = strconv.AppendUint(h.buf[:h.fixed], seq, 10)
	return h.buf
}

// when appends the time, and all that stands between it and the seq.
func (h *head) when(b []byte, t time.Time) []byte {
	if s := t.Unix(); s != h.second {
		h.second = s
		t.UTC().AppendFormat(h.stamp[:0], "2006-01-02T15:04:05.")
	}
	b = append(b, h.stamp[:]...)
	us := uint32(t.Nanosecond() / 1000)
	hundredths, rest, last := us/10000, us/100%100, us%100
	b = append(b, byte('0'+hundredths/10), byte('0'+hundredths%10), byte('0'+rest/10), byte('0'+rest%10), byte('0'+last/10), byte('0'+last%10), 'Z', '"')
	return append(b, h.node...)
}

// appendID appends a UUID of version 7 (RFC 9562, 5.7): milliseconds, then the
// sequence, so that ids sort as the events were written, then what tells
// processes apart.
func appendID(b []byte, t time.Time, seq uint64, random uint32) []byte {
	ms := uint64(t.UnixMilli())
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:], ms<<16|7<<12|seq>>30&0xfff)
	binary.BigEndian.PutUint64(raw[8:], 2<<62|seq&(1<<30-1)<<32|uint64(random))
	var text [36]byte
	hex.Encode(text[:], raw[:4])
	hex.Encode(text[9:], raw[4:6])
	hex.Encode(text[14:], raw[6:8])
	hex.Encode(text[19:], raw[8:10])
	hex.Encode(text[24:], raw[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return append(b, text[:]...)
}
