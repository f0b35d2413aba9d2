package cors

import (
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/model"
)

// Policy is a route's cors setting, compiled.
type Policy struct {
	any         bool
	origins     map[string]bool
	methods     string
	headers     string
	anyMethod   bool
	anyHeader   bool
	credentials bool
	maxAge      string
}

// Compile readies c; methods are the route's, for where the setting names none.
func Compile(c *model.CORS, methods []string) *Policy {
	if c == nil {
		return nil
	}
	p := &Policy{origins: map[string]bool{}, credentials: c.Credentials,
		maxAge: strconv.Itoa(int(c.MaxAge.D().Seconds()))}
	for _, o := range c.Origins {
		if o == "*" {
			p.any = true
		}
		p.origins[NormalOrigin(o)] = true
	}
	if len(c.Methods) > 0 {
		methods = c.Methods
	}
	p.anyMethod = len(methods) == 0
	for _, m := range methods {
		p.anyMethod = p.anyMethod || m == "*"
	}
	p.methods = strings.Join(methods, ", ")
	for _, h := range c.Headers {
		p.anyHeader = p.anyHeader || h == "*"
	}
	p.headers = strings.Join(c.Headers, ", ")
	return p
}

// NormalOrigin is an origin in lower case without the default port of its scheme.
func NormalOrigin(o string) string {
	o = strings.ToLower(o)
	if s, ok := strings.CutSuffix(o, ":443"); ok && strings.HasPrefix(o, "https://") {
		return s
	}
	if s, ok := strings.CutSuffix(o, ":80"); ok && strings.HasPrefix(o, "http://") {
		return s
	}
	return o
}

// Allows says whether scripts of that origin may read the route's answers.
func (p *Policy) Allows(origin string) bool {
	return origin != "" && (p.any || p.origins[NormalOrigin(origin)])
}

// Answer appends the fields that let origin read the answer; none where it may not.
// Vary is always there, so that no shared cache mixes origins.
func (p *Policy) Answer(dst []model.Field, origin string) []model.Field {
	dst = append(dst, model.Field{Name: "Vary", Value: "Origin"})
	if !p.Allows(origin) {
		return dst
	}
	if p.any && !p.credentials {
		dst = append(dst, model.Field{Name: "Access-Control-Allow-Origin", Value: "*"})
	} else {
		dst = append(dst, model.Field{Name: "Access-Control-Allow-Origin", Value: origin})
	}
	if p.credentials {
		dst = append(dst, model.Field{Name: "Access-Control-Allow-Credentials", Value: "true"})
	}
	return dst
}

// Preflight appends the answer to a preflight for method and the requested
// headers, which the caller has found to come from an allowed origin.
func (p *Policy) Preflight(dst []model.Field, origin, method, requested string) []model.Field {
	dst = p.Answer(dst, origin)
	methods, headers := p.methods, p.headers
	if p.anyMethod { // a wildcard does not cover requests with credentials: name what was asked
		methods = method
	}
	if p.anyHeader {
		headers = requested
	}
	dst = append(dst, model.Field{Name: "Access-Control-Allow-Methods", Value: methods})
	if headers != "" {
		dst = append(dst, model.Field{Name: "Access-Control-Allow-Headers", Value: headers})
	}
	return append(dst, model.Field{Name: "Access-Control-Max-Age", Value: p.maxAge})
}
