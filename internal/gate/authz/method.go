package authz

// methods is a set of HTTP methods. The registered ones are bits; others are
// kept as they are written, for methods are case-sensitive (RFC 9110, 9.1).
type methods struct {
	bits  uint16
	other []string
}

const (
	methodGet = 1 << iota
	methodHead
	methodPost
	methodPut
	methodPatch
	methodDelete
	methodOptions
	methodConnect
	methodTrace
	methodOther // any method without a bit of its own
	methodAny   = methodOther<<1 - 1
)

func methodBit(m string) uint16 {
	switch m {
	case "GET":
		return methodGet
	case "HEAD":
		return methodHead
	case "POST":
		return methodPost
	case "PUT":
		return methodPut
	case "PATCH":
		return methodPatch
	case "DELETE":
		return methodDelete
	case "OPTIONS":
		return methodOptions
	case "CONNECT":
		return methodConnect
	case "TRACE":
		return methodTrace
	}
	return methodOther
}

// compileMethods reads a list in which * is any method and GET includes HEAD. An
// empty list is no method at all.
func compileMethods(list []string) (m methods) {
	for _, name := range list {
		switch bit := methodBit(name); {
		case name == "*":
			m.bits = methodAny
		case bit == methodGet:
			m.bits |= methodGet | methodHead
		case bit != methodOther:
			m.bits |= bit
		default:
			m.other = append(m.other, name)
		}
	}
	return m
}

// has takes the method and its bit, which callers compute once.
func (m *methods) has(bit uint16, name string) bool {
	if m.bits&bit != 0 {
		return true
	}
	if bit != methodOther {
		return false
	}
	for _, o := range m.other {
		if o == name {
			return true
		}
	}
	return false
}
