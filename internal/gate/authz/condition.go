package authz

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"
	"cel.dev/cel-go/interpreter"
)

const (
	// costLimit is in CEL's units, about one step each: some milliseconds at the
	// very most, whatever a client sends.
	costLimit = 100_000
	// evaluation is the wall-clock bound of an expression that loops, behind the
	// cost limit.
	evaluation = 250 * time.Millisecond
	// interruptEvery is how many steps of a loop pass between looks at the clock.
	interruptEvery = 100
	// expressionSize is the longest expression, in code points.
	expressionSize = 8192
)

// conditions compiles and evaluates CEL. One environment serves one policy.
type conditions struct {
	env   *cel.Env
	known map[string]*condition // by text; used while compiling only
	spare sync.Pool             // of *activation
}

// condition is a compiled expression of type bool, or dyn and checked when run.
type condition struct {
	text    string
	program cel.Program
	loops   bool // has a comprehension, and so takes a deadline
}

func newConditions() (*conditions, error) {
	env, err := cel.NewEnv(
		cel.Variable("request", requestType),
		cel.Variable("request.tls.version", cel.StringType),
		cel.Variable("request.tls.serverName", cel.StringType),
		cel.Variable("user", userType),
		cel.Variable("client", userType),
		cel.Variable("credential", credentialType),
		cel.Variable("claims", cel.MapType(cel.StringType, cel.DynType)),
		ext.Strings(),
		ext.Network(),
		cel.ParserExpressionSizeLimit(expressionSize),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(),
			cel.ValidateRegexLiterals(), cel.ValidateHomogeneousAggregateLiterals()),
		func(e *cel.Env) (*cel.Env, error) { return cel.CustomTypeProvider(&provider{e.CELTypeProvider()})(e) },
	)
	if err != nil {
		return nil, err
	}
	c := &conditions{env: env, known: map[string]*condition{}}
	c.spare.New = func() any { return newActivation() }
	return c, nil
}

// compile checks an expression; fault says what is wrong with it, in one line.
func (c *conditions) compile(text string) (cond *condition, fault string) {
	if known, ok := c.known[text]; ok {
		return known, ""
	}
	tree, issues := c.env.Compile(text)
	if issues.Err() != nil {
		return nil, "is not a CEL condition: " + brief(issues)
	}
	if t := tree.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, "gives " + t.String() + ", and a condition is true or false"
	}
	cond = &condition{text: text, loops: hasLoop(tree)}
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize), cel.CustomDecorator(foldNetworks)}
	if cond.loops || !c.cheap(tree) {
		// Counting costs more than most conditions do.
		options = append(options, cel.CostLimit(costLimit), cel.InterruptCheckFrequency(interruptEvery))
	}
	program, err := c.env.Program(tree, options...)
	if err != nil {
		return nil, "cannot be compiled: " + err.Error()
	}
	cond.program = program
	c.known[text] = cond
	return cond, ""
}

// brief is the first errors of a compilation without their drawings.
func brief(issues *cel.Issues) string {
	const most = 3
	var out []string
	for i, e := range issues.Errors() {
		if i == most {
			out = append(out, "…")
			break
		}
		out = append(out, fmt.Sprintf("%s (column %d)", e.Message, e.Location.Column()+1))
	}
	return strings.Join(out, "; ")
}

var errNotBool = errors.New("the condition is neither true nor false")

// holds evaluates the condition. An error is never an answer.
func (c *conditions) holds(cond *condition, p *Policy, f *Facts) (bool, error) {
	a := c.spare.Get().(*activation)
	a.policy, a.facts = p, f
	defer func() {
		a.policy, a.facts = nil, nil
		c.spare.Put(a)
	}()
	eval := cond.program.Eval
	if cond.loops {
		eval = bounded(cond.program)
	}
	out, _, err := eval(a)
	if err != nil {
		return false, err
	}
	b, ok := out.(types.Bool)
	if !ok {
		return false, errNotBool
	}
	return bool(b), nil
}

// hasLoop says whether the expression holds a comprehension: all, exists, map…
func hasLoop(tree *cel.Ast) bool {
	root := ast.NavigateAST(tree.NativeRep())
	return len(ast.MatchDescendants(root, ast.KindMatcher(ast.ComprehensionKind))) > 0
}

// cheap says whether the expression stays below the cost limit with the largest
// input there is, so that nothing needs to be counted while it runs.
func (c *conditions) cheap(tree *cel.Ast) bool {
	estimate, err := c.env.EstimateCost(tree, sizes{})
	return err == nil && estimate.Max <= costLimit
}

// sizes bounds what the variables can hold: a request's header section is
// limited, and users and claims are no larger.
type sizes struct{}

// EstimateSize bounds a variable's text, list or map.
func (sizes) EstimateSize(node cost.AstNode) *cost.SizeEstimate {
	if len(node.Path()) == 0 {
		return nil
	}
	return &cost.SizeEstimate{Max: 1 << 16}
}

// EstimateCallCost leaves calls to the library.
func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

func bounded(p cel.Program) func(any) (out refVal, details *cel.EvalDetails, err error) {
	return func(a any) (refVal, *cel.EvalDetails, error) {
		ctx, cancel := context.WithTimeout(context.Background(), evaluation)
		defer cancel()
		return p.ContextEval(ctx, a)
	}
}

// foldNetworks parses cidr('…') and ip('…') once, when the program is planned.
// A literal that does not parse was a fault at compilation already.
func foldNetworks(i interpreter.Interpretable) (interpreter.Interpretable, error) {
	call, ok := i.(interpreter.InterpretableCall)
	if !ok || call.Function() != "cidr" && call.Function() != "ip" || len(call.Args()) != 1 {
		return i, nil
	}
	if _, ok := call.Args()[0].(interpreter.InterpretableConst); !ok {
		return i, nil
	}
	v := call.Eval(interpreter.EmptyActivation())
	if types.IsUnknownOrError(v) {
		return i, nil
	}
	return interpreter.NewConstValue(call.ID(), v), nil
}
