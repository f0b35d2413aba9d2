package frame

import (
	"encoding/binary"
	"strconv"
)

// Type says what a frame is.
type Type uint8

// The types of RFC 9113, 6.
const (
	Data         Type = 0x0
	Headers      Type = 0x1
	Priority     Type = 0x2
	RSTStream    Type = 0x3
	Settings     Type = 0x4
	PushPromise  Type = 0x5
	Ping         Type = 0x6
	GoAway       Type = 0x7
	WindowUpdate Type = 0x8
	Continuation Type = 0x9
)

// Flags of a frame; which of them mean something depends on the type.
type Flags uint8

// The flags that types define.
const (
	EndStream   Flags = 0x1  // DATA, HEADERS
	Ack         Flags = 0x1  // SETTINGS, PING
	EndHeaders  Flags = 0x4  // HEADERS, CONTINUATION
	Padded      Flags = 0x8  // DATA, HEADERS
	HasPriority Flags = 0x20 // HEADERS
)

// Has says whether f is set.
func (s Flags) Has(f Flags) bool { return s&f != 0 }

// Sizes of frames.
const (
	HeaderLen = 9
	// MinMax is the least that a peer must take as a payload, and the most that it
	// may send before it is told otherwise.
	MinMax = 1 << 14
	MaxMax = 1<<24 - 1
	// MaxWindow bounds every flow-control window.
	MaxWindow = 1<<31 - 1
	// FirstWindow is every window's size before anything is said.
	FirstWindow = 65535
	// LastStream is the highest id that a stream can have.
	LastStream = 1<<31 - 1
)

// Preface is what a client begins with.
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Header is what a frame begins with.
type Header struct {
	Length uint32
	Type   Type
	Flags  Flags
	Stream uint32
}

// ParseHeader reads the header at the start of b, which holds HeaderLen bytes at
// least. The reserved bit is ignored (RFC 9113, 4.1).
func ParseHeader(b []byte) Header {
	_ = b[8]
	return Header{Length: uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]), Type: Type(b[3]), Flags: Flags(b[4]),
		Stream: binary.BigEndian.Uint32(b[5:]) & LastStream}
}

// Append writes a frame's header.
func Append(b []byte, length int, t Type, f Flags, stream uint32) []byte {
	return append(b, byte(length>>16), byte(length>>8), byte(length), byte(t), byte(f),
		byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
}

// Code is why a stream or a connection ends (RFC 9113, 7).
type Code uint32

// The codes of RFC 9113, 7.
const (
	NoError            Code = 0x0
	ProtocolError      Code = 0x1
	InternalError      Code = 0x2
	FlowControlError   Code = 0x3
	SettingsTimeout    Code = 0x4
	StreamClosed       Code = 0x5
	FrameSizeError     Code = 0x6
	RefusedStream      Code = 0x7
	Cancel             Code = 0x8
	CompressionError   Code = 0x9
	ConnectError       Code = 0xa
	EnhanceYourCalm    Code = 0xb
	InadequateSecurity Code = 0xc
	HTTP11Required     Code = 0xd
)

func (c Code) String() string {
	names := [...]string{"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
		"STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR",
		"ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"}
	if int(c) < len(names) {
		return names[c]
	}
	return "0x" + strconv.FormatUint(uint64(c), 16)
}

// Setting is one parameter of a SETTINGS frame.
type Setting struct {
	ID    uint16
	Value uint32
}

// The settings of RFC 9113, 6.5.2, and RFC 9218.
const (
	HeaderTableSize      uint16 = 0x1
	EnablePush           uint16 = 0x2
	MaxConcurrentStreams uint16 = 0x3
	InitialWindowSize    uint16 = 0x4
	MaxFrameSize         uint16 = 0x5
	MaxHeaderListSize    uint16 = 0x6
	NoPriorities         uint16 = 0x9
)

// SettingLen is how long one setting is in a frame.
const SettingLen = 6

// ParseSetting reads the setting at the start of b.
func ParseSetting(b []byte) Setting {
	return Setting{binary.BigEndian.Uint16(b), binary.BigEndian.Uint32(b[2:])}
}

// AppendSettings writes a SETTINGS frame.
func AppendSettings(b []byte, list ...Setting) []byte {
	b = Append(b, len(list)*SettingLen, Settings, 0, 0)
	for _, s := range list {
		b = binary.BigEndian.AppendUint16(b, s.ID)
		b = binary.BigEndian.AppendUint32(b, s.Value)
	}
	return b
}

// AppendSettingsAck acknowledges the peer's settings.
func AppendSettingsAck(b []byte) []byte { return Append(b, 0, Settings, Ack, 0) }

// AppendPingAck answers a PING with its payload.
func AppendPingAck(b, payload []byte) []byte {
	return append(Append(b, 8, Ping, Ack, 0), payload[:8]...)
}

// AppendWindowUpdate gives the peer n bytes more; stream 0 is the connection.
func AppendWindowUpdate(b []byte, stream uint32, n int) []byte {
	return binary.BigEndian.AppendUint32(Append(b, 4, WindowUpdate, 0, stream), uint32(n))
}

// AppendRST ends a stream.
func AppendRST(b []byte, stream uint32, c Code) []byte {
	return binary.BigEndian.AppendUint32(Append(b, 4, RSTStream, 0, stream), uint32(c))
}

// AppendGoAway says that streams above last were not and will not be processed.
func AppendGoAway(b []byte, last uint32, c Code, debug string) []byte {
	b = Append(b, 8+len(debug), GoAway, 0, 0)
	b = binary.BigEndian.AppendUint32(b, last)
	b = binary.BigEndian.AppendUint32(b, uint32(c))
	return append(b, debug...)
}
